"""``imgserve jobs watch``: prints what happens to jobs, as it happens, until Ctrl-C or the end of the one job."""

import argparse
import sys

from imgserve.cli import control, output
from imgserve.cli.control import NoServer, job_path
from imgserve.client import Client, Event, Unreachable
from imgserve.jobs.views import OperatorJobList, OperatorJobView
from imgserve.settings import load


def watch(flags: argparse.Namespace) -> int:
    """Exit with 0 if the one job has succeeded."""
    data_dir = load.locate(flags).data_dir
    job_id = _whole(control.Client(data_dir), flags.id)
    status = ""
    try:
        with Client(data_dir=data_dir) as client:
            for event in client.events(job_id=job_id, types=flags.type):
                status = event.job.status if event.job else status
                output.show(event, _line(event), is_json=flags.json)
                sys.stdout.flush()  # a pipe's reader waits for each line
    except Unreachable as error:
        raise NoServer(error.detail, error.hint) from error
    return output.DONE if status == "succeeded" else output.FAILED


def _whole(client: control.Client, beginning: str | None) -> str:
    """The id that begins so; empty for all jobs of a server, which runs. Raises NoServer, Refused."""
    if beginning is None:
        client.get("/v1/jobs", OperatorJobList, {"limit": 1})
        return ""
    return client.get(job_path(beginning), OperatorJobView).id


def _line(event: Event) -> str:
    at = f"{event.timestamp.astimezone():%H:%M:%S}" if event.timestamp else "-"
    line = f"{at:<8}  {event.type:<18}"
    if event.job is None:
        return line.rstrip()
    place = event.output
    error = place.error if place else event.job.error
    code = error.code if error and error.code != event.job.status else ""
    words = (event.job.id, event.job.status, place.destination if place else "", code)
    return "  ".join(filter(None, (line, *words)))
