"""The head of an HTTP answer, as libcurl's header callback hears it line by line: what has to be known before the body.

Called by ``exchange``. The lines are a stranger's bytes: whatever they hold, nothing is raised.
"""

import re
from typing import Self

_STATUS_LINE = re.compile(rb"HTTP/[0-9.]+ +([0-9]{3})(?![0-9])")
_LONGEST_LENGTH = 19  # digits of 2**63 - 1
_FIRST_LETTERS = frozenset({b"c", b"C", b"l", b"L"})  # of the fields that are read: most lines need no more
_PLAIN = frozenset({b"", b"identity"})
_BEYOND_US = (b"zstd", b"compress", b"dcb", b"dcz")  # compressions that libcurl is built without


class Head:
    """Of the answer that came last: interim answers (1xx) bring a head each.

    libcurl calls ``hear`` with each line; they are read when somebody asks (``read``), which is once for most answers.
    ``length_bytes`` is how long the body will be; None when that is not told, or told of its encoded form.
    ``location`` is the first of that name, as text. ``is_compressed``: in a way that cannot be undone here.
    """

    def __init__(self) -> None:
        self.status = 0
        self.length_bytes: int | None = None
        self.location = ""
        self.is_encoded = False
        self.is_compressed = False
        self._is_open = False
        self._lines: list[bytes] = []
        self.hear = self._lines.append

    @property
    def is_none(self) -> bool:
        """Nothing has come."""
        return not self.status and not self._lines

    def read(self) -> Self:
        """All lines so far. A trailer behind the body comes the same way; it opens no head and counts for nothing."""
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

    def _field(self, name: bytes, value: bytes) -> None:
        if name == b"content-length" and value.isdigit() and len(value) <= _LONGEST_LENGTH:
            self.length_bytes = int(value)
        elif name == b"content-encoding":
            self.is_encoded = self.is_encoded or value.lower() not in _PLAIN
            self.is_compressed = self.is_compressed or any(one in value.lower() for one in _BEYOND_US)
        elif name == b"location" and not self.location:
            self.location = text_of(value)


def text_of(value: bytes) -> str:
    """A field's value as browsers read it: UTF-8 where it is that, else a byte a character."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
