"""Log lines over ``logging``: one event a line, fields not prose, never a credential.

    2026-11-22T20:24:01.512Z info render job=5f0c… ms=12.3
    {"time":"2026-11-22T20:24:01.512Z","level":"info","action":"render","job":"5f0c…","ms":12.3}

The server calls ``event``. A task that works for one job sets ``job`` once, and all events of that task and of those
it starts carry it; likewise ``request``, the id of an HTTP request. ``start`` gives the root logger one handler, whose
thread writes, so that a full pipe or a slow disk holds up no job; when it cannot keep up, events are lost, counted and
reported. A process that has not called ``start`` logs as any library does.
"""

import contextvars
import json
import logging
import math
import os
import queue
import select
import signal
import threading
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache, partial
from logging.handlers import QueueHandler

import msgspec

from imgserve.telemetry.config import LogsConfig

Field = str | int | float | bool | None
Write = Callable[[bytes], object]

DEBUG, INFO, WARNING, ERROR = logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR
MAX_WAITING = 20_000
GATHER_S = 0.05  # many lines are one write and wake the thread once
STOP_S = 0.8  # of the 5 s that the server has after drain_s
REPEATED_AFTER_S = 60.0  # hours without a disk or a database leave a log that can still be read

job: contextvars.ContextVar[str] = contextvars.ContextVar("imgserve_job", default="")
request: contextvars.ContextVar[str] = contextvars.ContextVar("imgserve_request", default="")

_logger = logging.getLogger("imgserve")
_names = {DEBUG: "debug", INFO: "info", WARNING: "warning", ERROR: "error", logging.CRITICAL: "error"}


class _Record(logging.LogRecord):
    """An event on its way to our own handler. The library's constructor looks up thread, process and the calling line,
    which no line of ours shows, and costs more than all the rest.
    """

    def __init__(self, action: str, level: int, fields: dict[str, Field]) -> None:
        self.created, self.levelno, self.action = time.time(), level, action
        self.fields = {"job": job.get(), "request": request.get(), **fields}


def event(action: str, *, level: int = INFO, **fields: Field) -> None:
    """One line. Fields that are None or empty are left out."""
    if _Writer.running is None:
        _logger.log(level, "%s %s", action, fields, extra={"action": action, "fields": fields})
    elif _logger.isEnabledFor(level):  # the library's way from here to a handler costs as much as the line
        _Writer.running.enqueue(_Record(action, level, fields))


def bug(action: str, *, error: BaseException | None = None, **fields: Field) -> None:
    """A fault of ours. The line carries the traceback, of ``error`` or of the exception being handled."""
    trace = "".join(traceback.format_exception(error)) if error is not None else traceback.format_exc()
    event(action, level=ERROR, **fields, trace=trace)


class Failures:
    """Warnings of what is tried again every moment: a failure is logged when it begins, then once a minute."""

    def __init__(self) -> None:
        self._logged: dict[tuple[str, Field], float] = {}

    def event(self, action: str, **fields: Field) -> None:
        """Failures with another ``action`` or ``code`` are others."""
        failure, now = (action, fields.get("code")), time.monotonic()
        if now - self._logged.get(failure, -math.inf) >= REPEATED_AFTER_S:
            self._logged[failure] = now
            event(action, level=WARNING, **fields)


def start(config: LogsConfig, write: Write | None = None) -> None:
    """Write from now on, to stderr or by ``write``, which writes all of the bytes or raises OSError, in a thread.

    Lines of libraries are events with the action ``log``, from warnings on. A process that forks calls it after that.
    """
    stop()
    formatter = JsonFormatter() if config.format == "json" else TextFormatter()
    _Writer.running = _Writer(formatter, write or partial(write_all, 2))
    logging.basicConfig(level=WARNING, handlers=[_Writer.running], force=True)
    _logger.setLevel(config.level.upper())


def stop() -> None:
    """Write the waiting events; those that cannot be written within ``STOP_S`` are lost."""
    writer, _Writer.running = _Writer.running, None
    if writer is not None:
        logging.getLogger().removeHandler(writer)
        _logger.setLevel(logging.NOTSET)
        writer.close()


def lost() -> int:
    """Events that could not be written since the start."""
    return _Writer.running.lost if _Writer.running is not None else 0


class TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        shown = "".join([f" {name}={_quoted(value)}" for name, value in _shown(record)])
        return f"{_time(record.created)} {_names.get(record.levelno, 'info')} {record.__dict__['action']}{shown}"


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        level = _names.get(record.levelno, "info")
        shown = {"time": _time(record.created), "level": level, "action": record.__dict__["action"]}
        line = msgspec.json.encode(shown | {name: _plain(value) for name, value in _shown(record)}).decode()
        return line if line.isprintable() else json.dumps(json.loads(line))  # no control character of Unicode's either


def _shown(record: logging.LogRecord) -> list[tuple[str, Field]]:
    return [(name, value) for name, value in record.__dict__["fields"].items() if value is not None and value != ""]


def _plain(value: Field) -> Field:
    if isinstance(value, str) and not value.isascii():
        return value.encode(errors="backslashreplace").decode()  # half a surrogate pair is no UTF-8
    return round(value, 1) if isinstance(value, float) else value


def _quoted(value: Field) -> str:
    """logfmt's rule: a value that could look like another field or line is quoted as in JSON."""
    if isinstance(value, str):
        is_plain = value.isprintable() and " " not in value and '"' not in value and "=" not in value
        return value if is_plain else json.dumps(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _time(at: float) -> str:
    second = int(at)
    return f"{_second(second)}.{int((at - second) * 1000):03d}Z"


@lru_cache(maxsize=2)  # most lines have the same second as the line before
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").removesuffix("+00:00")


def write_all(descriptor: int, data: bytes) -> None:
    """Raises OSError."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:  # another process has made our stderr non-blocking
            select.select([], [descriptor], [])


class _Writer(QueueHandler):
    """Takes events from any thread, and has a thread that formats and writes all that wait at once.

    ``QueueListener`` would wake for each line, and at its end wait for ever for a pipe that nobody reads.
    """

    running: "_Writer | None" = None

    def __init__(self, formatter: logging.Formatter, write: Write) -> None:
        self._events: queue.SimpleQueue[logging.LogRecord | None] = queue.SimpleQueue()
        super().__init__(self._events)
        self.setFormatter(formatter)
        self.lost = 0
        self._reported = 0
        self._write = write
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """A library's record as an event."""
        trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
        fields: dict[str, Field] = {"logger": record.name, "message": record.getMessage(), "trace": trace}
        return _Record("log", record.levelno, fields)

    def enqueue(self, record: logging.LogRecord) -> None:
        if self._events.qsize() < MAX_WAITING:
            self._events.put(record)
        else:
            self.lost += 1

    def close(self) -> None:
        self._is_closing.set()
        self._events.put(None)
        self._thread.join(STOP_S)
        super().close()

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # other threads handle them
        is_open = True
        while is_open:
            waiting = [self._events.get()]
            self._is_closing.wait(GATHER_S)
            waiting += [self._events.get() for _ in range(self._events.qsize())]
            is_open = waiting[-1] is not None
            self._write_lines([self.format(record) for record in waiting if record is not None])

    def _write_lines(self, lines: list[str]) -> None:
        newly_lost = self.lost - self._reported
        if newly_lost:
            lines.append(self.format(_Record("log_lost", WARNING, {"events": newly_lost})))
        if not lines:
            return
        try:
            self._write("\n".join([*lines, ""]).encode(errors="backslashreplace"))
        except OSError:  # a full disk, a closed pipe: only the metrics can report it
            self.lost += len(lines)
        else:
            self._reported += newly_lost
