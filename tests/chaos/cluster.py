"""A lane whose jobs are in PostgreSQL, with two nodes that can lose it: one takes jobs, and both carry them out.

The second node is in a network namespace, where one can be had. Its link to the database can be cut.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from tests.chaos.lane import ANYWHERE, Address, Lane
from tests.chaos.stored import Stored
from tests.support.daemon import Daemon, Reply
from tests.support.netns import NETWORK, Namespace
from tests.support.ports import free_port
from tests.support.postgres import OWNER, Postgres
from tests.support.postgres_house import SCHEMA
from tests.support.sizes import sized
from tests.support.standby import Standby

LOOPBACK = "127.0.0.1"
AGAIN_S = 0.05
LEASE_S = sized(2.0, 4.0)
# Few attempts at once, so that both nodes have some.
TIMES = {"lease_s": LEASE_S, "heartbeat_s": 0.5, "max_attempts_at_once": 4}


class Pair:
    """A primary and its standby, which change their parts. ``url`` names both, as reached at ``host`` of this machine.

    They sync their disks.
    """

    def __init__(self, host: str) -> None:
        addresses = LOOPBACK if host == LOOPBACK else f"{LOOPBACK},{host}"
        self._settings = {"listen_addresses": addresses, "wal_retrieve_retry_interval": "100ms"}
        self._host = host
        self._open = ExitStack()
        self._free_port = free_port()
        self.primary: Postgres = Postgres(self._settings)
        self._standby: Standby | None = None

    def __enter__(self) -> Self:
        self._open.enter_context(self.primary)
        self._name = self.primary.database()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    @property
    def url(self) -> str:
        hosts = ",".join(f"{self._host}:{port}" for port in (self.primary.port, self._free_port))
        return f"postgresql://{OWNER}@{hosts}/{self._name}?target_session_attrs=read-write"

    def add_standby(self) -> None:
        """From now on a commit returns when the standby has it on its disk too."""
        self._standby = Standby(self.primary, self._settings)
        self._standby.port = self._free_port
        self._open.enter_context(self._standby)
        self._standby.make_synchronous()

    def promote(self) -> None:
        """The standby, once the primary is dead. The port of the latter is that of the next standby."""
        assert self._standby is not None
        self._standby.promote()
        self._free_port, self.primary, self._standby = self.primary.port, self._standby, None


class StoredByEither(Stored):
    """Connects to the primary for each statement."""

    def __init__(self, pair: Pair) -> None:
        super().__init__(Path())
        self._pair = pair

    def select(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._pair.url, options=f"-c search_path={SCHEMA}") as connection:
            return connection.execute(statement.encode()).fetchall()


class Cluster(Lane):
    """``nodes``: jobs are posted to the first. The second is behind the first link of ``namespace``.

    ``refused`` counts posts that were told to come again later.
    """

    def __init__(self, root: Path, pair: Pair, namespace: Namespace | None) -> None:
        address = ANYWHERE if namespace is None else Address(namespace.links[1].outside)
        super().__init__(root, switches=TIMES, address=address, queue=pair.url)
        self.pair = pair
        self.stored = StoredByEither(pair)
        self.daemon.arguments += ("--allow-network", NETWORK)
        second = Daemon(
            root / "second",
            *self.daemon.arguments,
            "--role",
            "runner",
            switches=self.daemon.switches,
            environment=self.daemon.environment,
            before=() if namespace is None else namespace.command,
        )
        self.nodes = (self.daemon, second)
        self.refused = 0
        self._turn = threading.Lock()

    def __enter__(self) -> Self:
        for part in (self.sources, self.web, self.ftp, self.watch):
            self._open.enter_context(part)
        for node in self.nodes:
            self._open.push(node)
        with ThreadPoolExecutor() as threads:
            list(threads.map(Daemon.start, self.nodes))
        return self

    def post(self, job: object, key: str = "") -> Reply | None:
        reply = super().post(job, key)
        if reply is not None and reply.body.get("code") == 301:
            with self._turn:
                self.refused += 1
            time.sleep(AGAIN_S)
        return reply

    def connections(self) -> set[tuple[Any, ...]]:
        """By the epoch of their node. A node that lost one has another one."""
        return set(self.stored.select("SELECT epoch, link FROM node"))

    def running_on(self, node: Daemon) -> set[int]:
        """The jobs whose claims a node has, by the process in its name."""
        is_its = f"status = 'running' AND name LIKE '%:{node.pid}'"
        claimed = self.stored.select(f"SELECT number FROM job JOIN node ON node = node.epoch WHERE {is_its}")
        return {entry.job for entry in self.entries(self.posted) if (entry.number,) in claimed}
