"""``imgserve jobs list|refused|show|watch|retry|cancel``: for the operator of the running server."""

import argparse
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import get_args

from imgserve.cli import output
from imgserve.cli.control import Client, Refused, job_path
from imgserve.errors import counted
from imgserve.jobs.model import EventType, JobStatus
from imgserve.jobs.views import (
    MAX_LISTED,
    MAX_REFUSALS,
    OperatorJobList,
    OperatorJobView,
    OperatorOutputView,
    RefusalPage,
)

# The status of a filter that names none.
TARGETS: dict[str, tuple[JobStatus, ...]] = {"retry": ("failed",), "cancel": ("queued", "running")}
SHOWN = (
    "id", "status", "protocol", "principal", "priority", "created_at", "not_before", "deadline_at", "ended_at",
    "superseded_by", "retries",
)  # fmt: skip
ID_LENGTH = 32
SENT = "(came with the request)"
_ID = re.compile(r"[0-9a-z]{1,32}")
DONE = {"retry": "queued again", "cancel": "cancelled"}


def add(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    lister = actions.add_parser("list", help="jobs, newest first")
    statuses, about = get_args(JobStatus), "only jobs with this status; repeatable"
    lister.add_argument("--status", action="append", choices=statuses, default=[], metavar="STATUS", help=about)
    _add_filters(lister)
    output.asks(lister, _list)
    refuser = actions.add_parser("refused", help="refused posts, newest first")
    output.asks(refuser, _refused)
    about = "maximum number of rows (default: %(default)s)"
    for command in (lister, refuser):
        command.add_argument("--limit", type=_count, default=50, metavar="N", help=about)
    shower = actions.add_parser("show", help="all details of one job")
    shower.add_argument("id", type=_id, metavar="ID", help="the X-Imgserve-Job of the reply, or its beginning")
    output.asks(shower, _show)
    watcher = actions.add_parser("watch", help="print what happens to jobs, as it happens")
    about = "only this job, until it has ended; exit with 0 if it succeeded"
    watcher.add_argument("id", nargs="?", type=_id, metavar="ID", help=about)
    types = get_args(EventType)
    about = f"only events of this type; repeatable: {', '.join(types)}"
    watcher.add_argument("--type", action="append", choices=types, default=[], metavar="TYPE", help=about)
    output.asks(watcher, _watch)
    for action, about in (("retry", "queue failed jobs again"), ("cancel", "cancel jobs without a delivered result")):
        changer = actions.add_parser(action, help=about)
        about = "ids of jobs, or their beginnings; or use a filter below"
        changer.add_argument("ids", nargs="*", type=_id, metavar="ID", help=about)
        changer.add_argument("--all", action="store_true", help=f"all jobs that are {' or '.join(TARGETS[action])}")
        _add_filters(changer)
        changer.add_argument("--yes", action="store_true", help="do not ask")
        output.asks(changer, _change)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--destination", metavar="TEXT", default="", help="only jobs with TEXT in a destination")
    parser.add_argument("--older-than", type=output.duration, metavar="TIME", help="only older jobs: 90s, 15m, 2h, 3d")


def _id(text: str) -> str:
    if not _ID.fullmatch(text.lower()):
        shown = repr(text) if len(text) <= ID_LENGTH else f"a text of {len(text):,} characters"
        raise argparse.ArgumentTypeError(f"expected a job's id, or how it begins, got {shown}")
    return text.lower()


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def _list(flags: argparse.Namespace) -> int:
    jobs = list(_matching(output.client_of(flags), tuple(flags.status), flags, flags.limit))
    if not jobs:
        has_filter = flags.status or _has_filter(flags)
        output.complain("no job matches" if has_filter else "there are no jobs")
        return output.FAILED if has_filter else output.DONE
    if not flags.json:
        output.say(f"{'ID':<32}  {'STATUS':<10}  {'AGE':>5}  {'ATTEMPTS':>8}  {'ERROR':<20}  DESTINATION")
    for job in jobs:
        places = ", ".join(place.destination for place in job.outputs)
        attempts = max((place.attempts for place in job.outputs), default=0)
        code = job.error.code if job.error else "-"
        line = f"{job.id}  {job.status:<10}  {_age(job):>5}  {attempts:>8}  {code:<20}  {places}"
        output.show(job, line, is_json=flags.json)
    return output.DONE


def _refused(flags: argparse.Namespace) -> int:
    """The server remembers the last thousand since its start."""
    page = output.client_of(flags).get("/v1/refusals", RefusalPage, {"limit": min(flags.limit, MAX_REFUSALS)})
    for refusal in page.refusals:
        sender = " ".join(filter(None, (refusal.principal, refusal.client, refusal.host)))
        lines = [f"{refusal.at:%Y-%m-%d %H:%M:%S}  {refusal.classic_code or '-':>3}  {refusal.code}  {sender}"]
        lines += [f"{'':<26}{refusal.detail}"]
        if refusal.destinations:
            lines.append(f"{'':<26}{refusal.source or SENT} -> {', '.join(refusal.destinations)}")
        output.show(refusal, "\n".join(lines), is_json=flags.json)
    if not page.refusals:
        output.complain("no job was refused since the server was started")
    return output.DONE if page.refusals else output.FAILED


def _watch(flags: argparse.Namespace) -> int:
    from imgserve.cli import watching  # the other actions need no client of their own

    return watching.watch(flags)


def _show(flags: argparse.Namespace) -> int:
    job = output.client_of(flags).get(job_path(flags.id), OperatorJobView)
    lines = [_line(name.replace("_", " "), _text(getattr(job, name))) for name in SHOWN]
    lines.append(_line("source", job.source.url or SENT))
    lines += [_line("metadata", f"{name} = {value}") for name, value in job.metadata.items()]
    if job.webhook is not None:
        lines.append(_line("webhook", f"{job.webhook.url} ({', '.join(job.webhook.events)})"))
    for place in job.outputs:
        lines += _output_lines(place)
    lines += [_line("warning", f"{each.path}: {each.detail}") for each in job.warnings]
    for entry in job.timeline or ():
        took = "" if entry.duration_ms is None else f" after {entry.duration_ms:,} ms"
        about = " ".join(filter(None, (entry.event, entry.output, entry.code)))
        lines.append(_line("", f"{entry.at:%Y-%m-%d %H:%M:%S}  {about}{took}"))
    output.show(job, "\n".join(lines), is_json=flags.json)
    return output.DONE


def _output_lines(place: OperatorOutputView) -> list[str]:
    sides = f"{place.width}x{place.height} " if place.width else ""
    size = f"{sides}{place.format}" if place.format else "-"
    outbox = "".join(f", {entry.kind} {entry.state}" for entry in place.outbox)
    lines = [
        _line("output", f"{place.name}: {place.destination}"),
        _line("", f"{size}, {place.status}, placeholder {place.placeholder or 'pending'}{outbox}"),
    ]
    crashes = f", {counted(place.crashes, 'dead worker')} among them" if place.crashes else ""
    again = f", the next at {_text(place.next_attempt_at)}" if place.next_attempt_at else ""
    lines.append(_line("", f"{counted(place.attempts, 'attempt')}{crashes}{again}"))
    return lines + ([_line("error", place.error.sentence())] if place.error else [])


def _line(label: str, text: str) -> str:
    return f"{label:<13} {text}"


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return "-" if value is None else str(value)


def _change(flags: argparse.Namespace) -> int:
    """Retry or cancel one job after the other, and print each refusal."""
    has_filter = flags.all or _has_filter(flags)
    if bool(flags.ids) == has_filter:
        output.complain(f"jobs {flags.action}: expected either ids or a filter (--all, --destination, --older-than)")
        return output.USAGE
    client = output.client_of(flags)
    ids = flags.ids or [job.id for job in _matching(client, TARGETS[flags.action], flags, None)]
    if not ids:
        output.complain(f"no job matches: none of these is {' or '.join(TARGETS[flags.action])}")
        return output.DONE
    jobs = counted(len(ids), "job")
    if has_filter and not flags.yes and not _confirmed(f"{flags.action} {jobs}?"):
        output.complain(f"nothing was done: to {flags.action} {jobs} without being asked add --yes")
        return output.USAGE
    done = 0
    for job_id in output.progress(ids, len(ids), flags.action):
        try:
            job = client.post(job_path(_whole(client, job_id), flags.action), OperatorJobView)
        except Refused as error:
            output.complain(f"{job_id}: {error.sentence()}")
            continue
        done += 1
        output.show(job, f"{job.id}  {DONE[flags.action]}", is_json=flags.json)
    return output.DONE if done == len(ids) else output.FAILED


def _has_filter(flags: argparse.Namespace) -> bool:
    return bool(flags.destination) or flags.older_than is not None


def _whole(client: Client, job_id: str) -> str:
    """The id that begins like this. Raises Refused when there is none, or more than one."""
    return job_id if len(job_id) >= ID_LENGTH else client.get(job_path(job_id), OperatorJobView).id


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        return False
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _matching(
    client: Client, statuses: tuple[JobStatus, ...], flags: argparse.Namespace, limit: int | None
) -> Iterator[OperatorJobView]:
    """All that match, page by page."""
    filters = {"status": ",".join(statuses), "destination_contains": flags.destination}
    if flags.older_than is not None:
        filters["created_before"] = (datetime.now(UTC) - timedelta(seconds=flags.older_than)).isoformat()
    cursor, left = None, limit
    while left is None or left > 0:
        params = {**filters, "cursor": cursor, "limit": min(left or MAX_LISTED, MAX_LISTED)}
        page = client.get("/v1/jobs", OperatorJobList, params)
        yield from page.jobs
        left = None if left is None else left - len(page.jobs)
        cursor = page.next
        if cursor is None:
            return


def _age(job: OperatorJobView) -> str:
    return output.age((datetime.now(UTC) - job.created_at).total_seconds())
