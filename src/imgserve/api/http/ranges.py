"""One range of a stored answer's bytes (RFC 9110, 14). Pure; for ``images``.

Several ranges, and units other than bytes, are ignored, as the standard allows: the client gets the whole.
"""

import re
from typing import Literal, NamedTuple

_ONE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})", re.ASCII)


class Range(NamedTuple):
    """From ``start`` up to ``end``, which is not among them."""

    start: int
    end: int


def range_of(field: str, if_range: str, etag: str, size_bytes: int) -> Range | Literal["none"] | None:
    """None: the whole is sent. ``none``: not one of these bytes is there (416).

    ``if_range`` is compared with the strong ``etag``; a date there is none of ours, so the whole is sent.
    """
    match = _ONE.fullmatch(field.strip())
    if match is None or (if_range and if_range.strip() != etag):
        return None
    first, last = match.groups()
    if not first:
        return _last(int(last), size_bytes) if last else None
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size_bytes:
        return "none"
    return Range(start, min(int(last) + 1, size_bytes) if last else size_bytes)


def _last(count: int, size_bytes: int) -> Range | Literal["none"]:
    return Range(max(size_bytes - count, 0), size_bytes) if count and size_bytes else "none"
