"""How long, and by whom, an answer of a mount may be kept: its Cache-Control, ETag, Last-Modified and Vary.

Called by ``images``.
"""

import time
from email.utils import formatdate

from imgserve.api.http.asgi import Headers
from imgserve.engine.cache.freshness import Lifetimes, cache_control
from imgserve.engine.mounts import Mount
from imgserve.engine.renditions import OCTETS
from imgserve.engine.served import Served, Wanted

_DISPOSITION = b"content-disposition"
_NEVER_STALE = Lifetimes(0.0)


class Caching:
    """``lifetimes`` are those of the server's own cache. ``vary`` is in every answer, also in refusals."""

    def __init__(self, mount: Mount, lifetimes: Lifetimes) -> None:
        self._mount = mount
        self._lifetimes = lifetimes
        self.vary = _vary(mount)

    def of(self, wanted: Wanted, served: Served) -> Headers:
        mount, meta = self._mount, served.meta
        lines: Headers = ((b"cache-control", self._cache_control(wanted, served).encode()),)
        if meta.etag:
            lines = (*lines, (b"etag", meta.etag.encode("latin-1")))
        if meta.last_modified_s is not None:
            lines = (*lines, (b"last-modified", formatdate(meta.last_modified_s, usegmt=True).encode()))
        lines = (*lines, *self.vary)
        if served.state == "fallback":
            lines = (*lines, (b"x-imgserve-state", b"fallback"))
        lines = (*lines, *mount.dialect.answer_headers(wanted.asked, meta.media_type))
        if meta.media_type == OCTETS and not any(name == _DISPOSITION for name, _ in lines):
            lines = (*lines, (_DISPOSITION, b"attachment"))
        return lines

    def _cache_control(self, wanted: Wanted, served: Served) -> str:
        config, asked, now_s = self._mount.config, wanted.asked.answer, time.time()
        # The source's header is followed as it is: it may forbid stale pictures. A fallback is to go soon.
        stale = _NEVER_STALE if config.follows_source or served.state == "fallback" else self._lifetimes
        max_age_s = max(served.meta.fresh_until_s - now_s, 0.0) if config.follows_source else float(config.max_age_s)
        if served.state == "fallback":
            max_age_s = config.fallback_max_age_s
        elif asked.max_age_s is not None:  # not signed, it is anyone's wish
            max_age_s = asked.max_age_s if wanted.asked.is_signed else min(asked.max_age_s, max_age_s)
        return cache_control(
            max_age_s,
            stale.stale_while_revalidate_s,
            stale.stale_if_error_s,
            status=served.status,
            expires_at_s=None if asked.expires_at_s is None else float(asked.expires_at_s),
            now_s=now_s,
            is_public=not (config.follows_source and served.meta.is_private),
        )


def _vary(mount: Mount) -> Headers:
    """The fields that choose among the pictures of one URL."""
    names = ["Accept"] if mount.formats else []
    if mount.takes_hints:
        names += ["Sec-CH-DPR", "DPR", "Sec-CH-Width", "Width"]
    return ((b"vary", ", ".join(names).encode()),) if names else ()
