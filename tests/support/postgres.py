"""PostgreSQL as it is installed: a server of the tests' own, on loopback, with a data directory of its own.

PostgreSQL does not run as root, so root drops to the user ``postgres``, and to ``nobody`` without one. ``setpriv`` also
ends the server with the process that started it. Databases belong to the role ``imgserve``, which has no other right.
"""

import atexit
import functools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
import pytest

from tests.support.netns import NETWORK
from tests.support.ports import free_port
from tests.support.processes import children
from tests.support.sizes import PATIENCE_S

OWNER, PASSWORD = "imgserve", "pass word/ß"
# 'other' has to give its password, which 'imgserve' need not.
HBA = f"""
local all all trust
host all other 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
host all all {NETWORK} trust
host replication all 127.0.0.1/32 trust
"""

# Copies of the tables of a schema that hold something, so that a later reset gives the rows back.
REMEMBER = """
DO $$
DECLARE name text; is_full boolean;
BEGIN
    CREATE SCHEMA initial;
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = '{schema}' LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM {schema}.%I)', name) INTO is_full;
        IF is_full THEN
            EXECUTE format('CREATE TABLE initial.%1$I AS TABLE {schema}.%1$I', name);
        END IF;
    END LOOP;
    CREATE SCHEMA counters;
    CREATE TABLE counters.initial AS SELECT * FROM pg_sequences WHERE schemaname = '{schema}';
END $$
"""
# Deleting is twenty times as fast as TRUNCATE, which makes new files. A replica checks no foreign keys.
RESET = """
DO $$
DECLARE name text;
BEGIN
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle';
    SET LOCAL session_replication_role = replica;
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = '{schema}' LOOP
        EXECUTE format('DELETE FROM {schema}.%I', name);
    END LOOP;
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'initial' LOOP
        EXECUTE format('INSERT INTO {schema}.%1$I OVERRIDING SYSTEM VALUE SELECT * FROM initial.%1$I', name);
    END LOOP;
    PERFORM setval(format('{schema}.%I', sequencename), coalesce(last_value, start_value), last_value IS NOT NULL)
        FROM counters.initial;
END $$
"""


def program(name: str) -> str:
    """Where a program of PostgreSQL's is, of the newest version; without it the test is skipped."""
    there = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    path = str(there[-1]) if there else shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed; to run this: apt-get install postgresql")
    return path


def plain_user(at_our_end: str = "INT") -> tuple[str, ...]:
    """What begins the command of a server that does not run as root. It gets the signal when this process ends."""
    if os.geteuid() != 0:
        return ("setpriv", "--pdeathsig", at_our_end)
    user = _user()
    ids = ("--reuid", str(user.pw_uid), "--regid", str(user.pw_gid))
    return ("setpriv", *ids, "--clear-groups", "--pdeathsig", at_our_end)


def own_directory() -> Path:
    """A new directory of that user's: not beneath pytest's, which others than root may not enter."""
    directory = Path(tempfile.mkdtemp(prefix="imgserve-postgres-"))
    if os.geteuid() == 0:
        shutil.chown(directory, _user().pw_uid, _user().pw_gid)
    return directory


@functools.cache
def initial_data() -> Path:
    """A data directory of which no server was started, to be copied: to make one takes ten times the CPU."""
    top = own_directory()
    atexit.register(shutil.rmtree, top)
    options = ("--username", "postgres", "--encoding", "UTF8", "--no-locale", "--no-sync", "--auth", "trust")
    run_as_plain_user(top, program("initdb"), "--pgdata", str(top / "data"), *options)
    (top / "data" / "pg_hba.conf").write_text(HBA)
    return top / "data"


def run_as_plain_user(directory: Path, *command: str) -> None:
    """A program, to its end."""
    arguments = (*plain_user(), *command)
    result = subprocess.run(arguments, cwd=directory, capture_output=True, timeout=PATIENCE_S)
    assert result.returncode == 0, (command, result.stdout, result.stderr)


def _user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


class Postgres:
    """A server that ``with`` starts and ends. Its port stays the same when it starts again.

    ``settings`` are those of postgresql.conf; ``fsync`` is on unless they turn it off. Anybody on loopback may connect
    as ``postgres`` (superuser) or ``imgserve``, and as ``other``, a member of the latter, with its password.
    """

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._postgres = program("postgres")
        self.directory = own_directory()
        self.data_dir, self.log = self.directory / "data", self.directory / "log"
        self.port = free_port()
        self.settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(self.directory)}
        self.settings |= settings or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self._admins: dict[str, psycopg.Connection] = {}  # the superuser's connection to each database
        self.reusable: list[str] = []  # databases that were given back

    def __enter__(self) -> Self:
        try:
            self._create()
            self.start()
            self._add_roles()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.stop("immediate")
        shutil.rmtree(self.directory)

    def _create(self) -> None:
        self.run("cp", "-a", str(initial_data()), str(self.data_dir))

    def _add_roles(self) -> None:
        self.execute(f"CREATE ROLE {OWNER} LOGIN")
        self.execute(f"CREATE ROLE other LOGIN PASSWORD '{PASSWORD}' IN ROLE {OWNER}")

    def run(self, *command: str) -> None:
        """A program of PostgreSQL's, to its end, as the server's user."""
        run_as_plain_user(self.directory, *command)

    def start(self) -> None:
        """Returns when the server takes connections, a recovery included."""
        assert self._process is None
        settings = [word for name, value in self.settings.items() for word in ("-c", f"{name}={value}")]
        command = (*plain_user(), self._postgres, "-D", str(self.data_dir), "-p", str(self.port), *settings)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self.directory, stdin=subprocess.DEVNULL, stderr=log)
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        ends_at = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError:
                assert self._process.poll() is None, self.log.read_text()
                assert time.monotonic() < ends_at, f"PostgreSQL does not answer:\n{self.log.read_text()}"
                time.sleep(0.01)
            else:
                return

    def stop(self, how: str = "fast") -> None:
        """``smart`` waits for the clients, ``fast`` turns them away, ``immediate`` leaves the rest to recovery."""
        assert self._process is not None
        self._leave(*self._admins)
        signals = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
        self._process.send_signal(signals[how])
        self._process.wait(PATIENCE_S)
        self._process = None

    def kill(self) -> None:
        """kill -9 of all its processes, of which none sees another go."""
        assert self._process is not None
        self._leave(*self._admins)
        everybody = self.freeze()
        for pid in everybody:
            os.kill(pid, signal.SIGKILL)
        self._process.wait(PATIENCE_S)
        self._process = None
        ends_at = time.monotonic() + PATIENCE_S
        while any(map(_is_running, everybody)):  # a new server would find their shared memory in use
            assert time.monotonic() < ends_at
            time.sleep(0.005)

    def restart(self, how: str = "fast") -> None:
        self.stop(how)
        self.start()

    def freeze(self) -> list[int]:
        """SIGSTOP to all its processes: connections stay open, and nobody answers. Returns the processes."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)  # first: it starts no more
        everybody = [self._process.pid, *children(self._process.pid)]
        for pid in everybody[1:]:
            os.kill(pid, signal.SIGSTOP)
        return everybody

    def thaw(self) -> None:
        assert self._process is not None
        for pid in (*children(self._process.pid), self._process.pid):
            os.kill(pid, signal.SIGCONT)

    def certify(self, file: Path) -> None:
        """From its next start on it takes TLS too, with the key and the certificate in ``file``."""
        own = self.directory / "server.pem"
        own.write_bytes(file.read_bytes())
        own.chmod(0o600)
        owner = self.directory.stat()
        os.chown(own, owner.st_uid, owner.st_gid)
        self.settings |= {"ssl": "on", "ssl_cert_file": str(own), "ssl_key_file": str(own)}

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def database(self, template: str = "template0") -> str:
        """The name of a new database of the role ``imgserve``. Nobody may be connected to ``template``."""
        self._databases += 1
        name = f"imgserve_{self._databases}"
        # Copying files needs a checkpoint, which is cheap only without fsync; the log takes as long either way.
        strategy = "file_copy" if self.settings.get("fsync") == "off" else "wal_log"
        self._leave(template)
        self.execute(f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {template} STRATEGY {strategy}")
        return name

    def drop(self, name: str) -> None:
        """Without a database, whose clients are turned away."""
        self._leave(name)
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def remember(self, name: str, schema: str = "public") -> None:
        """Keeps the rows that a schema's tables have now, for ``reset``: of tables that were made a moment ago."""
        self.execute(REMEMBER.format(schema=schema), name)

    def reset(self, name: str, schema: str = "public") -> None:
        """Gives them their remembered rows and sequences. Transactions that are under way end with their connections;
        other connections stay, since a pooler keeps them.
        """
        self.execute(RESET.format(schema=schema), name)

    def url(self, database: str, user: str = OWNER, host: str = "127.0.0.1") -> str:
        """The address of a database, for ``queue``."""
        return f"postgresql://{user}@{host}:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """A statement of the superuser's in a transaction of its own. Returns its rows, none of a command."""
        admin = self._admins.get(database)
        if admin is None or admin.closed:
            place = f"host={self.directory} port={self.port} user=postgres dbname={database}"
            admin = self._admins[database] = psycopg.connect(place, autocommit=True)
        cursor = admin.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []

    def _leave(self, *databases: str) -> None:
        for name in databases:
            if name in self._admins:
                self._admins.pop(name).close()


def _is_running(pid: int) -> bool:
    """Not even as a zombie, which has no memory left."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
