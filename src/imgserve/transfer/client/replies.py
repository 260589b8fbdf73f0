"""The replies of an FTP server during one exchange, bounded: only the last line of each reply is kept.

In: lines, as libcurl reads them. Out: the last lines that ended a reply (RFC 959, 4.2), and their meaning for the
exchange. Called by ``exchange``.
"""

from collections import deque

# A session's replies are a few hundred bytes, a server's messages of the day a few thousand.
_LIMIT_BYTES = 65_536
_KEPT_LINES = 20
_RENAMING = b"350 "  # the answer to RNFR; RNTO follows it at once
_CLOSING = 421
_LONGEST_SIZE = 19  # digits of 2**63 - 1


class Replies:
    """``has_begun``: the server opened the file: only a transfer brings a 1yz reply. ``size_bytes`` is the last 213's.

    ``is_renaming``: it was asked to put the file in its place.
    """

    def __init__(self) -> None:
        self.has_begun = False
        self.is_renaming = False
        self.size_bytes: int | None = None
        self._heard_bytes = 0
        self._finals: deque[str] = deque(maxlen=_KEPT_LINES)

    def hear(self, line: bytes) -> bool:
        """Whether the server may go on: False when it has said more than any server has to."""
        self._heard_bytes += len(line)
        if self._heard_bytes > _LIMIT_BYTES:
            return False
        if line[:3].isdigit() and line[3:4] == b" ":
            self._finals.append(line.decode("utf-8", "replace").rstrip("\r\n"))
            self.has_begun = self.has_begun or line.startswith(b"1")
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
    def are_none(self) -> bool:
        """Whether nothing was said but that the session is over."""
        return not self._finals or (len(self._finals) == 1 and self.last == _CLOSING)


def size_in(reply: str) -> int | None:
    """The number of bytes in a 213 reply; None when it has none."""
    digits = reply[4:].strip()
    is_number = reply.startswith("213") and digits.isascii() and digits.isdigit() and len(digits) <= _LONGEST_SIZE
    return int(digits) if is_number else None
