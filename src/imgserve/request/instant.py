"""Instants of requests and answers: RFC 3339 texts, as seconds since the epoch."""

import re
from datetime import UTC, datetime

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)

EXPECTED = "a time such as 2030-01-31T18:00:00Z"


def read_instant(value: object) -> float | None:
    """The seconds of an RFC 3339 text since 1970; None for any other value, and for a time before that."""
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        return None
    try:
        instant = datetime.fromisoformat(value.upper())
    except ValueError:  # a 31st of February, an hour 25
        return None
    seconds = instant.timestamp()
    return seconds if seconds >= 0 else None


def instant_text(seconds: float) -> str:
    """In UTC, to the microsecond: ``read_instant(instant_text(read_instant(x))) == read_instant(x)``."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
