"""Pictures that kill their workers among many that do not: each fails after three deaths, the rest are untouched.

What kills is the test: it watches which worker holds a poisonous picture and something to write the result to.
"""

import os
import signal
from contextlib import suppress
from pathlib import Path

from tests.chaos.gauges import Gauge
from tests.chaos.lane import KINDS, Lane
from tests.chaos.test_workers import ready_workers
from tests.support import pictures
from tests.support.sizes import Figures, sized

POISONS = sized(2, 50)
JOBS = sized(24, 1000)
POISON = pictures.slow_svg()  # the worker has it for five seconds, which is long enough to be found


class Poisoner(Gauge[None]):
    """Kills each worker that renders a picture of this size; ``killed`` are their process ids."""

    def __init__(self, server_pid: int, size_bytes: int) -> None:
        super().__init__(self._kill, 0.02)
        self._server_pid = server_pid
        self._size_bytes = size_bytes
        self.killed: list[int] = []

    def _kill(self) -> None:
        for pid in ready_workers(self._server_pid):
            if pid not in self.killed[-8:] and self._renders_poison(pid):  # one that dies is still seen for a while
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                self.killed.append(pid)

    def _renders_poison(self, pid: int) -> bool:
        """A probe holds the picture only, a render an empty memfd for its result besides."""
        sizes = []
        with suppress(OSError):
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    if "memfd:imgserve" in str(entry.readlink()):
                        sizes.append(entry.stat().st_size)
        return self._size_bytes in sizes and 0 in sizes


def test_a_picture_that_kills_its_worker_hurts_nobody_else(tmp_path: Path, figures: Figures) -> None:
    bad = range(0, JOBS, JOBS // POISONS)[:POISONS]
    with (
        Lane(tmp_path / "lane", workers=2, extra_sources={"poison.svg": POISON}) as lane,
        Poisoner(lane.daemon.pid, len(POISON)) as poisoner,
    ):
        for number in range(JOBS):
            place = lane.place(KINDS[number % 4], f"p{number}")
            if number in bad:
                lane.accept({**lane.job(number, place, "plain/poison.svg"), "operationType": "rasterize"})
            else:
                lane.accept(lane.job(number, place, f"plain/good-{number}.png"))
        lane.until_ended(range(JOBS), timeout_s=60 + 3 * POISONS)
        poisoned = lane.entries(bad)
        assert [(entry.status, entry.error, entry.crashes) for entry in poisoned] == [("failed", "poison", 3)] * POISONS
        assert {entry.outbox for entry in poisoned} == {"done"}
        good = lane.entries(set(range(JOBS)) - set(bad))
        assert {(entry.status, entry.attempts, entry.crashes) for entry in good} == {("succeeded", 0, 0)}
        assert lane.faults(range(JOBS)) == []
        assert len(poisoner.killed) == 3 * POISONS
    figures("jobs", JOBS)
    figures("poisonous", POISONS)
    figures("worker deaths", len(poisoner.killed))
