"""A lane with several API nodes and runners on one database, of which any may die or stand still."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import psycopg

from tests.chaos.lane import Lane, is_frozen
from tests.support.daemon import Daemon, wait_until
from tests.support.postgres_house import SCHEMA

# Nodes look for dead ones with each heartbeat. The lease stays long, or a slow node would seem dead: the tests age the
# rows of those that are.
HEARTBEAT = {"heartbeat_s": 0.2}


class Fleet(Lane):
    """``daemon`` is the API node that jobs are posted to. ``queue``: the URL of its empty database."""

    def __init__(
        self,
        root: Path,
        queue: str,
        *,
        api_nodes: int = 2,
        runners: int = 2,
        switches: Mapping[str, object] | None = None,
        has_bucket: bool = False,
    ) -> None:
        self._url = queue
        super().__init__(root, switches={**HEARTBEAT, **(switches or {})}, has_bucket=has_bucket, queue=queue)
        self.api_nodes = [self.server(f"api-{number}", "--role", "api") for number in range(api_nodes)]
        self.runners = [self.server(f"runner-{number}", "--role", "runner") for number in range(runners)]
        self.daemon = self.api_nodes[0]

    @property
    def nodes(self) -> tuple[Daemon, ...]:
        return *self.api_nodes, *self.runners

    def __enter__(self) -> Self:
        super().__enter__()
        for node in self.nodes[1:]:
            self._open.enter_context(node)
        return self

    def until_one_died(self) -> Daemon:
        """The node that ended at the failpoint. It is armed no more, and jobs are posted to another API node."""
        wait_until(lambda: not all(node.is_running for node in self.nodes))
        self.failpoint.unlink()
        (dead,) = [node for node in self.nodes if not node.is_running]
        assert dead.wait() == 137
        self.daemon = next(node for node in self.api_nodes if node is not dead)
        return dead

    def until_one_froze(self) -> Daemon:
        """The node that stands still at the failpoint. No other will."""
        wait_until(lambda: any(map(is_frozen, self.nodes)))
        self.failpoint.unlink()
        (frozen,) = filter(is_frozen, self.nodes)
        return frozen

    def take_over_from(self, node: Daemon) -> None:
        """Let its lease end. Return when another node has taken over what it left, and all have had time to hear it."""
        name = f"name LIKE '%:{node.pid}'"
        with psycopg.connect(self._url, autocommit=True, options=f"-c search_path={SCHEMA}") as connection:
            connection.execute(f"UPDATE job SET lease_until = 0 WHERE node = (SELECT epoch FROM node WHERE {name})")
            connection.execute(f"UPDATE node SET seen_at = 0 WHERE {name}")
        wait_until(lambda: self.stored.select(f"SELECT count(*) FROM node WHERE {name}") == [(0,)])
        for _ in range(2):
            self._until_all_beat()

    def _until_all_beat(self) -> None:
        ((newest,),) = self.stored.select("SELECT max(seen_at) FROM node")
        wait_until(lambda: self.stored.select(f"SELECT count(*) FROM node WHERE seen_at <= {newest}") == [(0,)])

    def wake(self, node: Daemon) -> None:
        """Return when it knows that its claim is lost."""
        begin = len(node.log)
        os.kill(node.pid, signal.SIGCONT)
        wait_until(lambda: "is_ours=false" in node.log[begin:])

    def runner_of(self, number: int) -> Daemon:
        """The runner that has the claim of a job, by the process in its node's name."""
        ((name,),) = self.stored.select(
            f"SELECT name FROM node JOIN job ON job.node = node.epoch WHERE number = {number}"
        )
        pid = int(str(name).rpartition(":")[2])
        return next(runner for runner in self.runners if runner.pid == pid)
