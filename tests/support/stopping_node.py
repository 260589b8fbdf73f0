"""A node in a process of its own, which stands still in the middle of a transaction, and may be woken."""

import asyncio
import os
import signal
import subprocess
import sys
from types import TracebackType
from typing import Self

import msgspec

from imgserve.jobs.config import Config
from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.model import Accepted
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.connection import Connection
from imgserve.jobs.postgres.queue import PostgresQueue
from tests.support.queues import LOST, START, claimed, ended, final_of, new_job
from tests.support.sizes import PATIENCE_S


class Report(msgspec.Struct, frozen=True):
    """What the node could do when it was woken, with the claim that it had. ``accepted``: a new job's number."""

    is_write_refused: bool
    kept_claims: list[int]
    is_settled: bool
    accepted: int


class StoppingNode:
    """Claims the one job that is due at START, and stops in a transaction behind ``statement``. It wakes at ``now``."""

    def __init__(self, url: str, statement: str, now: float) -> None:
        command = (sys.executable, "-m", "tests.support.stopping_node", url, statement, str(now))
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    async def until_stopped(self) -> None:
        state = await asyncio.to_thread(os.waitid, os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        assert state is not None
        assert state.si_code == os.CLD_STOPPED

    async def wake(self) -> Report:
        self._process.send_signal(signal.SIGCONT)
        report, _ = await asyncio.to_thread(self._process.communicate, timeout=PATIENCE_S)
        return msgspec.json.decode(report, type=Report)


async def _run(url: str, statement: str, now: float) -> Report:
    queue = await PostgresQueue.open(Address(url), Config(), START)
    claim = await claimed(queue)
    await _stop(queue, statement)
    write, kept = await queue.acquire(final_of(claim), now), await queue.heartbeat((claim,), now)
    is_settled = await queue.settle(ended(claim, "delivered"), now)
    entry = await queue.enqueue(msgspec.structs.replace(new_job(), id="woken", digest=b"woken"), now)
    assert isinstance(entry, Accepted)
    report = Report(write == LOST, sorted(kept), is_settled, entry.number)
    os.write(sys.stdout.fileno(), msgspec.json.encode(report))
    os._exit(0)  # as a killed node, which leaves its row


async def _stop(queue: PostgresQueue, statement: str) -> None:
    has_stopped = False

    def transaction(db: Connection) -> None:
        nonlocal has_stopped
        db.execute(statement).fetchone()
        if not has_stopped:
            has_stopped = True
            signal.raise_signal(signal.SIGSTOP)  # this thread stops first

    try:
        await queue._committer.run(transaction)
    except StorageFailing as error:
        assert "broke while it stored this" in error.in_full.detail  # noqa: PT017 - or it was done again


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1], sys.argv[2], float(sys.argv[3])))
