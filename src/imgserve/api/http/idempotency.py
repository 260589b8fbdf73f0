"""The Idempotency-Key header: by it a repeated request finds the job that the first one made."""

import re
from collections.abc import Iterable

from imgserve.request.faults import Fault, RequestInvalid

NAME = "Idempotency-Key"
LONGEST = 255

_VISIBLE = re.compile(rb"[!-~]{1,%d}" % LONGEST)


def key_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """None: the request has none. Raises RequestInvalid."""
    values = [value for name, value in headers if name == NAME.lower().encode()]
    if not values:
        return None
    if len(values) > 1 or not _VISIBLE.fullmatch(values[0]):
        note = f"expected one key of 1 to {LONGEST} visible ASCII characters"
        raise RequestInvalid(Fault("field_invalid", ("header", NAME), note))
    return values[0].decode("ascii")
