"""PgBouncer as it is installed, pooling by transaction, in front of a PostgreSQL of the tests'."""

import os
import shutil
import subprocess
import time
from types import TracebackType
from typing import Self

import psycopg
import pytest

from tests.support.ports import free_port
from tests.support.postgres import OWNER, Postgres, own_directory, plain_user
from tests.support.sizes import PATIENCE_S

CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {pool_size}
"""


class PgBouncer:
    """Passes on to ``server``, over at most ``pool_size`` connections for each database and user."""

    def __init__(self, server: Postgres, pool_size: int = 4) -> None:
        program = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")
        if program is None:
            pytest.skip("pgbouncer is not installed; to run this: apt-get install pgbouncer")
        self._directory = own_directory()
        self._log, self.port = self._directory / "log", free_port()
        users, configuration = self._directory / "users", self._directory / "conf"
        users.write_text(f'"{OWNER}" ""\n')
        text = CONFIGURATION.format(server=server.port, port=self.port, users=users, pool_size=pool_size)
        configuration.write_text(text)
        self._command = (*plain_user("TERM"), program, str(configuration))
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str) -> str:
        """The address of a database, for ``queue`` beside a ``queue_direct``."""
        return f"postgresql://{OWNER}@127.0.0.1:{self.port}/{database}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.kill()
        shutil.rmtree(self._directory)

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stderr=log)
        ends_at = time.monotonic() + PATIENCE_S
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError:
                assert self._process.poll() is None, self._log.read_text()
                assert time.monotonic() < ends_at, f"PgBouncer does not answer:\n{self._log.read_text()}"
                time.sleep(0.01)
            else:
                return

    def kill(self) -> None:
        """kill -9: it has nothing to lose but connections."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(PATIENCE_S)
        self._process = None
