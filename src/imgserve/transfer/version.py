"""What tells two states of a source apart before it is read again. The protocols fill it, ``engine`` keeps it.

RFC 9110, 8.8 (validators) and 13.1 (conditional requests).
"""

import re

import msgspec

# A field goes into a later request's head: visible characters alone, and no more of them than a server needs.
_SAFE = re.compile(r"[\x20-\x7e]{1,256}")


class Version(msgspec.Struct, frozen=True):
    """``etag`` and ``modified`` are the validators as the server wrote them; a file's are made of size and times.

    ``cache_control`` and ``expires`` are the fields of its answer. All are empty where the protocol has none.
    """

    etag: str = ""
    modified: str = ""
    cache_control: str = ""
    expires: str = ""

    @property
    def is_known(self) -> bool:
        return bool(self.etag or self.modified)

    def conditions(self) -> tuple[str, ...]:
        """The header lines of a request for the source if it has changed since."""
        etag = (f"If-None-Match: {self.etag}",) if self.etag else ()
        modified = (f"If-Modified-Since: {self.modified}",) if self.modified else ()
        return (*etag, *modified)

    def after(self, newer: "Version") -> "Version":
        """After an answer that nothing has changed, with the fields that it brought (RFC 9111, 4.3.4)."""
        return Version(
            newer.etag or self.etag,
            newer.modified or self.modified,
            newer.cache_control or self.cache_control,
            newer.expires or self.expires,
        )


UNKNOWN = Version()


def safe(value: str) -> str:
    """Empty for a text that no request may repeat."""
    return value if _SAFE.fullmatch(value) else ""
