"""Where the queue is: directory, file system, disk, the file itself and what waits in it. Called by ``report``."""

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
from imgserve.cli.check.finding import Finding, as_whom, fault, ok, owner_of, tried, unknown, warning
from imgserve.cli.control import NotAllowed
from imgserve.errors import cause_of, counted, sentence_of, spell, user_name
from imgserve.jobs.protocol import Counts, StorageFailing
from imgserve.jobs.sqlite.breakage import RESTORE
from imgserve.jobs.sqlite.inspect import Inspected, inspect
from imgserve.jobs.sqlite.queue import FILE_NAME
from imgserve.settings.tree import Settings

LATE_S = 600.0
# Notices that no setting shows, and that somebody should look after.
OPEN_TO_ALL = frozenset({"possible_proxy"})
_SMALL_SHARE = 4  # times the floor: below it the end is near


def look(settings: Settings) -> Iterator[Finding]:
    place = settings.data_dir
    user = owner_of(place)
    there = False

    def directory() -> Iterator[Finding]:
        nonlocal there
        try:
            there = stat.S_ISDIR(place.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            there = False
        yield from [_directory(settings)] if there else _not_yet(place)

    yield from tried("data_dir", directory, user)
    if not there:
        return
    yield from tried("file system", lambda: _file_system(place), user)
    yield from tried("disk", lambda: _disk(place, settings.queue.min_free_disk_bytes), user)
    yield from tried("fsync", lambda: [_sync(place)], user)
    is_served = True
    try:
        seen = owner.look(place)
        is_served = seen.state not in ("absent", "dead")
        yield from _server(place, seen)
    except NotAllowed as error:
        yield unknown("server", error.detail, as_whom(user))
    yield from tried("queue file", lambda: _queue(place, is_served=is_served), user)


def _not_yet(place: Path) -> Iterator[Finding]:
    if os.path.lexists(place):
        yield fault("data_dir", f"{place} is no directory", "remove it, or name another with --data-dir")
        return
    above = next(one for one in place.absolute().parents if one.exists())
    if os.access(above, os.W_OK | os.X_OK):
        yield ok("data_dir", f"{place} will be made by the first start")
        yield from _file_system(above)
    else:
        yield fault(
            "data_dir", f"{place} is not there, and {above} does not let it be made", "make it, or name another"
        )


def _directory(settings: Settings) -> Finding:
    place, told = settings.data_dir, settings.data_dir.stat()
    wrong = [
        f"{one} has mode {stat.S_IMODE(one.stat().st_mode):04o}"
        for one in (place, *sorted(place.glob(FILE_NAME + "*")))
        if one.stat().st_mode & 0o077
    ]
    if wrong:
        detail = f"others can reach the passwords in its jobs: {', '.join(wrong)}"
        return fault("data_dir", detail, "chmod 0700 the directory, 0600 the files")
    try:
        wanted = pwd.getpwnam(settings.user).pw_uid if settings.user else os.geteuid()
    except KeyError:
        return fault("user", f"there is no user {settings.user}", "make that user, or name another")
    holder = user_name(told.st_uid)
    if told.st_uid != wanted and os.geteuid() != 0:
        us = user_name(os.geteuid())
        hint = f"{as_whom(holder)}; for a server of {us}: chown -R {us} {place}"
        return unknown("data_dir", f"{place} belongs to {holder}, and this check runs as {us}", hint)
    if told.st_uid != wanted and settings.user:
        hint = f"chown -R {settings.user} {place}"
        return fault("data_dir", f"{place} belongs to {holder}, expected {settings.user}", hint)
    return ok("data_dir", f"{place} is private to {holder}")


def _file_system(place: Path) -> Iterator[Finding]:
    kind = mounts.file_system(place)
    if kind in mounts.FLEETING:
        yield fault("data_dir", f"{place} is on {kind}: a reboot loses every job", "put it on a disk")
    elif kind in mounts.REMOTE:
        yield fault("data_dir", f"{place} is on {kind}, whose locks and syncs cannot be relied on", "use a local disk")
    elif kind == "overlay":
        hint = "mount a volume there"
        yield warning("data_dir", f"{place} is in a container's own layer and goes with the container", hint)
    else:
        yield ok("file system", kind or "unknown")


def _disk(place: Path, floor: int) -> Iterator[Finding]:
    told = os.statvfs(place)
    free = told.f_bavail * told.f_frsize
    said = f"{free // 1_000_000:,} MB are free, jobs are taken down to {floor // 1_000_000:,} MB"
    if free < floor:
        yield fault("disk", said, "free disk space; the server goes on by itself")
    elif free < floor * _SMALL_SHARE:
        yield warning("disk", said, "free disk space")
    else:
        yield ok("disk", said)
    if told.f_files and not told.f_favail:
        yield fault("disk", "no inode is free", "delete files that nobody needs")


def _sync(place: Path) -> Finding:
    started = time.monotonic()
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"imgserve check")
            file.flush()
            os.fsync(file.fileno())
    except PermissionError as error:
        raise PermissionError(error.errno, error.strerror, str(place)) from error  # not the name that was tried
    except OSError as error:
        cause, remedy = cause_of(error)
        return fault("fsync", f"{place} cannot be written: {cause}", remedy or "mend the disk")
    return ok("fsync", f"a write reaches the disk in {(time.monotonic() - started) * 1000:.1f} ms")


def _server(place: Path, seen: owner.Owner) -> Iterator[Finding]:
    """The server that owns the directory, and the states that it reports."""
    pid = f"pid {seen.pid}" if seen.pid else "a process that cannot be seen from here"
    if seen.state in ("absent", "dead"):
        yield ok("server", f"none owns {place} now")
    elif seen.state == "silent":
        yield warning("server", f"{pid} owns {place} and does not answer", "look at its log")
    else:
        yield ok("server", f"{pid} owns {place}")
    for state in seen.server.states if seen.server else ():
        is_told = state.severity in ("refusing", "warning") or state.name in OPEN_TO_ALL
        if is_told and state.name != "draining":
            judged = fault if state.severity == "refusing" else warning
            yield judged("server", f"{state.name}: {state.detail}", state.hint)


def _queue(place: Path, *, is_served: bool) -> Iterator[Finding]:
    try:
        told = inspect(place)
    except PermissionError:
        raise
    except (StorageFailing, OSError) as error:
        hint = spell(error.hint) if isinstance(error, StorageFailing) and error.hint else RESTORE
        yield fault("queue file", error.detail if isinstance(error, StorageFailing) else sentence_of(error), hint)
        return
    if told is None:
        yield ok("queue file", "none yet, the first start makes it")
        return
    yield _queue_file(told)
    if told.counts is not None:
        yield _waiting(told.counts, time.time(), is_served=is_served)
        yield from _outbox(told.counts)


def _queue_file(told: Inspected) -> Finding:
    if told.schema > told.newest_schema:
        detail = f"has schema {told.schema}, this imgserve knows {told.newest_schema}"
        return fault("queue file", detail, "use the newer imgserve that wrote it")
    if told.damage:
        return fault("queue file", "; ".join(told.damage), "stop the server, restore a backup: see docs/operations.md")
    if told.schema < told.newest_schema:
        return ok("queue file", f"has schema {told.schema}; the next start brings it to {told.newest_schema}")
    return ok("queue file", f"schema {told.schema}, last used by imgserve {told.version}; quick_check finds no damage")


def _waiting(told: Counts, now: float, *, is_served: bool) -> Finding:
    said = f"{counted(told.waiting, 'job')} waiting, {told.running} running"
    if told.oldest_at is not None:
        said += f", the oldest since {timedelta(seconds=int(max(now - told.oldest_at, 0)))}"
    if told.waiting and not is_served:
        return warning("queue", f"{said}, and no server runs", "imgserve start")
    if told.due_at is not None and now - told.due_at > LATE_S:
        hint = "more workers, or look in the log for a destination that holds everything up"
        return warning("queue", f"{said}, one is {timedelta(seconds=int(now - told.due_at))} late", hint)
    return ok("queue", said)


def _outbox(told: Counts) -> Iterator[Finding]:
    if told.unreadable:
        detail = f"{counted(told.unreadable, 'placeholder')} of stored jobs that cannot be read will not be replaced"
        yield warning("outbox", detail, "look in the log for placeholder_abandoned, and replace them by hand")
    if told.abandoned or told.pending:
        verb = "is" if told.pending == 1 else "are"
        tried = f"{counted(told.pending, 'failure picture')} {verb} still tried"
        detail = f"placeholders left: {tried}, {told.abandoned:,} were given up"
        yield warning("outbox", detail, "look in the log for placeholder_left and its destination")
    if not (told.unreadable or told.abandoned or told.pending):
        yield ok("outbox", "no destination is owed a failure picture")
