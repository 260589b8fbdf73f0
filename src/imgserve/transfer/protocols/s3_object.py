"""What lies at a key of a bucket, and what may be written over it. Called by ``s3``; no I/O.

Each object that imgserve writes is marked by its metadata: ``imgserve-state`` tells what it is, ``imgserve-write`` by
which write of which output of which server it came.
"""

import re
from collections.abc import Mapping
from typing import Self, TypeAlias

import msgspec

from imgserve.request.access import METADATA, Headers
from imgserve.transfer.faults import ExchangeFailed, NewerThere, NotOurs
from imgserve.transfer.write import Write

# The ETag of the object that is to be replaced; empty: there is none.
Expected: TypeAlias = str

NO_OBJECT: Expected = ""
STATE, WRITE = "imgserve-state", "imgserve-write"
_NUMBER = re.compile(r"[0-9]{1,18}")
_MAKESHIFT = frozenset({"placeholder", "failed"})


class NotAsExpected(Exception):
    """Another object is there than expected, or one is, or none: nothing was written."""


class Denied(ExchangeFailed):
    """The store refuses the credential, or this use of it."""


class Missing(ExchangeFailed):
    """There is no such object, or no such bucket."""


class Unanswered(ExchangeFailed):
    """No answer came, or that of a store in trouble. The request may have been carried out."""


class StoredObject(msgspec.Struct, frozen=True):
    """An object that is there. ``server`` and ``output`` name its writer, if it has imgserve's mark."""

    etag: Expected
    size_bytes: int
    state: str = ""
    write: str = ""
    server: str = ""
    output: int = 0

    @classmethod
    def of(cls, etag: str, size_bytes: int, metadata: Mapping[str, str]) -> Self:
        write = metadata.get(WRITE, "")
        server, output = _writer(write.rpartition("-")[0])
        return cls(etag, size_bytes, metadata.get(STATE, ""), write, server, output)

    @property
    def is_makeshift(self) -> bool:
        """A placeholder or failure picture, of any server."""
        return self.state in _MAKESHIFT

    def is_from(self, write: Write) -> bool:
        return (self.state, self.write) == (write.state, _mark(write))


def metadata_of(write: Write, headers: Headers = ()) -> dict[str, str]:
    """Those that the job asks for, the object's type, and its marks. No cache keeps a makeshift picture."""
    asked = {name.lower().removeprefix(METADATA): text for name, text in headers}
    own = {"content-type": write.media_type, STATE: write.state, WRITE: _mark(write)}
    return asked | own if write.state == "final" else asked | own | {"cache-control": "no-store"}


def expected(current: StoredObject | None, write: Write, *, is_first: bool = True) -> Expected:
    """The object that ``write`` may replace, by its first look or a later one.

    The queue has granted the write, so a newer placeholder that the first look finds is that of a job that was refused;
    one that comes later is not. Raises NewerThere, NotOurs.
    """
    if current is None:
        if write.state == "failed" and write.etag:
            raise NotOurs("Imgserve's placeholder is no longer at the destination")
        return NO_OBJECT
    server, output = _writer(write.name)
    if current.server == server and current.output > output and not (is_first and current.is_makeshift):
        raise NewerThere("A newer job has written to the destination")
    if write.state == "failed" and not (current.is_makeshift and current.server == server):
        raise NotOurs("The destination holds another file than imgserve's placeholder")
    return current.etag


def _mark(write: Write) -> str:
    return f"{write.name}-{write.token}"


def _writer(name: str) -> tuple[str, int]:
    """Server and output of a write's name; nothing for one that is not imgserve's."""
    server, _, output = name.rpartition("-o")
    return (server, int(output)) if server and _NUMBER.fullmatch(output) else ("", 0)
