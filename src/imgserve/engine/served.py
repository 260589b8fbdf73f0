"""What a GET of a picture wants, and what it gets: the values of ``images``, which ``api/images`` sends."""

from typing import Any, Literal, NamedTuple, Self

import msgspec

from imgserve.blob import Blob
from imgserve.engine.cache.body import OpenBody
from imgserve.engine.cache.entry import Key, Meta
from imgserve.engine.cache.freshness import is_not_modified
from imgserve.engine.mounts import Mount
from imgserve.request.dialects.dialect import Asked
from imgserve.request.source import Source

# hit: from the cache. stale: from the cache, while or because its source is asked for. revalidated: the source had not
# changed. known: the client has the picture already. made: rendered now.
# raw: the source's own bytes.
State = Literal["hit", "stale", "revalidated", "known", "made", "fallback", "raw"]


class Wanted(NamedTuple):
    """What one request asks for, judged: ``key`` stands for the picture."""

    mount: Mount
    asked: Asked[Any]
    source: Source
    key: Key


class Served(msgspec.Struct, frozen=True):
    """A whole answer, which its owner closes. ``body`` None: the client has it already (304)."""

    meta: Meta
    body: bytes | OpenBody | Blob | None
    state: State
    status: int = 200

    @property
    def size_bytes(self) -> int:
        if self.body is None:
            return 0
        return len(self.body) if isinstance(self.body, bytes) else self.body.size

    def unless_known(self, if_none_match: str, if_modified_since: str) -> "Served":
        """Without the picture, which is closed then, for a client that has it already."""
        if not is_not_modified(self.meta, if_none_match, if_modified_since):
            return self
        self.close()
        return Served(self.meta, None, self.state)

    def close(self) -> None:
        if isinstance(self.body, OpenBody | Blob):
            self.body.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Made(msgspec.Struct, frozen=True):
    """A handle of a picture that was just made, or found to be still right."""

    meta: Meta
    blob: Blob
    state: State

    def share(self) -> "Made":
        return msgspec.structs.replace(self, blob=self.blob.share())

    def close(self) -> None:
        self.blob.close()
