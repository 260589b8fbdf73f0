"""The head of an HTTP answer, as libcurl's header callback gets it line by line. Called by ``exchange``.

The lines come from a stranger: none of them raises an error.
"""

import re
from typing import Self

from imgserve.transfer.version import UNKNOWN, Version, safe

_STATUS_LINE = re.compile(rb"HTTP/[0-9.]+ +([0-9]{3})(?![0-9])")
_LONGEST_LENGTH = 19  # digits of 2**63 - 1
_FIRST_LETTERS = frozenset({b"c", b"C", b"e", b"E", b"l", b"L"})  # of the fields that are read: most lines need no more
_PLAIN = frozenset({b"", b"identity"})
_VERSION = {b"etag": "etag", b"last-modified": "modified", b"expires": "expires"}
_UNSUPPORTED = (b"zstd", b"compress", b"dcb", b"dcz")  # compressions that libcurl is built without


class Head:
    """The last answer's: each interim answer (1xx) has a head too.

    libcurl calls ``add`` with each line; ``read`` parses them, once for most answers. ``length_bytes`` is the body's
    length; None when it is unknown, or that of an encoded form. ``location`` is the first field of that name.
    ``is_compressed``: in a way that cannot be undone here.
    """

    def __init__(self) -> None:
        self.status = 0
        self.length_bytes: int | None = None
        self.location = ""
        self.is_encoded = False
        self.is_compressed = False
        self._is_open = False
        self._version: dict[str, str] = {}
        self._lines: list[bytes] = []
        self.add = self._lines.append

    @property
    def is_empty(self) -> bool:
        return not self.status and not self._lines

    @property
    def version(self) -> Version:
        """The answer's validators and its time to live."""
        return Version(**self._version) if self._version else UNKNOWN

    def read(self) -> Self:
        """Parse the lines so far. A trailer behind the body comes the same way, and is ignored: it opens no head."""
        for line in self._lines:
            if not self._is_open:
                self._begin(line)
            elif line[:1] in _FIRST_LETTERS:
                name, _, value = line.partition(b":")
                self._field(name.strip().lower(), value.strip())
            elif not line.strip(b"\r\n"):
                self._is_open = False
                if self.is_encoded:
                    self.length_bytes = None
        self._lines.clear()
        return self

    def _begin(self, line: bytes) -> None:
        status = _STATUS_LINE.match(line)
        if status is not None:
            self._is_open = True
            self.status = int(status[1])
            self.length_bytes, self.location, self.is_encoded, self.is_compressed = None, "", False, False
            self._version.clear()

    def _field(self, name: bytes, value: bytes) -> None:
        if name == b"content-length" and value.isdigit() and len(value) <= _LONGEST_LENGTH:
            self.length_bytes = int(value)
        elif name == b"content-encoding":
            self.is_encoded = self.is_encoded or value.lower() not in _PLAIN
            self.is_compressed = self.is_compressed or any(one in value.lower() for one in _UNSUPPORTED)
        elif name == b"location" and not self.location:
            self.location = text_of(value)
        elif name == b"cache-control":
            self._add_cache_control(safe(text_of(value)))
        elif field := _VERSION.get(name):
            self._version.setdefault(field, safe(text_of(value)))

    def _add_cache_control(self, value: str) -> None:
        """Several of these fields are one list (RFC 9110, 5.3): a proxy may have added its own."""
        earlier = self._version.get("cache_control", "")
        self._version["cache_control"] = safe(f"{earlier}, {value}" if earlier and value else value) or earlier


def text_of(value: bytes) -> str:
    """A field's value as browsers read it: as UTF-8 where it is valid, else as Latin-1."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
