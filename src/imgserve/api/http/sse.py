"""Server-sent events (WHATWG HTML, 9.2): their text, and the id from which a client goes on. For ``v1/events``."""

import re
from collections.abc import Iterable

from imgserve.api.http.asgi import Headers
from imgserve.errors import Path
from imgserve.request.faults import Fault, RequestInvalid

MEDIA_TYPE = "text/event-stream"
HEADERS: Headers = ((b"content-type", MEDIA_TYPE.encode()),)
NAME = "Last-Event-ID"
_ID = re.compile(r"\d{1,18}", re.ASCII)


def event(number: int, kind: str, data: bytes) -> bytes:
    """``data`` is JSON on one line."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, kind.encode(), data)


def ping(number: int) -> bytes:
    """Shows the client, and proxies between, that the connection is alive. No event, but its id counts as the last."""
    return b": ping\nid: %d\n\n" % number


def last_id(headers: Iterable[tuple[bytes, bytes]], after: str | None) -> int | None:
    """The id of the last event that the client has; None: it has none. Raises RequestInvalid.

    The header counts before ``after``, the query's: a browser connects again with both.
    """
    values = [value.decode("latin-1") for name, value in headers if name == NAME.lower().encode() and value]
    if len(values) > 1:
        raise RequestInvalid(Fault("field_invalid", ("header", NAME), "expected it once"))
    if values:
        return _number(values[0], ("header", NAME))
    return None if after is None else _number(after, ("query", "after"))


def _number(text: str, path: Path) -> int:
    if not _ID.fullmatch(text):
        raise RequestInvalid(Fault("field_invalid", path, expected="the id of an event", got=text))
    return int(text)
