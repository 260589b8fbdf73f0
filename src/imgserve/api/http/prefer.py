"""The Prefer header (RFC 7240). Of its preferences only ``wait`` is known here; others are passed over, as it says."""

import re
from collections.abc import Iterable

LONGEST_WAIT_S = 60

_WAIT = re.compile(r'wait\s*=\s*(?:"(\d{1,9})"|(\d{1,9}))\s*(?:;.*)?', re.IGNORECASE | re.ASCII | re.DOTALL)


def wait_s(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """How long the client wants the answer held back, at most ``LONGEST_WAIT_S``; None: not at all.

    A ``wait`` that is no number of seconds from 1 counts as none. The first of several counts (RFC 7240, 2).
    """
    values = (value.decode("latin-1") for name, value in headers if name == b"prefer")
    preferences = (part.strip() for value in values for part in value.split(","))
    first = next((part for part in preferences if re.match(r"wait\b", part, re.IGNORECASE)), "")
    match = _WAIT.fullmatch(first)
    seconds = int(match[1] or match[2]) if match else 0
    return min(seconds, LONGEST_WAIT_S) or None


def applied(seconds: int) -> tuple[bytes, bytes]:
    return b"preference-applied", f"wait={seconds}".encode()
