"""Which entries are surely not in the directory, so that a miss asks neither a disk nor a thread. For ``store``.

Each of the directories has a set of bits, one for several names. The first look for a name in a directory lists it, and
from then on a name without its bit is known to be absent: the server that holds the directory's lock is the only one
that writes there. A name with its bit may be there or not. Bits of names that are gone stay set until the directory is
listed again.

``lacks`` may be called by any thread; all other calls are made under the directory's lock of names.
"""

from collections.abc import Iterable

from imgserve.engine.cache.names import FAN, number_of

# With a million entries there are 244 in a directory, so that four of five absent names are known to be. 160 bytes for
# each directory that was looked into, 0.6 MB in all.
_BITS = 1024
# So many names are gone before their bits are worth another listing, which takes as long as some misses.
_LISTED_AFTER = 32


class Absent:
    """``directories`` are those that exist. The others have no entries."""

    def __init__(self, directories: Iterable[int]) -> None:
        self._bits: list[int | None] = [0] * FAN
        for number in directories:
            self._bits[number] = None
        self._gone = [0] * FAN

    def lacks(self, name: bytes) -> bool:
        """Whether it is known that there is no such entry."""
        bits = self._bits[number_of(name)]
        return bits is not None and not bits & _bit(name)

    def is_listed(self, number: int) -> bool:
        """False: its listing would tell more than is known here."""
        return self._bits[number] is not None and self._gone[number] < _LISTED_AFTER

    def listed(self, number: int, names: Iterable[bytes]) -> None:
        bits = 0
        for name in names:
            bits |= _bit(name)
        self._bits[number], self._gone[number] = bits, 0

    def added(self, name: bytes) -> None:
        """Before it gets its name there."""
        number = number_of(name)
        bits = self._bits[number]
        if bits is not None:
            self._bits[number] = bits | _bit(name)

    def removed(self, name: bytes) -> None:
        self._gone[number_of(name)] += 1


def _bit(name: bytes) -> int:
    """By the end of the name, which differs between the pictures of one source too."""
    return 1 << int.from_bytes(name[-2:]) % _BITS
