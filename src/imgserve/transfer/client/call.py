"""The libcurl client's calls and answers: plain frozen values between the protocols and ``curl``."""

import time
from typing import Literal

import msgspec

from imgserve.blob import Blob
from imgserve.request.page import Entry
from imgserve.transfer.client.along import Along
from imgserve.transfer.fetch import Fetch, Follows, anywhere
from imgserve.transfer.version import UNKNOWN, Version

Method = Literal["GET", "HEAD", "PUT", "POST", "DELETE", "MKCOL", "RETR", "STOR", "COMMANDS"]
WRITES: frozenset[Method] = frozenset({"PUT", "POST", "DELETE", "MKCOL", "STOR", "COMMANDS"})
FTP_METHODS: frozenset[Method] = frozenset({"RETR", "STOR", "COMMANDS"})


class FilePart(msgspec.Struct, frozen=True):
    """The part of a multipart body that has the call's ``body``."""

    field: bytes
    name: bytes
    media_type: str


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange. ``deadline_s`` is by ``time.monotonic``; for other methods than WRITES the wait for a transfer
    slot, and for memory, puts it off.

    ``parts`` are those of a multipart POST; without them ``body`` is sent as it is. ``fetch`` takes a 2xx answer's
    body; without it at most ``body_limit_bytes`` are returned, and a longer body ends the exchange. ``before`` and
    ``after`` are FTP commands, sent in the target's directory around the transfer; one that starts with ``*`` may fail.
    ``is_path_whole``: the FTP directory is entered by one command, not level by level. ``is_fresh``: no pooled
    connection is used. ``is_raw``: the body is taken as it comes, else it is decoded as its Content-Encoding says.
    ``along``: further headers, which take the place of those of ``headers`` with the same name. ``follows``: asked for
    the target of each redirect.
    """

    method: Method
    url: str
    deadline_s: float
    headers: tuple[str, ...] = ()
    along: Along | None = None
    follows: Follows = anywhere
    body: Blob | None = None
    parts: tuple[Entry | FilePart, ...] = ()
    fetch: Fetch | None = None
    body_limit_bytes: int = 0
    is_path_whole: bool = False
    is_fresh: bool = False
    is_raw: bool = False
    has_digest: bool = False
    before: tuple[bytes, ...] = ()
    after: tuple[bytes, ...] = ()

    def redirected(self, url: str, deadline_s: float | None = None) -> "Call":
        """The same call of another URL, to which a server leads it."""
        along = None if self.along is None else self.along.to(url)
        deadline_s = self.deadline_s if deadline_s is None else deadline_s
        return msgspec.structs.replace(self, url=url, along=along, deadline_s=deadline_s)


class Answer(msgspec.Struct, frozen=True):
    """``status`` is HTTP's, or the last FTP reply's. ``url`` is the one at the end of all redirects, ``location`` the
    target of a redirect that was not followed, as the server wrote it.

    ``replies`` are the last lines of the FTP server's replies. ``is_cut``: the body was longer than allowed. ``length``
    is the Content-Length; None without one, or when the body is encoded. ``deadline_s`` is the call's, put off by its
    waits. ``wants_digest``: the server asks for Digest authentication. ``along``: the further headers that still went
    with the last request. ``version`` is that of a source.
    """

    status: int
    url: str
    deadline_s: float
    location: str = ""
    media_type: str = ""
    length: int | None = None
    retry_after_s: float | None = None
    body: bytes = b""
    is_cut: bool = False
    replies: tuple[str, ...] = ()
    wants_digest: bool = False
    along: Along | None = None
    version: Version = UNKNOWN


def deadline_in(seconds: float) -> float:
    return time.monotonic() + seconds


def seconds_to(deadline_s: float) -> float:
    """At least a millisecond: libcurl takes 0 for no time-out."""
    return max(0.001, deadline_s - time.monotonic())
