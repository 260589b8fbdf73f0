"""How long a cached answer is used, and what clients and caches in front of the server are told. Pure.

The rules are those of RFC 9110 (conditional requests, section 13), RFC 9111 (freshness) and RFC 5861 (stale answers).
"""

import math
import re
from base64 import urlsafe_b64encode
from datetime import UTC
from email.utils import parsedate_to_datetime
from hashlib import blake2b
from typing import Literal

import msgspec

from imgserve.engine.cache.entry import Key, Meta, Validator

# fresh: use it. stale: use it, and ask its source meanwhile. error: use it only if its source cannot be asked.
Freshness = Literal["fresh", "stale", "error", "expired"]

# An answer stored later than now was stored before the wall clock was set back. Smaller steps are NTP's.
_CLOCK_STEP_S = 60.0
# RFC 9110, 8.8.3: an opaque tag is any visible character but the quote, and bytes above 127.
_ENTITY_TAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_TAG_GAP = re.compile(r"[ \t]*(?:,[ \t]*)*")


class Lifetimes(msgspec.Struct, frozen=True):
    """How long an answer is used, by the settings or by what its source says."""

    fresh_s: float
    stale_while_revalidate_s: float = 0.0
    stale_if_error_s: float = 0.0


def stamped(meta: Meta, now_s: float, lifetimes: Lifetimes) -> Meta:
    """An answer that was made now, or whose source has just said that it is unchanged."""
    fresh_until_s = now_s + lifetimes.fresh_s
    return msgspec.structs.replace(
        meta,
        stored_at_s=now_s,
        fresh_until_s=fresh_until_s,
        stale_until_s=fresh_until_s + lifetimes.stale_while_revalidate_s,
        error_until_s=fresh_until_s + lifetimes.stale_if_error_s,
    )


def freshness(meta: Meta, now_s: float) -> Freshness:
    # Else a wall clock that was set back a year would keep answers for a year longer.
    is_doubtful = now_s < meta.stored_at_s - _CLOCK_STEP_S
    if now_s < meta.fresh_until_s and not is_doubtful:
        return "fresh"
    if now_s < meta.stale_until_s:
        return "stale"
    return "error" if now_s < meta.error_until_s else "expired"


def entity_tag(key: Key, validator: Validator) -> str:
    """The ETag of a picture, which is known before the picture is rendered: the same key and the same source give the
    same bytes.

    Strong if the source's bytes are identified, weak if not. Empty if nothing is known of them.
    """
    if validator.is_empty:
        return ""
    # The digest identifies the bytes alone; a source's own validators are used where there is none.
    words = ("digest", validator.digest) if validator.digest else (validator.etag, validator.last_modified)
    opaque = urlsafe_b64encode(blake2b(msgspec.msgpack.encode((key, words)), digest_size=15).digest()).decode()
    return f'"{opaque}"' if validator.is_strong else f'W/"{opaque}"'


def is_not_modified(meta: Meta, if_none_match: str, if_modified_since: str) -> bool:
    """Whether a GET or HEAD with these headers, empty where they are missing, is answered with 304.

    If-None-Match is a list of tags or ``*``, compared weakly. If-Modified-Since counts only without it (RFC 9110,
    13.2.2). A header that cannot be read is ignored.
    """
    if meta.status != 200:
        return False
    if if_none_match:
        return _matches(if_none_match, meta.etag)
    if if_modified_since and meta.last_modified_s is not None:
        since_s = _seconds(if_modified_since)
        return since_s is not None and meta.last_modified_s <= since_s
    return False


def _matches(if_none_match: str, etag: str) -> bool:
    """Linear in the header's length. The tags before a fault in the list count."""
    if if_none_match.strip(" \t") == "*":
        return True
    position = _end_of_gap(if_none_match, 0)
    while etag and (found := _ENTITY_TAG.match(if_none_match, position)):
        if found[1] == etag.removeprefix("W/"):
            return True
        position = _end_of_gap(if_none_match, found.end())
    return False


def _end_of_gap(text: str, position: int) -> int:
    gap = _TAG_GAP.match(text, position)
    return gap.end() if gap else position


def _seconds(http_date: str) -> float | None:
    """Unix time of a date in any of the three forms of RFC 9110, 5.6.7; None if it is none."""
    if len(http_date) > 64:
        return None
    try:
        moment = parsedate_to_datetime(http_date)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def cache_control(
    max_age_s: float,
    stale_while_revalidate_s: float = 0.0,
    stale_if_error_s: float = 0.0,
    *,
    status: int = 200,
    expires_at_s: float | None = None,
    now_s: float = 0.0,
    is_public: bool = True,
) -> str:
    """The header of an answer. ``expires_at_s`` is when the URL ends to be answered: no cache keeps it for longer.

    No cache keeps an error: it would last when its cause has gone. Only a public answer may be shown stale.
    """
    if status >= 400:
        return "no-store"
    left_s = math.inf if expires_at_s is None else expires_at_s - now_s
    age = int(max(min(max_age_s, left_s), 0))
    if age == 0:
        return "no-cache" if is_public else "private, no-cache"
    if not is_public:
        return f"private, max-age={age}"
    words = ["public", f"max-age={age}"]
    # No browser can be told of a purge: where a picture may be kept for a minute, none of yesterday is to be shown.
    stale = {"stale-while-revalidate": min(stale_while_revalidate_s, age), "stale-if-error": stale_if_error_s}
    for word, most_s in stale.items():
        seconds = int(min(most_s, left_s - age))
        if seconds > 0:
            words.append(f"{word}={seconds}")
    return ", ".join(words)
