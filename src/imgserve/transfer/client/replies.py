"""The replies of an FTP server during one exchange: the last line of each (RFC 959, 4.2), and what it means.

Called by ``exchange`` with lines as libcurl reads them.
"""

from collections import deque

# Replies of a session take a few hundred bytes, a message of the day a few thousand.
_MAX_BYTES = 65_536
_MAX_LINES = 20
_RENAMING = b"350 "  # the answer to RNFR; RNTO follows it at once
_CLOSING = 421
_LONGEST_SIZE = 19  # digits of 2**63 - 1


class Replies:
    """``has_data``: the server opened the file; only a transfer brings a 1yz reply. ``is_renaming``: RNTO may have been
    sent. ``size_bytes`` is the last 213's.
    """

    def __init__(self) -> None:
        self.has_data = False
        self.is_renaming = False
        self.size_bytes: int | None = None
        self._received_bytes = 0
        self._finals: deque[str] = deque(maxlen=_MAX_LINES)

    def add(self, line: bytes) -> bool:
        """False when the replies are longer than those of any real server."""
        self._received_bytes += len(line)
        if self._received_bytes > _MAX_BYTES:
            return False
        if line[:3].isdigit() and line[3:4] == b" ":
            self._finals.append(line.decode("utf-8", "replace").rstrip("\r\n"))
            self.has_data = self.has_data or line.startswith(b"1")
            self.is_renaming = self.is_renaming or line.startswith(_RENAMING)
            if line.startswith(b"213 "):
                self.size_bytes = size_in(self._finals[-1])
        return True

    @property
    def finals(self) -> tuple[str, ...]:
        return tuple(self._finals)

    @property
    def last(self) -> int:
        """The number of the last reply, 0 without one."""
        return int(self._finals[-1][:3]) if self._finals else 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing came but the end of the session."""
        return not self._finals or (len(self._finals) == 1 and self.last == _CLOSING)


def size_in(reply: str) -> int | None:
    """The number of bytes in a 213 reply; None when it has none."""
    digits = reply[4:].strip()
    is_number = reply.startswith("213") and digits.isascii() and digits.isdigit() and len(digits) <= _LONGEST_SIZE
    return int(digits) if is_number else None
