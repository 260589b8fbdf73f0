"""``imgserve submit``: posts jobs from files to the running server and may wait for their ends."""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from imgserve.cli import output
from imgserve.cli.control import Client, Refused, job_path
from imgserve.errors import FileUnusable, cause_of
from imgserve.jobs.views import OperatorJobView
from imgserve.request.classic.parse import is_job

WAIT_S = 30
UNHELD_PAUSE_S = 1.0


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="+",
        metavar="JOB.json",
        help="a job of the native API or of the classic protocol; - reads standard input",
    )
    parser.add_argument(
        "--wait", action="store_true", help="wait until all jobs have ended; exit with 0 if all succeeded"
    )
    output.asks(parser, _submit)


def _submit(flags: argparse.Namespace) -> int:
    client = output.client_of(flags)
    is_good = True
    posted: list[OperatorJobView] = []
    for name in output.progress(flags.files, len(flags.files), "posting"):
        try:
            job = _posted(client, _read(name))
        except (Refused, FileUnusable) as error:
            output.complain(f"{name}: {error.sentence()}")
            is_good = False
            continue
        posted.append(job)
        if not flags.wait:
            _show(job, flags)
    if flags.wait:
        for job in output.progress(_ends(client, posted), len(posted), "waiting"):
            _show(job, flags)
            is_good = is_good and job.status == "succeeded"
    return output.DONE if is_good else output.FAILED


def _posted(client: Client, text: bytes) -> OperatorJobView:
    """Raises NoServer, Refused."""
    if _is_classic(text):
        return client.get(job_path(client.submit_classic(text)), OperatorJobView)
    return client.post(job_path(), OperatorJobView, text)


def _is_classic(text: bytes) -> bool:
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return False
    return isinstance(value, dict) and is_job(value)


def _read(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        hint = "expected a file that holds a job, or - for standard input"
        raise FileUnusable(cause_of(error)[0], hint) from error


def _ends(client: Client, jobs: list[OperatorJobView]) -> Iterator[OperatorJobView]:
    """Each job once it has ended."""
    for job in jobs:
        while job.ended_at is None:
            job, is_held = client.awaited(job_path(job.id), OperatorJobView, WAIT_S)
            if not is_held:  # too many clients wait
                time.sleep(UNHELD_PAUSE_S)
        yield job


def _show(job: OperatorJobView, flags: argparse.Namespace) -> None:
    lines = [f"{job.id}  {job.status:<10}  {place.destination}" for place in job.outputs]
    lines += [f"{job.id}  {job.error.sentence()}"] if job.error else []
    output.show(job, "\n".join(lines), is_json=flags.json)
