"""The digests of all placeholders of the last day, so that none is ever taken for a source.

The table lasts, a copy in memory answers. For ``queue``; ``prune`` deletes old rows.
"""

import apsw

# A placeholder that is written again is noted again after an hour only, so 24 hours need one more.
NOTE_AGAIN_S = 3600.0
PLACEHOLDER_MEMORY_S = 24 * 3600.0 + NOTE_AGAIN_S


class KnownPlaceholders:
    def __init__(self) -> None:
        self._seen_at: dict[int, dict[bytes, float]] = {}  # by size, since most sources have another

    def load(self, db: apsw.Connection) -> None:
        for digest, size_bytes, seen_at in db.execute("SELECT digest, size_bytes, seen_at FROM placeholder"):
            self.add(digest, size_bytes, seen_at)

    def is_noted(self, digest: bytes, size_bytes: int, now: float) -> bool:
        """Whether a recent row has it."""
        return self._seen_at.get(size_bytes, {}).get(digest, 0.0) > now - NOTE_AGAIN_S

    def add(self, digest: bytes, size_bytes: int, seen_at: float) -> None:
        """Its row is stored."""
        self._seen_at.setdefault(size_bytes, {})[digest] = seen_at

    def digests(self, size_bytes: int, now: float) -> frozenset[bytes]:
        known = self._seen_at.get(size_bytes, {})
        return frozenset(digest for digest, seen_at in known.items() if seen_at > now - PLACEHOLDER_MEMORY_S)

    def forget_old(self, now: float) -> None:
        before = now - PLACEHOLDER_MEMORY_S
        for known in self._seen_at.values():
            for digest in [digest for digest, seen_at in known.items() if seen_at <= before]:
                del known[digest]


def store(db: apsw.Connection, digest: bytes, size_bytes: int, now: float) -> None:
    db.execute("INSERT OR REPLACE INTO placeholder VALUES (?, ?, ?)", (digest, size_bytes, now))


def delete_old(db: apsw.Connection, now: float) -> None:
    db.execute("DELETE FROM placeholder WHERE seen_at <= ?", (now - PLACEHOLDER_MEMORY_S,))
