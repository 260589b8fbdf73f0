"""The data directory, its file system and disk, the queue file and the jobs that wait in it. Called by ``report``."""

import contextlib
import os
import pwd
import stat
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from imgserve.cli import owner
from imgserve.cli.check import mounts
from imgserve.cli.check.finding import Finding, fault, ok, owner_of, tried, unknown, warning
from imgserve.cli.control import NotAllowed
from imgserve.engine.config import FLOORS_SPARED
from imgserve.errors import cause_of, counted, spell, user_name
from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.protocol import Counts
from imgserve.jobs.sqlite.breakage import RESTORE
from imgserve.jobs.sqlite.inspect import Inspected, inspect
from imgserve.jobs.sqlite.leaving import LEFT_NAME
from imgserve.jobs.sqlite.queue import FILE_NAME
from imgserve.settings.tree import Settings

LATE_S = 600.0
# A notice of the server that no setting shows, and that somebody should look after.
# Notices, since a program that is no proxy may look like one.
SIGNS_OF_PROXIES = ("possible_proxy", "untrusted_proxy")


def look(settings: Settings) -> Iterator[Finding]:
    place, user = settings.data_dir, owner_of(settings.data_dir)
    yield from tried("data_dir", lambda: _directory(settings), user)
    if not os.path.isdir(place):  # noqa: PTH112 - Path.is_dir raises
        return
    has_jobs = not settings.queue_address.is_postgres
    if has_jobs:
        yield from tried("file system", lambda: _file_system(place), user)
        yield from tried("disk", lambda: _disk(place, settings.queue.min_free_disk_bytes), user)
        yield from tried("fsync", lambda: _sync(place), user)
    is_served = True
    try:
        server = owner.look(place)
        is_served = server.state not in ("absent", "dead")
        yield from _server(place, server)
    except NotAllowed as error:
        yield unknown("server", error.detail, user)
    look_at_file = _queue(place, is_served=is_served) if has_jobs else _left_behind(place)
    yield from tried("queue file", lambda: look_at_file, user)


def _directory(settings: Settings) -> Iterator[Finding]:
    place = settings.data_dir
    status: os.stat_result | None = None
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        status = place.stat()
    if status is not None and stat.S_ISDIR(status.st_mode):
        yield _private(settings, status.st_uid)
        return
    above = next(parent for parent in place.absolute().parents if parent.exists())
    if os.path.lexists(place):
        yield fault("data_dir", f"{place} is no directory", "remove it, or name another with --data-dir")
    elif os.access(above, os.W_OK | os.X_OK):
        yield ok("data_dir", f"{place} will be made by the first start")
        if not settings.queue_address.is_postgres:
            yield from _file_system(above)
    else:
        detail = f"{place} is not there, and {above} does not let it be made"
        yield fault("data_dir", detail, "make it, or name another")


def _private(settings: Settings, owner_id: int) -> Finding:
    place, uid, holder = settings.data_dir, os.geteuid(), user_name(owner_id)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (place, *sorted(place.glob(FILE_NAME + "*")))}
    if open_ones := [f"{path} has mode {mode:04o}" for path, mode in modes.items() if mode & 0o077]:
        detail = f"others can reach the passwords in its jobs: {', '.join(open_ones)}"
        return fault("data_dir", detail, "chmod 0700 the directory, 0600 the files")
    try:
        wanted = pwd.getpwnam(settings.user).pw_uid if settings.user else uid
    except KeyError:
        return fault("user", f"there is no user {settings.user}", "make that user, or name another")
    if owner_id == wanted or (uid == 0 and not settings.user):
        return ok("data_dir", f"{place} is private to {holder}")
    if uid != 0:
        detail = f"{place} belongs to {holder}, and this check runs as {user_name(uid)}"
        otherwise = f"for a server of {user_name(uid)}: chown -R {user_name(uid)} {place}"
        return unknown("data_dir", detail, holder, otherwise)
    detail = f"{place} belongs to {holder}, expected {settings.user}"
    return fault("data_dir", detail, f"chown -R {settings.user} {place}")


def _file_system(place: Path) -> Iterator[Finding]:
    kind = mounts.file_system(place)
    if kind in mounts.FLEETING:
        yield fault("data_dir", f"{place} is on {kind}: a reboot loses every job", "put it on a disk")
    elif kind in mounts.REMOTE:
        yield fault("data_dir", f"{place} is on {kind}, whose locks and syncs cannot be relied on", "use a local disk")
    elif kind == "overlay":
        detail = f"{place} is in a container's own layer and goes with the container"
        yield warning("data_dir", detail, "mount a volume there")
    else:
        yield ok("file system", kind or "unknown")


def _disk(place: Path, floor_bytes: int) -> Iterator[Finding]:
    status = os.statvfs(place)
    free_bytes = status.f_bavail * status.f_frsize
    detail = f"{free_bytes // 1_000_000:,} MB are free, jobs are accepted down to {floor_bytes // 1_000_000:,} MB"
    if free_bytes < floor_bytes:
        yield fault("disk", detail, "free disk space; the server goes on by itself")
    elif free_bytes < floor_bytes * FLOORS_SPARED:
        yield warning("disk", detail, "free disk space")
    else:
        yield ok("disk", detail)
    if status.f_files and not status.f_favail:
        yield fault("disk", "no inode is free", "delete files that nobody needs")


def _sync(place: Path) -> Iterator[Finding]:
    started = time.monotonic()
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"imgserve check")
            file.flush()
            os.fsync(file.fileno())
    except PermissionError as error:
        raise PermissionError(error.errno, error.strerror, str(place)) from error  # not the file that was tried
    except OSError as error:
        cause, remedy = cause_of(error)
        yield fault("fsync", f"{place} cannot be written: {cause}", remedy or "repair the disk")
    else:
        yield ok("fsync", f"a write reaches the disk in {(time.monotonic() - started) * 1000:.1f} ms")


def _server(place: Path, server: owner.Owner) -> Iterator[Finding]:
    """The server that owns the directory, and the states that it reports."""
    pid = f"pid {server.pid}" if server.pid else "a process that cannot be seen from here"
    if server.state in ("absent", "dead"):
        yield ok("server", f"none owns {place} now")
    elif server.state == "silent":
        yield warning("server", f"{pid} owns {place} and does not answer", "look at its log")
    else:
        yield ok("server", f"{pid} owns {place}")
    for state in server.view.states if server.view else ():
        if state.severity == "refusing" and state.name != "draining":
            yield fault("server", f"{state.name}: {state.detail}", state.hint)
        elif state.severity == "warning" or state.name in SIGNS_OF_PROXIES:
            yield warning("server", f"{state.name}: {state.detail}", state.hint)


def _queue(place: Path, *, is_served: bool) -> Iterator[Finding]:
    if (place / LEFT_NAME).exists():
        detail = f"the jobs were moved into a database ({place / LEFT_NAME}), and a queue file does not have them"
        yield warning("queue file", detail, "name the database with --queue, or remove that file")
    try:
        queue = inspect(place)
    except StorageFailing as error:
        yield fault("queue file", error.detail, spell(error.hint) or RESTORE)
        return
    if queue is None:
        yield ok("queue file", "none yet, the first start makes it")
        return
    yield _queue_file(queue)
    if queue.counts is not None:
        yield from jobs(queue.counts, is_served=is_served)


def jobs(counts: Counts, *, is_served: bool) -> Iterator[Finding]:
    """Those that a queue has, and what it still has to send. ``is_served``: a server works for it."""
    yield _waiting(counts, time.time(), is_served=is_served)
    yield _outbox(counts)
    yield _webhooks(counts)


def _left_behind(place: Path) -> Iterator[Finding]:
    """A queue file beside a queue in a database."""
    try:
        queue = inspect(place)
    except StorageFailing as error:
        yield warning("queue file", f"no server uses {place / FILE_NAME}: {error.detail}", spell(error.hint) or RESTORE)
        return
    if queue is None or (queue.counts is not None and _open(queue.counts) == 0):
        return
    left = "may have jobs" if queue.counts is None else f"has {counted(_open(queue.counts), 'job')}"
    yield warning("queue file", f"{place / FILE_NAME} still {left}, which no server carries out", "imgserve queue move")


def _open(counts: Counts) -> int:
    return counts.waiting + counts.running


def _queue_file(queue: Inspected) -> Finding:
    if queue.schema > queue.newest_schema:
        detail = f"has schema {queue.schema}, this imgserve knows {queue.newest_schema}"
        return fault("queue file", detail, "use the newer imgserve that wrote it")
    if queue.damage:
        return fault("queue file", "; ".join(queue.damage), "stop the server, restore a backup: see docs/operations.md")
    if queue.schema < queue.newest_schema:
        return ok("queue file", f"has schema {queue.schema}; the next start brings it to {queue.newest_schema}")
    detail = f"schema {queue.schema}, last used by imgserve {queue.version}; quick_check finds no damage"
    return ok("queue file", detail)


def _waiting(queue: Counts, now: float, *, is_served: bool) -> Finding:
    detail = f"{counted(queue.waiting, 'job')} waiting, {queue.running} running"
    if queue.oldest_at is not None:
        detail += f", the oldest since {timedelta(seconds=int(max(now - queue.oldest_at, 0)))}"
    if queue.waiting and not is_served:
        return warning("queue", f"{detail}, and no server runs", "imgserve start")
    if queue.due_at is not None and now - queue.due_at > LATE_S:
        hint = "more workers, or look in the log for a destination that holds everything up"
        return warning("queue", f"{detail}, one is {timedelta(seconds=int(now - queue.due_at))} late", hint)
    return ok("queue", detail)


def _outbox(queue: Counts) -> Finding:
    if not queue.placeholders_left:
        return ok("outbox", "no failure picture is pending")
    detail = f"placeholders left: {queue.pending:,} still tried, {queue.abandoned:,} given up"
    detail += f", {queue.unreadable:,} of stored jobs that cannot be read"
    hint = "look in the log for placeholder_left and placeholder_abandoned, and replace the last two by hand"
    return warning("outbox", detail, hint)


def _webhooks(queue: Counts) -> Finding:
    if not queue.webhooks_abandoned:
        return ok("webhooks", f"{counted(queue.webhooks, 'message')} still to be sent")
    detail = f"messages left: {queue.webhooks:,} still tried, {queue.webhooks_abandoned:,} given up"
    hint = "look in the log for webhook_abandoned, mend the receiver, and replay the webhooks of these jobs"
    return warning("webhooks", detail, hint)
