"""Whole answers in memory, the first place where a hit is looked for. Capped in bytes; the least recently used goes.

On the event loop alone. A look-up is one dict access.
"""

from collections import OrderedDict
from typing import Self

import msgspec

from imgserve.engine.cache.body import OpenBody
from imgserve.engine.cache.entry import Header, Key, Meta
from imgserve.engine.cache.purge import Scope

# What an entry takes besides its texts and its bytes: the structs, two dict entries, the objects' own heads.
_OVERHEAD_BYTES = 1200
# A larger answer would push out many small ones, and is sent from its file as fast.
_MAX_PART = 8


class Hit(msgspec.Struct, gc=False):
    """A whole answer. ``head`` are the headers that are the same each time it is sent; those of caching depend on the
    time. ``used_at_s`` is when its use was last noted.

    The caller closes it, since a large body is an open file.
    """

    header: Header
    body: bytes | OpenBody
    head: tuple[tuple[bytes, bytes], ...]
    used_at_s: float = 0.0

    @property
    def meta(self) -> Meta:
        return self.header.meta

    @property
    def size_bytes(self) -> int:
        return self.body.size if isinstance(self.body, OpenBody) else len(self.body)

    def close(self) -> None:
        if isinstance(self.body, OpenBody):
            self.body.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def hit_of(header: Header, body: bytes | OpenBody, used_at_s: float = 0.0) -> Hit:
    meta = header.meta
    size = body.size if isinstance(body, OpenBody) else len(body)
    head = [(b"content-type", meta.media_type.encode("latin-1")), (b"content-length", b"%d" % size)]
    if meta.etag:
        head.append((b"etag", meta.etag.encode("latin-1")))
    return Hit(header, body, (*head, *meta.headers), used_at_s)


def _charge(hit: Hit) -> int:
    key = hit.header.key
    texts = len(key.source) + len(key.rendering) + len(key.variant) + len(key.engine)
    return _OVERHEAD_BYTES + hit.size_bytes + texts + sum(len(name) + len(text) for name, text in hit.head)


class Memory:
    def __init__(self, cap_bytes: int) -> None:
        self.cap_bytes = cap_bytes
        self.size_bytes = 0
        self._hits: OrderedDict[Key, Hit] = OrderedDict()
        self._by_source: dict[str, set[Key]] = {}

    def __len__(self) -> int:
        return len(self._hits)

    @property
    def max_body_bytes(self) -> int:
        """Larger answers are not accepted."""
        return self.cap_bytes // _MAX_PART

    def get(self, key: Key) -> Hit | None:
        """It counts as the most recently used."""
        hit = self._hits.get(key)
        if hit is not None:
            self._hits.move_to_end(key)
        return hit

    def put(self, hit: Hit) -> None:
        """Takes the place of an older one, even if it is too large itself."""
        key, charge = hit.header.key, _charge(hit)
        self.drop(key)
        if charge > self.max_body_bytes or isinstance(hit.body, OpenBody):
            return
        self._hits[key] = hit
        self._by_source.setdefault(key.source, set()).add(key)
        self.size_bytes += charge
        while self.size_bytes > self.cap_bytes:
            self.drop(next(iter(self._hits)))

    def drop(self, key: Key) -> None:
        hit = self._hits.pop(key, None)
        if hit is None:
            return
        self.size_bytes -= _charge(hit)
        keys = self._by_source[key.source]
        keys.discard(key)
        if not keys:
            del self._by_source[key.source]

    def purge(self, scope: Scope) -> int:
        """The number of answers that are gone."""
        sources = scope.among(self._by_source)
        keys = [key for source in sources for key in self._by_source[source] if scope.covers(key)]
        for key in keys:
            self.drop(key)
        return len(keys)
