"""CPU time of a job's seven log lines, of the task that logs and of the thread that writes; see README.md beside this.

python -m bench.loglines [--jobs N] [--format json]
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from imgserve.server.logfile import LogFile
from imgserve.telemetry import logs
from imgserve.telemetry.config import Format, LogFileConfig, LogsConfig

ROUNDS = 7
BETWEEN_S = 0.003


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.loglines", description="CPU time of a job's log lines.")
    parser.add_argument("--jobs", type=int, default=300, help="jobs a round")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    given = parser.parse_args()
    # A LogFile takes stdout for the log.
    with tempfile.TemporaryDirectory() as top, os.fdopen(os.dup(1), "w") as shown:
        figures = [_round(given.jobs, given.format, Path(top, "log")) for _ in range(ROUNDS)]
        all_ms, loop_ms = (median(column) for column in zip(*figures, strict=True))
        shown.write(f"CPU ms a job: {all_ms:.3f}, of that the thread that logs {loop_ms:.3f}\n")


def _round(jobs: int, shape: Format, path: Path) -> tuple[float, float]:
    """Of the process and of this thread, without what the pauses between the jobs cost."""
    logs.start(LogsConfig(format=shape), LogFile(LogFileConfig(str(path))).write)
    with_lines = _spent(jobs, _job)
    logs.stop()
    without = _spent(jobs, lambda _: None)
    return (with_lines[0] - without[0]) * 1000 / jobs, (with_lines[1] - without[1]) * 1000 / jobs


def _spent(jobs: int, work: Callable[[int], None]) -> tuple[float, float]:
    before = _cpu_s(), time.thread_time()
    for number in range(jobs):
        work(number)
        time.sleep(BETWEEN_S)
    return _cpu_s() - before[0], time.thread_time() - before[1]


def _job(number: int) -> None:
    logs.job.set(f"{number:032x}")
    logs.event("accepted", source="http://127.0.0.1:8000/picture.jpg", outputs=1, key="first")
    for stage in ("probe", "deliver_placeholder", "fetch", "render", "deliver_final"):
        logs.event(stage, output=0, ms=4.5123, code="")
    logs.event("succeeded", attempts=1, url=f"http://127.0.0.1:8001/{number}.jpg", ms=55.2)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
