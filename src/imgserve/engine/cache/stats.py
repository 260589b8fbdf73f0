"""The figures of a cache, for its operator: ``/v1/cache`` answers them as they stand, and ``imgserve cache stats``
reads that answer. So this loads nothing else of the cache.
"""

import msgspec


class CacheStats(msgspec.Struct, frozen=True, kw_only=True):
    """``entries`` and ``size_bytes`` are those on the disk, as far as the index knows them: ``is_whole`` is false while
    it is rebuilt. ``memory_hits``, ``disk_hits`` and ``misses`` are look-ups since the start. ``skipped`` answers were
    not written, since the cap was reached or the disk was too slow or failing. ``failures`` are those of the disk,
    ``damaged`` are files. ``purging``: prefixes whose files are still being deleted.
    """

    entries: int
    size_bytes: int
    cap_bytes: int
    is_whole: bool
    memory_entries: int
    memory_bytes: int
    memory_cap_bytes: int
    memory_hits: int
    disk_hits: int
    misses: int
    stored: int
    skipped: int
    damaged: int
    evicted: int
    failures: int
    purging: int
