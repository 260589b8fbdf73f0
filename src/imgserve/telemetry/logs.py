"""Log lines: one event a line, fields not prose, never a credential.

    2026-11-22T20:24:01.512Z info render job=5f0c… ms=12.3
    {"time":"2026-11-22T20:24:01.512Z","level":"info","action":"render","job":"5f0c…","ms":12.3}

All parts call ``event``. A task that works for one job sets ``job`` once, and all events of that task and of those it
starts carry it. A thread of its own formats and writes, so that a full pipe or a slow disk holds up no job; when it
cannot keep up, events are lost, counted and reported. Only ``build`` starts and stops it.
"""

import collections
import contextvars
import json
import logging
import os
import select
import signal
import threading
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from imgserve.telemetry.config import LogsConfig

Field = str | int | float | bool | None
Write = Callable[[bytes], object]

DEBUG, INFO, WARNING, ERROR = logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR
MAX_WAITING = 20_000
GATHER_S = 0.05
STOP_S = 0.8  # of the 5 s that the server has after drain_s

job: contextvars.ContextVar[str] = contextvars.ContextVar("imgserve_job", default="")

_names = {DEBUG: "debug", INFO: "info", WARNING: "warning", ERROR: "error", logging.CRITICAL: "error"}
_fallback = logging.getLogger("imgserve")  # for parts that are used without a server, as tests do


class _Event(msgspec.Struct, frozen=True, gc=False):
    at: float
    level: int
    action: str
    fields: dict[str, Field]


def event(action: str, *, level: int = INFO, **fields: Field) -> None:
    """One line. Fields that are None or empty are left out."""
    writer = _Writer.running
    if writer is None:
        if _fallback.isEnabledFor(level):
            _fallback.log(level, "%s %s", action, fields)
        return
    if level >= writer.level:
        if "job" not in fields:
            fields = {"job": job.get(), **fields}
        writer.put(_Event(time.time(), level, action, fields))


def bug(action: str, *, error: BaseException | None = None, **fields: Field) -> None:
    """Something that must not happen has happened: the line carries the traceback, of ``error`` or the one at hand."""
    trace = "".join(traceback.format_exception(error)) if error is not None else traceback.format_exc()
    event(action, level=ERROR, **fields, trace=trace)


def start(config: LogsConfig, write: Write | None = None) -> None:
    """Write from now on, by ``write`` (all of the bytes, or OSError; from a thread) or to stderr.

    What libraries log comes as ``action=log``, from warnings on. In a process that forks, call it after the fork.
    """
    stop()
    level = next(number for number, name in _names.items() if name == config.level)
    _Writer.running = _Writer(level, as_json if config.format == "json" else as_text, write or _to_stderr)
    logging.basicConfig(level=logging.WARNING, handlers=[_FromLibraries()], force=True)


def stop() -> None:
    """Write the waiting events; those that cannot be written within ``STOP_S`` are lost."""
    writer, _Writer.running = _Writer.running, None
    if writer is not None:
        writer.stop()


def lost() -> int:
    """Events that could not be written since the start."""
    return _Writer.running.lost if _Writer.running is not None else 0


def as_json(seen: _Event) -> str:
    shown = {"time": _time(seen.at), "level": _names.get(seen.level, "info"), "action": seen.action}
    line = msgspec.json.encode({**shown, **{name: _plain(value) for name, value in _told(seen)}}).decode()
    return line if line.isprintable() else json.dumps(json.loads(line))  # no control character of Unicode's either


def as_text(seen: _Event) -> str:
    shown = "".join([f" {name}={_quoted(value)}" for name, value in _told(seen)])
    return f"{_time(seen.at)} {_names.get(seen.level, 'info')} {seen.action}{shown}"


def _told(seen: _Event) -> list[tuple[str, Field]]:
    return [(name, value) for name, value in seen.fields.items() if value is not None and value != ""]


def _plain(value: Field) -> Field:
    if isinstance(value, str) and not value.isascii():
        return value.encode(errors="backslashreplace").decode()  # half a surrogate pair is no UTF-8
    return round(value, 1) if isinstance(value, float) else value


def _quoted(value: Field) -> str:
    """logfmt's rule: a value that could look like another field or line is quoted as in JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = f"{value:.1f}" if isinstance(value, float) else str(value)
    is_plain = text.isprintable() and " " not in text and '"' not in text and "=" not in text
    return text if is_plain else json.dumps(text)


def _time(at: float) -> str:
    second = int(at)
    return f"{_second(second)}.{int((at - second) * 1000):03d}Z"


@lru_cache(maxsize=2)  # most lines share theirs with the line before
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").removesuffix("+00:00")


def _to_stderr(data: bytes) -> None:
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(2, left) :]
        except BlockingIOError:  # somebody else has made our stderr non-blocking
            select.select([], [2], [])


class _FromLibraries(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
        event("log", level=record.levelno, logger=record.name, message=record.getMessage(), trace=trace)


class _Writer:
    """Takes events from any thread, a deque's append being atomic; wakes its own thread once for many of them."""

    running: "_Writer | None" = None

    def __init__(self, level: int, show: Callable[[_Event], str], write: Write) -> None:
        self.level = level
        self.lost = 0
        self._show = show
        self._write = write
        self._told_lost = 0
        self._events: collections.deque[_Event] = collections.deque()
        self._wake = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def put(self, seen: _Event) -> None:
        if len(self._events) >= MAX_WAITING:
            self.lost += 1
            return
        self._events.append(seen)
        if not self._wake.is_set():
            self._wake.set()

    def stop(self) -> None:
        self._ending.set()
        self._wake.set()
        self._thread.join(STOP_S)

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # other threads handle them
        while not self._ending.is_set():
            self._wake.wait()
            self._ending.wait(GATHER_S)
            self._wake.clear()
            self._write_waiting()
        self._write_waiting()

    def _write_waiting(self) -> None:
        batch = [self._events.popleft() for _ in range(len(self._events))]
        newly_lost = self.lost - self._told_lost
        if newly_lost:
            batch.append(_Event(time.time(), WARNING, "log_lost", {"events": newly_lost}))
        lines = "".join(f"{self._show(seen)}\n" for seen in batch)
        if not lines:
            return
        try:
            self._write(lines.encode(errors="backslashreplace"))
        except OSError:  # a full disk, a closed pipe: only the metrics can report it
            self.lost += len(batch)
        else:
            self._told_lost += newly_lost
