"""The boundaries of requests (RFC 9112). No I/O; ``connection`` calls it before httptools.

In: bytes as they come. Out: pieces for httptools, each a whole header section or a piece of one body, which can be read
in one way only. Trailers are read and dropped (RFC 9110, 6.5.1): they reach neither routing nor auth.
"""

import re
from collections.abc import Callable, Iterator

from imgserve.api.http.request_head import MAX_HEADER_BYTES, RequestRefused, check_lines, read_field, read_head
from imgserve.api.http.request_head import read_request_line as check_request_line

MAX_CHUNK_LINE_BYTES = 1024  # the size of a chunk, and extensions, which no client sends
MAX_CHUNKS = 10_000  # of one request: each costs the event loop 2 us, even an empty one

_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;.*)?")


class Framing:
    """One connection's requests. After a RequestRefused nothing more can be read."""

    def __init__(self) -> None:
        self._data = b""
        self._at = 0  # all before this position has been read
        self._searched = 0  # up to here an unfinished header has no end
        self._left = 0  # bytes of the body or the chunk that are still to come
        self._chunks = self._trailer_bytes = 0
        self._read: Callable[[], bytes | None] = self._header
        self._read_next = self._read  # once the body is read
        self._read_chunked: Callable[[], bytes | None] = self._chunk_line

    @property
    def is_between_requests(self) -> bool:
        """Each request with a complete header has a complete body."""
        return self._read in (self._header, self._nothing)

    @property
    def is_in_header(self) -> bool:
        return self._read == self._header and self._at < len(self._data)

    def split(self, data: bytes) -> Iterator[bytes]:
        """The pieces that are whole now. Raises RequestRefused."""
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._searched, self._at = self._searched - self._at, 0
        while (piece := self._read()) is not None:
            yield piece

    def _header(self) -> bytes | None:
        self._skip_blank_lines()
        end = self._data.find(b"\r\n\r\n", max(self._searched - 3, self._at))
        if (end if end >= 0 else len(self._data)) - self._at > MAX_HEADER_BYTES:
            raise RequestRefused(431)
        if end < 0:
            self._check_unfinished_header()
            return None
        head = read_head(self._data[self._at : end])
        self._at = end + 4
        self._read = self._read_next = self._nothing if head.is_last else self._header
        if head.body_bytes is None:
            self._chunks = self._trailer_bytes = 0
            self._read, self._read_chunked = self._chunked, self._chunk_line
        elif head.body_bytes:
            self._left, self._read = head.body_bytes, self._body
        return head.text

    def _nothing(self) -> None:
        """Bytes after the last request are ignored (RFC 9112, 9.6)."""
        self._at = len(self._data)

    def _skip_blank_lines(self) -> None:
        """Blank lines before a request line are ignored (RFC 9112, 2.2)."""
        while self._data.startswith(b"\r\n", self._at):
            self._at += 2
        self._searched = max(self._searched, self._at)

    def _check_unfinished_header(self) -> None:
        """Refuse at once, not at the header time-out, an unfinished header that can never become a valid one."""
        new = max(self._searched - 1, self._at)  # a CR may have come before its LF
        text = self._data[new:].removesuffix(b"\r")
        check_lines(text.removeprefix(b"\n") if new > self._at else text)
        first = self._data[self._at : self._at + 1]
        if first not in (b"", b"\r") and not b"A" <= first <= b"Z":
            raise RequestRefused
        line_end = self._data.find(b"\r\n", new)
        if line_end >= 0 and self._data.find(b"\r\n", self._at) == line_end:
            check_request_line(self._data[self._at : line_end])
        self._searched = len(self._data)

    def _body(self) -> bytes | None:
        piece = self._piece()
        if not self._left:
            self._read = self._read_next
        return piece

    def _piece(self) -> bytes | None:
        if self._at == len(self._data):
            return None
        piece = self._data[self._at : self._at + self._left]
        self._at += len(piece)
        self._left -= len(piece)
        return piece

    def _chunked(self) -> bytes | None:
        """The chunks that have arrived, as a single one."""
        pieces = []
        while self._read == self._chunked and (piece := self._read_chunked()) is not None:
            pieces.append(piece)
        data = b"".join(pieces)
        chunk = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        return (chunk if self._read == self._chunked else chunk + b"0\r\n\r\n") or None

    def _chunk_line(self) -> bytes | None:
        line = self._line(MAX_CHUNK_LINE_BYTES)
        if line is None:
            return None
        size = _CHUNK_SIZE.fullmatch(line)
        self._chunks += 1
        if size is None or self._chunks > MAX_CHUNKS:
            raise RequestRefused
        self._left = int(size[1], 16)
        self._read_chunked = self._chunk if self._left else self._trailer
        return b""

    def _chunk(self) -> bytes | None:
        piece = self._piece()
        if not self._left:
            self._read_chunked = self._chunk_end
        return piece

    def _chunk_end(self) -> bytes | None:
        end = self._data[self._at : self._at + 2]
        if not b"\r\n".startswith(end):
            raise RequestRefused
        if len(end) < 2:
            return None
        self._at += 2
        self._read_chunked = self._chunk_line
        return b""

    def _trailer(self) -> bytes | None:
        line = self._line(MAX_HEADER_BYTES)
        if line is None:
            return None
        self._trailer_bytes += len(line) + 2
        if self._trailer_bytes > MAX_HEADER_BYTES:
            raise RequestRefused(431)
        if line:
            read_field(line)
        else:
            self._read = self._read_next
        return b""

    def _line(self, limit_bytes: int) -> bytes | None:
        """The next line, or None while it is not whole."""
        end = self._data.find(b"\n", self._at)
        if (end if end >= 0 else len(self._data)) - self._at > limit_bytes:
            raise RequestRefused(431)
        if end < 0:
            check_lines(self._data[self._at :].removesuffix(b"\r"))
            return None
        line = self._data[self._at : end + 1]
        check_lines(line)
        self._at = end + 1
        return line[:-2]
