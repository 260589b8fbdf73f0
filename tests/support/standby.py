"""A streaming standby of a PostgreSQL of the tests', which commits wait for, and which can take over."""

import time
from collections.abc import Mapping

from tests.support.postgres import OWNER, Postgres, program
from tests.support.sizes import PATIENCE_S

NAME = "standby"


class Standby(Postgres):
    """Copies a running ``primary``, follows it, and ends before it. It answers queries, and takes no writes."""

    def __init__(self, primary: Postgres, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(settings)
        self.primary = primary

    def _create(self) -> None:
        primary = f"host=127.0.0.1 port={self.primary.port} user=postgres application_name={NAME}"
        options = ("--wal-method=stream", "--checkpoint=fast", "--no-sync", "--write-recovery-conf")
        self.run(program("pg_basebackup"), "--dbname", primary, "--pgdata", str(self.data_dir), *options)

    def _add_roles(self) -> None:
        """The copy has them."""

    def make_synchronous(self) -> None:
        """From now on a commit of the primary's returns when it is on the standby's disk too."""
        self.primary.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{NAME}'")
        self.primary.execute("SELECT pg_reload_conf()")
        ends_at = time.monotonic() + PATIENCE_S
        while self.primary.execute("SELECT sync_state FROM pg_stat_replication") != [("sync",)]:
            assert time.monotonic() < ends_at, self.log.read_text()
            time.sleep(0.01)

    def promote(self) -> None:
        """Returns when it takes writes."""
        assert self.execute("SELECT pg_promote()") == [(True,)]

    def both(self, database: str) -> str:
        """The address of whichever of the two takes writes."""
        hosts = f"127.0.0.1:{self.primary.port},127.0.0.1:{self.port}"
        return f"postgresql://{OWNER}@{hosts}/{database}?target_session_attrs=read-write"
