"""What a purge covers, and what keeps an older picture from coming back after it.

A purge must hold against four things: answers in memory, files, pictures that are being read or rendered from an older
source right now, and the index, which may not know all files yet. So:

* Each read and each render is a ``Work`` from its beginning on. A purge marks those that it covers, and what is marked
  is neither stored nor sent from the cache. The mark is looked at again in the moment in which a file gets its name.
* A purge of a source or of a rendering lists one directory, since the names of files begin with the source's digest,
  and deletes. It has ended when it returns, and needs neither the index nor a record.
* A purge of a prefix may concern a million files. It adds a record to a file that is synced: the prefix, and a new
  epoch. Each entry has in its header the epoch of its beginning, and one that is older than a record which covers it
  is refused. The files are deleted later by the index; then the record goes.

``cache`` calls this on the event loop; ``Records`` are written in threads.
"""

import threading
from collections.abc import Collection, Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from imgserve import failpoint
from imgserve.engine.cache.entry import Header, Key, rendering_prefix, source_prefix
from imgserve.engine.cache.files import replace_durably

FILE_NAME = "purges.json"
# Whose last purges are remembered. The next one counts as a purge of all.
_MOST_SOURCES = 10_000
# Each purge writes all records, of 8 KB at most, and each entry that is read is compared with them. The next purge
# covers all sources.
_MOST_RECORDS = 200


class OfSource(msgspec.Struct, frozen=True):
    """All pictures of a source."""

    source: str

    def covers(self, key: Key) -> bool:
        return key.source == self.source

    def among(self, sources: Container[str]) -> list[str]:
        return [self.source] if self.source in sources else []

    def name_prefix(self) -> bytes:
        return source_prefix(self.source)


class OfRendering(msgspec.Struct, frozen=True):
    """All variants of one picture: what one URL shows, whatever the client's headers and the engine's version."""

    source: str
    rendering: str

    def covers(self, key: Key) -> bool:
        return key.source == self.source and key.rendering == self.rendering

    def among(self, sources: Container[str]) -> list[str]:
        return [self.source] if self.source in sources else []

    def name_prefix(self) -> bytes:
        return rendering_prefix(self.source, self.rendering)


class OfPrefix(msgspec.Struct, frozen=True):
    """All pictures of sources whose URL begins so; of all sources if it is empty."""

    prefix: str

    def covers(self, key: Key) -> bool:
        return key.source.startswith(self.prefix)

    def among(self, sources: Collection[str]) -> list[str]:
        return [source for source in sources if source.startswith(self.prefix)]


Scope = OfSource | OfRendering | OfPrefix


class Work:
    """A picture that is being read from the disk or made. ``is_void``: its result must not be stored any more.

    ``number`` rises with each picture that is begun to be made; it is 0 for one that is read.
    """

    __slots__ = ("epoch", "holders", "is_void", "key", "number")

    def __init__(self, key: Key, epoch: int, number: int) -> None:
        self.key, self.epoch, self.number = key, epoch, number
        self.holders = 0
        self.is_void = False


class UnderWay:
    """All work that a purge, or a newer picture of the same key, may make void."""

    def __init__(self) -> None:
        self._work: dict[Key, set[Work]] = {}
        self._number = 0

    def __len__(self) -> int:
        return len(self._work)

    def begin(self, key: Key, epoch: int) -> Work:
        self._number += 1
        return Work(key, epoch, self._number)

    def begin_reading(self, key: Key) -> Work:
        return Work(key, 0, 0)

    def hold(self, work: Work) -> None:
        work.holders += 1
        self._work.setdefault(work.key, set()).add(work)

    def release(self, work: Work) -> None:
        work.holders -= 1
        if work.holders:
            return
        same = self._work[work.key]
        same.discard(work)
        if not same:
            del self._work[work.key]

    @contextmanager
    def held(self, work: Work) -> Iterator[Work]:
        self.hold(work)
        try:
            yield work
        finally:
            self.release(work)

    def void(self, scope: Scope) -> None:
        for key, same in self._work.items():
            if scope.covers(key):
                for work in same:
                    work.is_void = True

    def void_older(self, newest: Work) -> None:
        """Of the same key: else a slow older picture would replace a newer one, in memory or in its file."""
        for work in self._work.get(newest.key, ()):
            if work.number < newest.number:
                work.is_void = True


class Generations:
    """Numbers of the last purges of all, and of single sources: deliveries of jobs may purge many of them a second."""

    def __init__(self) -> None:
        self._of_all = 0
        self._of_source: dict[str, int] = {}

    def of(self, key: Key) -> tuple[int, int]:
        return self._of_all, self._of_source.get(key.source, 0)

    def purged(self, scope: Scope) -> None:
        if isinstance(scope, OfPrefix) or len(self._of_source) >= _MOST_SOURCES:
            self._of_all += 1
            self._of_source.clear()
        else:
            self._of_source[scope.source] = self._of_source.get(scope.source, 0) + 1


class Record(msgspec.Struct, frozen=True):
    """A purge of a prefix whose files are not all deleted yet: those of an epoch before ``epoch``."""

    prefix: str
    epoch: int


def is_refused(header: Header, records: Iterable[Record]) -> bool:
    return any(header.epoch < record.epoch and header.key.source.startswith(record.prefix) for record in records)


class _File(msgspec.Struct, frozen=True):
    epoch: int = 1
    records: tuple[Record, ...] = ()


class Records:
    """The purges whose files are still being deleted. They outlive the server and a power cut."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE_NAME
        self._writing = threading.Lock()
        self._file = _File()
        self._new: set[int] = set()

    @property
    def epoch(self) -> int:
        return self._file.epoch

    @property
    def pending(self) -> tuple[Record, ...]:
        return self._file.records

    def load(self) -> bool:
        """False: the file is missing or damaged, so nobody knows what was purged. Raises OSError."""
        with suppress(FileNotFoundError, msgspec.DecodeError):
            self._file = msgspec.json.decode(self._path.read_bytes(), type=_File)
            return True
        return False

    def reset(self) -> None:
        """For a directory without entries. Raises OSError."""
        with self._writing:
            self._write(_File())

    @property
    def deletable(self) -> tuple[Record, ...]:
        """Those of which all work under way has been marked."""
        return tuple(record for record in self._file.records if record.epoch not in self._new)

    def add(self, prefix: str) -> int:
        """Durable, and in force, when it returns. Its epoch, to be given to ``marked``. Raises OSError."""
        with self._writing:
            epoch = self._file.epoch + 1
            self._new.add(epoch)
            # A shorter prefix, or an equal one, covers the older record.
            left = tuple(record for record in self._file.records if not record.prefix.startswith(prefix))
            records = (*left, Record(prefix, epoch)) if len(left) < _MOST_RECORDS else (Record("", epoch),)
            self._write(_File(epoch, records))
            return epoch

    def marked(self, epoch: int) -> None:
        """No work from before it can store anything now, so its files can be deleted, and then the record."""
        self._new.discard(epoch)

    def remove(self, records: Collection[Record]) -> None:
        """Their files are deleted, durably. Raises OSError."""
        with self._writing:
            left = tuple(record for record in self._file.records if record not in records)
            self._write(_File(self._file.epoch, left))

    def _write(self, file: _File) -> None:
        # First the disk: an entry must not have an epoch that the file does not know after a restart.
        replace_durably(self._path, msgspec.json.encode(file))
        failpoint.reach("cache_purge_recorded")
        self._file = file
