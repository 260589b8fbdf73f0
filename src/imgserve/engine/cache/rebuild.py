"""Makes the index agree with the directories, a part at a time. Called by ``upkeep``.

The walk compares the names and sizes in each of the directories with those in the index. It is needed when the index is
new, and when the last server did not close it: the notes of its last second are missing then. The headers of files that
it has found are read when a prefix is purged, not before.
"""

import time
from collections.abc import Callable, Iterator

import msgspec

from imgserve.engine.cache.entry import Damaged, Header
from imgserve.engine.cache.index import Index
from imgserve.engine.cache.names import FAN, range_of
from imgserve.engine.cache.notes import Row
from imgserve.engine.cache.parallel import each
from imgserve.engine.cache.store import Store
from imgserve.telemetry import logs

# Directories of one transaction of the walk.
_WALKED_AT_ONCE = 32
_READ_AT_ONCE = 1000


class Rebuild:
    """``is_whole``: the index knows all files."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._walk: Iterator[None] | None = None
        self._directories: list[int] = []
        # The sources of all entries up to this name are known.
        self._read_to = b""
        self.is_whole = False

    def begin(self, *, is_whole: bool) -> None:
        self.is_whole, self._walk, self._read_to = is_whole, None, b""

    def go_on(self, index: Index, is_over: Callable[[], bool]) -> None:
        """Compare more directories, until all are or ``is_over``. Raises OSError, IndexFault."""
        if self.is_whole:
            return
        # Each time: new entries, of which the index learns in between, may have come with directories of their own.
        self._directories = self._store.directories()
        # A walk that an error has ended has no further steps, as one that is complete. It is not taken up again.
        walk, self._walk = self._walk or self._walked(index), None
        for _ in walk:
            if is_over():
                self._walk = walk
                return
        self.begin(is_whole=True)

    def _walked(self, index: Index) -> Iterator[None]:
        """A step for some directories, and for those before them that do not exist."""
        started_at, found, first = time.monotonic(), 0, 0
        index.hold_pages(for_rebuild=True)
        while first < FAN:
            rest = [number for number in self._directories if number >= first]
            numbers = rest[:_WALKED_AT_ONCE]
            last = numbers[-1] if len(rest) > _WALKED_AT_ONCE else FAN - 1
            # In this order: an entry that comes in between has a note, which is written later.
            used = {name: use for some in each(self._store.used, numbers) for name, use in some.items()}
            found += _compare(index, range_of(first, last), used)
            first = last + 1
            yield
        index.hold_pages(for_rebuild=False)
        logs.event("cache_index_rebuilt", found=found, ms=(time.monotonic() - started_at) * 1000)

    def read_headers(self, index: Index, is_over: Callable[[], bool]) -> bool:
        """Learn the sources of entries that the walk has found; false: there are more. Raises OSError, IndexFault."""
        while unread := index.unread(self._read_to, _READ_AT_ONCE):
            found, gone = list[Row](), list[bytes]()
            for row, header in zip(unread, each(self._header, [row.name for row in unread]), strict=True):
                if header is None:
                    gone.append(row.name)
                else:
                    found.append(msgspec.structs.replace(row, epoch=header.epoch, source=header.key.source))
            with index.transaction():
                index.put(found, gone)
            self._read_to = unread[-1].name
            if is_over():
                return False
        return True

    def _header(self, name: bytes) -> Header | None:
        """None: the file is gone, or was damaged and is gone now."""
        try:
            return self._store.header(name)
        except Damaged:
            self._store.remove(name)
            return None


def _compare(index: Index, names: tuple[bytes, bytes], used: dict[bytes, tuple[int, int]]) -> int:
    """The number of entries in a range of names that the index did not know, or knew of another size.

    No header is read: on a disk that has none of them in memory, a million would take minutes.
    """
    known = index.between(names)
    rows = [Row(name, size, used_at) for name, (size, used_at) in used.items() if known.get(name) != size]
    gone = known.keys() - used.keys()
    if rows or gone:
        with index.transaction():
            index.put(rows, gone)
    return len(rows)
