"""How long a source may be used without asking its server, as that server's answer says (RFC 9111, 4.2.1). Pure."""

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

from imgserve.transfer.version import Version

_AGE = re.compile(r"(?:^|[,\s])(s-maxage|max-age)\s*=\s*\"?(\d{1,10})", re.IGNORECASE)
_NEVER = re.compile(r"(?:^|[,\s])(no-cache|no-store|must-revalidate\s*,\s*max-age=0)(?=[\s,=]|$)", re.IGNORECASE)
_PRIVATE = re.compile(r"(?:^|[,\s])(private|no-store)(?=[\s,=]|$)", re.IGNORECASE)
# No answer is used for longer than a year, whatever it says.
_MOST_S = 31_536_000.0


def fresh_s(version: Version, now_s: float) -> float | None:
    """Seconds; None: it does not say. ``s-maxage`` goes before ``max-age``, and that before Expires."""
    if _NEVER.search(version.cache_control):
        return 0.0
    ages = {name.lower(): float(seconds) for name, seconds in _AGE.findall(version.cache_control)}
    for name in ("s-maxage", "max-age"):
        if name in ages:
            return min(ages[name], _MOST_S)
    return _until(version.expires, now_s) if version.expires else None


def is_private(version: Version) -> bool:
    """Whether caches that many clients share are told not to keep it (RFC 9111, 5.2.2.5 and 5.2.2.7)."""
    return _PRIVATE.search(version.cache_control) is not None


def modified_s(version: Version, now_s: float) -> int | None:
    """Unix time of its last change; None: it does not say. One still to come counts as now (RFC 9110, 8.8.2)."""
    moment_s = _unix_s(version.modified) if version.modified else None
    return None if moment_s is None else int(min(moment_s, now_s))


def _until(expires: str, now_s: float) -> float:
    """A date that cannot be read is one in the past (RFC 9111, 5.3)."""
    moment_s = _unix_s(expires)
    return 0.0 if moment_s is None else min(max(moment_s - now_s, 0.0), _MOST_S)


def _unix_s(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
