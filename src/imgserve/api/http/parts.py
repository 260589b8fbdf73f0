"""multipart/form-data (RFC 7578) as it comes: one part after the other, each in chunks, nothing is kept.

``multipart`` finds the boundaries; the body's own limits are those of ``body``.
"""

from collections import deque
from collections.abc import Mapping

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from imgserve.api.http.body import Incoming
from imgserve.errors import ImgserveError

_MOST_PARTS = 32
_MOST_HEADERS, _MOST_HEADER_BYTES = 8, 4_096


class BodyInvalid(ImgserveError):
    """Its syntax is that of no body of this media type."""

    code = "body_invalid"
    status = 400
    title = "The body cannot be read"


class Parts:
    """``name = await parts.begin()`` until it is None, and behind each ``await parts.chunk()`` until it is empty."""

    def __init__(self, incoming: Incoming, boundary: str) -> None:
        """Raises BodyInvalid."""
        self._incoming = incoming
        self._events: deque[MultipartSegment | bytes | bytearray | None] = deque()
        self._is_over = False
        try:
            self._parser = PushMultipartParser(
                boundary,
                max_header_size=_MOST_HEADER_BYTES,
                max_header_count=_MOST_HEADERS,
                max_segment_count=_MOST_PARTS,
            )
        except (MultipartError, UnicodeError) as error:
            raise _invalid(error) from None

    async def begin(self) -> str | None:
        """The name of the next part; None behind the last one. Raises BodyInvalid, and as ``Incoming.next``."""
        while await self._has_event():
            event = self._events.popleft()
            if isinstance(event, MultipartSegment):
                return event.name or ""
        return None

    async def chunk(self) -> bytes:
        """A piece of the part; empty at its end. Raises BodyInvalid, and as ``Incoming.next``."""
        if not await self._has_event():
            return b""
        event = self._events.popleft()
        return bytes(event) if isinstance(event, bytes | bytearray) else b""

    async def _has_event(self) -> bool:
        """False: the body is over."""
        while not self._events and not self._is_over:
            chunk = await self._incoming.next()
            self._is_over = not chunk
            try:
                self._events.extend(self._parser.parse(chunk))
            except MultipartError as error:
                raise _invalid(error) from None
        return bool(self._events)


def media_type_in(headers: Mapping[bytes, bytes], default: bytes = b"") -> tuple[str, str]:
    """The media type of a body and its boundary, empty without one. ``default``: the Content-Type of a body without."""
    media_type, parameters = parse_options_header(headers.get(b"content-type", default).decode("latin-1"))
    return media_type, parameters.get("boundary", "")


def _invalid(error: Exception) -> BodyInvalid:
    # The library's sentences repeat nothing of the body.
    reason = f"the body is no multipart/form-data: {error.args[0] if error.args else error}"
    return BodyInvalid(reason, "send it as curl -F or a form of a browser does")
