"""The digests of all placeholders of the last day, so that none is ever taken for a source. For ``queue``.

Every attempt asks for its source's size and nearly always no placeholder has it, so the sizes are in memory and the
digests in the table alone. ``prune`` deletes old rows.
"""

from imgserve.jobs.sql.database import Reader, rows
from imgserve.jobs.sql.queries import load

SQL = load("placeholders")

# A placeholder that is written again is noted again after an hour only, so 24 hours need one more.
NOTE_AGAIN_S = 3600.0
PLACEHOLDER_MEMORY_S = 24 * 3600.0 + NOTE_AGAIN_S


class RecentPlaceholders:
    """When a placeholder of each size, and each placeholder, was noted last."""

    def __init__(self) -> None:
        self._size_at: dict[int, float] = {}
        self._digest_at: dict[bytes, float] = {}

    def load(self, db: Reader) -> None:
        self._size_at = dict(rows(db, SQL["sizes"]))

    def add(self, digest: bytes, size_bytes: int, now: float) -> None:
        """Its row is stored."""
        self._size_at[size_bytes] = self._digest_at[digest] = now

    def is_noted(self, digest: bytes, now: float) -> bool:
        return self._digest_at.get(digest, 0.0) > now - NOTE_AGAIN_S

    def has_size(self, size_bytes: int, now: float) -> bool:
        return self._size_at.get(size_bytes, 0.0) > now - PLACEHOLDER_MEMORY_S

    def forget_old(self, now: float) -> None:
        self._size_at = {size: at for size, at in self._size_at.items() if at > now - PLACEHOLDER_MEMORY_S}
        self._digest_at = {digest: at for digest, at in self._digest_at.items() if at > now - NOTE_AGAIN_S}


def note(db: Reader, digest: bytes, size_bytes: int, now: float) -> None:
    db.execute(SQL["note"], (digest, size_bytes, now))


def digests(db: Reader, size_bytes: int, now: float) -> frozenset[bytes]:
    return frozenset(row[0] for row in rows(db, SQL["digests"], (size_bytes, now - PLACEHOLDER_MEMORY_S)))


def delete_old(db: Reader, now: float) -> None:
    db.execute(SQL["forget"], (now - PLACEHOLDER_MEMORY_S,))
