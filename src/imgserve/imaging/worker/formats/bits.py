"""Reads numbers bit by bit, as AV1 and HEVC store their headers. Called by av1 and hevc."""

_MOST_ZEROS = 32


class Ended(Exception):
    """The bytes end before the header does."""


class Bits:
    """The bits of ``data``, the highest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        """The next bits as a number. Raises Ended."""
        self._left -= count
        if self._left < 0:
            raise Ended
        return self._value >> self._left & ((1 << count) - 1)

    def flag(self) -> bool:
        return self.take(1) == 1

    def uvlc(self) -> int:
        """A number of variable length: AV1's uvlc(), HEVC's ue(v)."""
        zeros = 0
        while not self.flag():
            zeros += 1
        zeros = min(zeros, _MOST_ZEROS)
        return (1 << zeros) - 1 + self.take(zeros)
