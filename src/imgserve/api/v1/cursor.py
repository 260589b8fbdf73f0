"""The place in a list of jobs, as ``next`` hands it out and ``cursor`` takes it: the last job that was listed.

It has nothing that its principal does not see anyway: no number of a job, which would count those of others.
"""

import base64
import binascii
import re
from typing import NamedTuple

from imgserve.request.faults import Fault, RequestInvalid

_TEXT = re.compile(rb"([0-9a-f]{32})@(\d{1,12}\.\d{6})")


class Cursor(NamedTuple):
    """``created_at`` stands in for a job that has been deleted since; seconds since the epoch."""

    job_id: str
    created_at: float


def dump(cursor: Cursor) -> str:
    text = f"{cursor.job_id}@{cursor.created_at:.6f}".encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def parse(text: str) -> Cursor:
    """Raises RequestInvalid."""
    try:
        raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raw = b""
    match = _TEXT.fullmatch(raw)
    if match is None:
        raise RequestInvalid(Fault("field_invalid", (), "expected the next of another page of this list"))
    return Cursor(match[1].decode(), float(match[2]))
