"""What is asked of the libcurl client and what it answers: plain frozen values between the protocols and ``curl``."""

from typing import Literal

import msgspec

from imgserve.blob import Blob
from imgserve.transfer.fetch import Fetch

Method = Literal["GET", "HEAD", "PUT", "POST", "DELETE", "MKCOL", "RETR", "STOR", "COMMANDS"]
WRITES: frozenset[Method] = frozenset({"PUT", "POST", "DELETE", "MKCOL", "STOR", "COMMANDS"})

FTP_METHODS: frozenset[Method] = frozenset({"RETR", "STOR", "COMMANDS"})


class Field(msgspec.Struct, frozen=True):
    """One plain field of a multipart body, encoded as it goes out."""

    name: bytes
    value: bytes


class FilePart(msgspec.Struct, frozen=True):
    """A file of a multipart body; its bytes are the call's ``body``, or none when it ``is_empty``."""

    field: bytes
    name: bytes
    media_type: str
    is_empty: bool = False


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange. ``timeout_s`` covers all of it; a write's also the wait for its turn.

    ``parts`` are those of a multipart POST. ``fetch`` takes a 2xx answer's body; without it at most
    ``body_limit_bytes`` of one are returned, and a longer one ends the exchange. ``before`` and ``after`` are FTP
    commands, sent in the target's directory around the transfer; one that starts with ``*`` may fail.
    ``is_path_whole``: the FTP directory is entered by one command, not level by level. ``is_fresh``: no connection of
    an earlier exchange is used. ``decodes``: what Content-Encoding says was done to the body is undone.
    """

    method: Method
    url: str
    timeout_s: float
    headers: tuple[str, ...] = ()
    body: Blob | None = None
    parts: tuple[Field | FilePart, ...] = ()
    fetch: Fetch | None = None
    body_limit_bytes: int = 0
    is_path_whole: bool = False
    is_fresh: bool = False
    decodes: bool = False
    uses_digest: bool = False
    before: tuple[bytes, ...] = ()
    after: tuple[bytes, ...] = ()


class Answer(msgspec.Struct, frozen=True):
    """``status`` is HTTP's, or the last FTP reply's. ``url`` is where redirects led, ``location`` where one would lead,
    as the peer wrote it.

    ``replies`` are the last lines of the FTP server's. ``is_cut``: the body was longer than wanted.
    ``length`` is the Content-Length, None when not told, or told of an encoded body. ``seconds`` is how long it took.
    ``wants_digest``: the peer wants a login by Digest.
    """

    status: int
    url: str
    location: str = ""
    media_type: str = ""
    length: int | None = None
    retry_after_s: float | None = None
    body: bytes = b""
    is_cut: bool = False
    replies: tuple[str, ...] = ()
    is_reused: bool = False
    seconds: float = 0.0
    wants_digest: bool = False
