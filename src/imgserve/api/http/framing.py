"""The boundaries of requests (RFC 9112). No I/O; ``connection`` calls it before httptools.

In: bytes as they come. Out: whole header sections, for httptools, which can be read in one way only, and pieces of
their bodies. Trailers are read and dropped (RFC 9110, 6.5.1): they reach neither routing nor auth.
"""

import itertools
import re
from collections.abc import Generator, Iterator

from imgserve.api.http.request_head import MAX_HEADER_BYTES, Head, RequestRefused, check_lines, read_field, read_head
from imgserve.api.http.request_head import read_request_line as check_request_line

MAX_CHUNK_LINE_BYTES = 1024  # the size of a chunk, and extensions, which no client sends
MAX_CHUNKS = 10_000  # of one request: each costs the event loop 2 us, even an empty one

_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;.*)?")


# A head, or some bytes of its body, none perhaps at the end of a chunked one.
Piece = Head | bytes
# A reader yields pieces, and None where it needs more bytes.
Reader = Iterator[Piece | None]


class Framing:
    """One connection's requests. After a RequestRefused nothing more can be read.

    ``is_between_requests``: each request with a complete header has a complete body. ``left_bytes`` are still to come
    of a body of known length.
    """

    def __init__(self) -> None:
        self.is_between_requests = True
        self.left_bytes = 0
        self._data = b""
        self._at = 0  # all before this position has been read
        self._searched = 0  # up to here an unfinished header has no end
        self._pieces = self._requests()

    @property
    def has_unread(self) -> bool:
        return self._at < len(self._data)

    @property
    def is_in_header(self) -> bool:
        return self.is_between_requests and self.has_unread

    def skip(self, count: int) -> None:
        """So many of ``left_bytes`` have come, and need not be split."""
        self.left_bytes -= count
        self.is_between_requests = not self.left_bytes

    def keep(self, data: bytes) -> None:
        """``data`` is split with what comes next."""
        self._data = self._data[self._at :] + data if self.has_unread else data
        self._searched, self._at = self._searched - self._at, 0

    def split(self, data: bytes = b"") -> Iterator[Piece]:
        """The pieces that are whole now; the caller may stop, and go on with a further call. Raises RequestRefused."""
        if data:
            self.keep(data)
        while (piece := next(self._pieces)) is not None:
            self._drop_read()
            yield piece
        self._drop_read()

    def _drop_read(self) -> None:
        if self._at == len(self._data):  # else an idle connection would keep up to 256 KB
            self._data, self._searched, self._at = b"", 0, 0

    def _requests(self) -> Reader:
        while True:
            head = yield from self._header()
            self.is_between_requests = head.body_bytes == 0
            yield head
            if head.body_bytes is None:
                yield from self._chunked()
            else:
                yield from self._counted(head.body_bytes)
            while head.is_last:  # bytes after the last request are ignored (RFC 9112, 9.6)
                self._at = len(self._data)
                yield None

    def _header(self) -> Generator[None, None, Head]:
        while True:
            while self._data.startswith(b"\r\n", self._at):  # blank lines before it are ignored (RFC 9112, 2.2)
                self._at += 2
            end = self._data.find(b"\r\n\r\n", max(self._searched - 3, self._at))
            if (end if end >= 0 else len(self._data)) - self._at > MAX_HEADER_BYTES:
                raise RequestRefused(431)
            if end >= 0:
                head = read_head(self._data[self._at : end])
                self._at = end + 4
                return head
            self._check_unfinished_header()
            yield None

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

    def _counted(self, count: int) -> Reader:
        self.left_bytes = count
        while self.left_bytes:
            piece = self._data[self._at : self._at + self.left_bytes]
            self._at += len(piece)
            self.skip(len(piece))
            yield piece or None

    def _chunked(self) -> Reader:
        """The chunks that have arrived, as a single piece."""
        pieces = []
        for piece in self._chunks():
            if piece is not None:
                pieces.append(piece)
                continue
            if pieces:
                yield b"".join(pieces)
                pieces.clear()
            yield None
        self.is_between_requests = True
        yield b"".join(pieces)

    def _chunks(self) -> Iterator[bytes | None]:
        for number in itertools.count(1):
            size = _CHUNK_SIZE.fullmatch((yield from self._line(MAX_CHUNK_LINE_BYTES)))
            if size is None or number > MAX_CHUNKS:
                raise RequestRefused
            if (count := int(size[1], 16)) == 0:
                yield from self._trailer()
                return
            while count:
                piece = self._data[self._at : self._at + count]
                self._at += len(piece)
                count -= len(piece)
                yield piece or None
            while (end := self._data[self._at : self._at + 2]) != b"\r\n":
                if not b"\r\n".startswith(end):
                    raise RequestRefused
                yield None
            self._at += 2

    def _trailer(self) -> Generator[None, None, None]:
        size_bytes = 0
        while line := (yield from self._line(MAX_HEADER_BYTES)):
            size_bytes += len(line) + 2
            if size_bytes > MAX_HEADER_BYTES:
                raise RequestRefused(431)
            read_field(line)

    def _line(self, limit_bytes: int) -> Generator[None, None, bytes]:
        while True:
            end = self._data.find(b"\n", self._at)
            if (end if end >= 0 else len(self._data)) - self._at > limit_bytes:
                raise RequestRefused(431)
            line = self._data[self._at : end + 1] if end >= 0 else self._data[self._at :].removesuffix(b"\r")
            check_lines(line)
            if end >= 0:
                self._at = end + 1
                return line[:-2]
            yield None
