"""The source of a job: its URL in, a checked ``Source`` out, which the transfers use. Called by the APIs."""

from typing import cast
from urllib.parse import quote

import msgspec

from imgserve.request import url
from imgserve.request.access import NOTHING, Access
from imgserve.request.faults import Code, Fault, RequestInvalid
from imgserve.request.protocols import NOT_YET, SCHEMES, SchemeName, SourceKind


class Source(msgspec.Struct, frozen=True):
    """``url`` may hold a password and is never logged; ``repr`` shows scheme and host.

    ``path`` is percent-decoded for file and stays encoded for the others; file has no host and port 0.
    ``digest``: the SHA-256 that the picture's bytes must have, in hexadecimal.

    An upload's ``path`` is the name of its part, empty for a ``data:`` URL; its ``url`` is ``upload:`` and the id of
    its file, which no request can name.
    """

    url: str
    scheme: SchemeName
    host: str
    port: int
    path: str
    # Left out of the JSON unless set: a request must keep the digest that earlier versions gave it.
    access: Access | msgspec.UnsetType = msgspec.UNSET
    digest: str | msgspec.UnsetType = msgspec.UNSET

    def __repr__(self) -> str:
        return f"Source({self.scheme}://{self.host})"

    @property
    def sends(self) -> Access:
        return self.access or NOTHING

    @property
    def is_upload(self) -> bool:
        return self.scheme == "upload"

    @property
    def kind(self) -> SourceKind:
        """The protocol that reads it."""
        return "upload" if self.is_upload else SCHEMES[self.scheme].source

    @property
    def origin(self) -> str:
        """The server: scheme, host and port; empty for a file."""
        return f"{self.scheme}://{self.host}:{self.port}" if self.host else ""


def parse_source(value: object) -> Source:
    """Raises RequestInvalid: unknown protocol, or no URL of a file."""
    text = check_scheme(value, invalid="source_invalid", unknown="source_scheme_unknown")
    try:
        parsed = url.parse(text)
        return Source(parsed.text, cast(SchemeName, parsed.scheme), parsed.host, parsed.port, parsed.target)
    except url.UrlInvalid as error:
        raise RequestInvalid(Fault("source_invalid", note=str(error))) from None


def sent_source(part: str = "") -> Source:
    """A picture that comes with its request, in this part. ``received`` adds what is known when it is there."""
    return Source("upload:", "upload", "", 0, part)


def received(source: Source, upload_id: str, sha256: bytes) -> Source:
    return msgspec.structs.replace(source, url=f"upload:{upload_id}", digest=sha256.hex())


def upload_id_of(source: Source) -> str:
    """The name of its file. For sources with ``is_upload``."""
    return source.url.partition(":")[2]


def source_key(source: Source) -> str:
    """The source's place as ``Destination.key`` writes it, so that the two can be compared."""
    return url.parse(source.url).key


def encoded_name(source: Source) -> str:
    """The source's last path segment, percent-encoded but for its dots; no query, no fragment. Of an upload the part's
    name.
    """
    if source.is_upload:
        return quote(source.path, safe="")
    return url.with_dots(url.parse(source.url).last_segment)


def check_scheme(value: object, *, invalid: Code, unknown: Code) -> str:
    """``value`` as text with a scheme that this version knows.

    Raises RequestInvalid with the code ``invalid`` (no text, empty, no scheme) or ``unknown``.
    """
    if not isinstance(value, str) or not value:
        raise RequestInvalid(Fault(invalid, note=f"expected a URL, got {'nothing' if value == '' else 'no text'}"))
    scheme = url.scheme_of(value)
    if scheme is None:
        raise RequestInvalid(Fault(invalid, note=f"expected a URL that begins with {_listed()}"))
    if scheme in NOT_YET:
        raise RequestInvalid(Fault(unknown, note=f"this version does not speak {scheme} yet; use {_listed()}"))
    if scheme not in SCHEMES:
        raise RequestInvalid(Fault(unknown, note=f"the protocol is unknown; use {_listed()}"))
    if len(value) > url.MAX_LENGTH:
        raise RequestInvalid(Fault(invalid, note=f"expected a URL of at most {url.MAX_LENGTH} characters"))
    return value


def _listed() -> str:
    *words, last = (f"{scheme}://" for scheme in SCHEMES)
    return f"{', '.join(words)} or {last}"
