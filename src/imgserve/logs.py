"""Log lines: one event a stage, fields not prose, never a credential.

    2026-11-22T20:24:01.512Z info deliver job=… output=3 ms=12

Callers pass fields through ``event``; ``stage`` times what happens inside it and tells how it ended.
"""

import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from imgserve.errors import ImgserveError

_log = logging.getLogger("imgserve")
Field = str | int | float | bool | None


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fields: dict[str, Field] = getattr(record, "fields", {})
        shown = "".join(f" {name}={_quote(value)}" for name, value in fields.items() if value not in (None, ""))
        line = f"{at} {record.levelname.lower()} {record.getMessage()}{shown}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _quote(value: Field) -> str:
    text = f"{value:.1f}" if isinstance(value, float) else str(value)
    return text if text.isprintable() and " " not in text and '"' not in text else repr(text)


def start(handler: logging.Handler | None = None, level: int = logging.INFO) -> None:
    """Send the lines to ``handler``, without one to stderr."""
    handler = handler or logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    _log.setLevel(level)


def event(name: str, *, level: int = logging.INFO, **fields: Field) -> None:
    if _log.isEnabledFor(level):
        _log.log(level, name, extra={"fields": fields})


def bug(name: str, *, error: BaseException | None = None, **fields: Field) -> None:
    """Something that must not happen has happened: the line carries the traceback, of ``error`` or the one at hand."""
    _log.error(name, extra={"fields": fields}, exc_info=error if error is not None else True)


@contextlib.contextmanager
def stage(name: str, **fields: Field) -> Iterator[None]:
    """One line when the stage ends, with milliseconds and, if it failed, the error's code."""
    started = time.perf_counter()
    code = ""
    try:
        yield
    except ImgserveError as error:
        code = error.code
        raise
    except BaseException as error:
        code = type(error).__name__
        raise
    finally:
        ms = (time.perf_counter() - started) * 1000
        event(name, level=logging.INFO if code else logging.DEBUG, **fields, ms=ms, code=code)
