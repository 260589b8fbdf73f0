"""Makes the index agree with the directories, a part at a time. Called by ``upkeep``.

The walk compares the names and sizes in each of the directories with those in the index. It is needed when the index is
new, and when the last server did not close it: the notes of its last second are missing then. The headers of files that
it has found are read when a prefix is purged, not before.
"""

import time
from collections.abc import Callable

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
        # Directories that are not compared yet, and those that this walk could not list.
        self._left: list[range] = []
        self._unlisted: list[range] = []
        self._fault: OSError | None = None
        self._found, self._started_at = 0, 0.0
        # The sources of all entries up to this name are known.
        self._read_to = b""
        self.is_whole = False

    def begin(self, *, is_whole: bool) -> None:
        self.is_whole, self._read_to = is_whole, b""
        self._left, self._unlisted, self._fault = [] if is_whole else [range(FAN)], [], None
        self._found, self._started_at = 0, time.monotonic()

    @property
    def is_hindered(self) -> bool:
        """Some directories, or what directories there are, could not be listed when that was tried last."""
        return self._fault is not None

    def go_on(self, index: Index, is_over: Callable[[], bool]) -> None:
        """Compare more directories, until all are or ``is_over``.

        Raises IndexFault, and the OSError of a directory once all were tried. The next call tries those that failed.
        """
        if self.is_whole:
            return
        # Each time: new entries, of which the index learns in between, may have come with directories of their own.
        try:
            there = self._store.directories()
        except OSError as error:
            self._fault = error
            raise
        index.hold_pages(for_rebuild=True)
        while self._left:
            self._compare_some(index, self._left.pop(), there)
            if is_over():
                return
        index.hold_pages(for_rebuild=False)
        if self._unlisted and self._fault is not None:
            self._left, self._unlisted = self._unlisted, []
            raise self._fault
        logs.event("cache_index_rebuilt", found=self._found, ms=(time.monotonic() - self._started_at) * 1000)
        self.begin(is_whole=True)

    def _compare_some(self, index: Index, numbers: range, there: list[int]) -> None:
        """Compare the first of these directories, and the names of those between them that do not exist."""
        listed = [number for number in there if number in numbers]
        if len(listed) > _WALKED_AT_ONCE:
            numbers = self._first_of(numbers, listed[_WALKED_AT_ONCE])
            listed = listed[:_WALKED_AT_ONCE]
        try:
            # In this order: an entry that comes in between has a note, which is written later.
            used = {name: use for some in each(self._store.used, listed) for name, use in some.items()}
        except OSError as error:
            self._fault = error
            if len(listed) == 1:
                self._unlisted.append(numbers)
            else:  # the halves apart
                self._left.append(self._first_of(numbers, listed[len(listed) // 2]))
            return
        self._found += _compare(index, range_of(numbers.start, numbers.stop - 1), used)

    def _first_of(self, numbers: range, end: int) -> range:
        """Those before ``end``; the others stay for later."""
        self._left.append(range(end, numbers.stop))
        return range(numbers.start, end)

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
