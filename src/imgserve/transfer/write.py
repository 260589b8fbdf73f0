"""One delivery as ``engine`` orders it, and its result."""

from typing import Literal

import msgspec

from imgserve.blob import Fingerprint

WriteState = Literal["placeholder", "final", "failed"]
_EARLIER_TOKENS = 10
# A job's own headers that would have caches keep a placeholder for as long as its result.
CACHING = frozenset({"cache-control", "expires", "cdn-cache-control", "surrogate-control"})


class Write(msgspec.Struct, frozen=True):
    """One write to a destination. ``name`` is unique per output (letters, digits, ``_``, ``-``); ``token`` counts up.

    A write removes the temporary files that lower tokens left behind. ``abandoned``: names and last tokens of other
    outputs that had this destination and will not write again. ``timeout_s`` covers it all. ``only_over``: a file is
    written or deleted only while the file there has this fingerprint. ``etag``: of the output's placeholder in a
    bucket, if it is known. ``principal``: the owner of the job.
    """

    state: WriteState
    media_type: str
    name: str
    token: int
    timeout_s: float
    abandoned: tuple[tuple[str, int], ...] = ()
    only_over: Fingerprint | None = None
    etag: str = ""
    principal: str = ""

    @property
    def temporary_name(self) -> str:
        return f".imgserve-{self.name}-{self.token}"

    @property
    def leftover_names(self) -> tuple[str, ...]:
        """The names of temporary files that earlier tokens may have left: the placeholder's, and the last ones."""
        tokens = {0, *range(max(0, self.token - _EARLIER_TOKENS), self.token)} if self.token else set()
        own = tuple(f".imgserve-{self.name}-{token}" for token in sorted(tokens))
        # The tokens of the placeholder, of the last attempt, and of the one before, if the last wrote nothing.
        others = ((name, token) for name, last in self.abandoned for token in {0, max(last - 1, 0), last})
        return own + tuple(f".imgserve-{name}-{token}" for name, token in others)

    def http_headers(self) -> tuple[str, ...]:
        state = f"X-Imgserve-State: {self.state}"
        return (state,) if self.state == "final" else (state, "Cache-Control: no-store")


class Delivery(msgspec.Struct, frozen=True):
    """A write that the destination accepted. ``is_verified``: it reported the right size afterwards. ``etag``: of the
    new object in a bucket.
    """

    is_verified: bool
    etag: str = ""
