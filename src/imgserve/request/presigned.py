"""When a presigned URL expires, as far as its query tells. Called by ``engine``, ``jobs`` and ``transfer``.

Amazon's and Google's fourth version have a date and a number of seconds, the older ones of both and CloudFront the
second itself, Azure the time.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from imgserve.request import url
from imgserve.request.instant import read_instant

_DATED = (("x-amz-date", "x-amz-expires"), ("x-goog-date", "x-goog-expires"))
_DATE = "%Y%m%dT%H%M%SZ"
# Of a time that a datetime can hold.
_LAST_S = 253_402_300_799.0


def expiry_of(text: str) -> float | None:
    """Seconds since the epoch; None for a URL that is not presigned, or does not tell."""
    if not url.has_signature(text):
        return None
    query = text.partition("#")[0].partition("?")[2]
    fields = {name.lower(): value for name, value in parse_qsl(query)}
    for date, seconds in _DATED:
        if date in fields and seconds in fields:
            return _sum(fields[date], fields[seconds])
    if "expires" in fields:
        return _number(fields["expires"])
    return read_instant(fields.get("se"))


def earliest_expiry(texts: Iterable[str]) -> float | None:
    return min((expiry for text in texts if (expiry := expiry_of(text)) is not None), default=None)


def _sum(date: str, seconds: str) -> float | None:
    lasts = _number(seconds)
    try:
        since = datetime.strptime(date, _DATE).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
    return None if lasts is None else since + lasts


def _number(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdecimal() and float(text) <= _LAST_S else None
