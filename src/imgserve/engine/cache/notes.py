"""What happens to entries between two writes of the index. ``store`` and ``cache`` add to it, in any thread; ``upkeep``
takes it once a second.
"""

import threading

import msgspec

# More is not gathered while the index cannot be written; it is rebuilt instead.
_MOST_NOTES = 100_000


class Row(msgspec.Struct, frozen=True, gc=False):
    """An entry, as the index knows it. ``size`` is what the file takes on the disk. ``used_at`` is a Unix time in
    seconds.

    ``source`` is None, and ``epoch`` 0, where the header of the file was not read yet.
    """

    name: bytes
    size: int
    used_at: int
    epoch: int = 0
    source: str | None = None


# A stored entry, the time of a use, or None for one that is gone. The last note of a name counts.
Note = Row | int | None


class Notes:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._notes: dict[bytes, Note] = {}
        self._is_whole = True
        self.added_bytes = 0

    @property
    def is_empty(self) -> bool:
        return not self._notes

    def stored(self, row: Row) -> None:
        with self._lock:
            self._put(row.name, row)
            self.added_bytes += row.size

    def used(self, name: bytes, now_s: int) -> None:
        with self._lock:
            note = self._notes.get(name, now_s)
            if isinstance(note, int):
                self._put(name, now_s)

    def removed(self, name: bytes) -> None:
        with self._lock:
            self._put(name, None)

    def has_stored(self, name: bytes) -> bool:
        """Whether there is an entry of this name that the index does not know yet."""
        with self._lock:
            return isinstance(self._notes.get(name), Row)

    def take(self) -> tuple[dict[bytes, Note], int, bool]:
        """All of them, once, and the bytes to be given to ``counted``. False: some were lost."""
        with self._lock:
            notes, self._notes = self._notes, {}
            is_whole, self._is_whole = self._is_whole, True
            return notes, self.added_bytes, is_whole

    def counted(self, added_bytes: int) -> None:
        """The index has them now."""
        with self._lock:
            self.added_bytes -= added_bytes

    def _put(self, name: bytes, note: Note) -> None:
        if len(self._notes) >= _MOST_NOTES:
            self._notes.clear()
            self._is_whole = False
        self._notes[name] = note
