"""Where a picture comes from: its URL in, a checked ``Source`` out. The APIs call; transfers build on the result."""

from typing import Literal, cast

import msgspec

from imgserve.request import url
from imgserve.request.faults import Code, Fault, RequestInvalid

SourceScheme = Literal["http", "https", "ftp", "ftps", "ftpes", "file"]


class Source(msgspec.Struct, frozen=True):
    """``url`` may hold a password: it is never logged; ``repr`` shows only scheme and host.

    ``path`` is percent-decoded for file and stays encoded for the others; file has no host and port 0.
    """

    url: str
    scheme: SourceScheme
    host: str
    port: int
    path: str

    def __repr__(self) -> str:
        return f"Source({self.scheme}://{self.host})"

    @property
    def peer(self) -> str:
        """The server that has it: scheme, host and port; empty for a file."""
        return "" if self.scheme == "file" else f"{self.scheme}://{self.host}:{self.port}"


def parse_source(value: object) -> Source:
    """A source from the request's own text. Raises RequestInvalid: unknown protocol, or no URL of a file."""
    text = spoken_url(value, invalid="source_invalid", unknown="source_scheme_unknown")
    try:
        parsed = url.parse(text)
        is_file = parsed.scheme == "file"
        path = url.decode_path(parsed.path) if is_file else parsed.path
        if path.endswith("/") and (is_file or parsed.scheme in url.FTP_FAMILY):
            raise url.UrlInvalid("expected a file, got a directory")  # noqa: TRY301 - one map for all of them
    except url.UrlInvalid as error:
        raise RequestInvalid(Fault("source_invalid", note=str(error))) from None
    return Source(parsed.text, cast(SourceScheme, parsed.scheme), parsed.host, parsed.port, path)


def source_key(source: Source) -> str:
    """The place of the source in the spelling of ``Destination.key``, to see whether the two are one place."""
    return url.parse(source.url).key


def encoded_name(source: Source) -> str:
    """The source's last path segment, percent-encoded but for its dots; no query, no fragment."""
    return url.with_dots(url.parse(source.url).last_segment)


def spoken_url(value: object, *, invalid: Code, unknown: Code) -> str:
    """``value`` as text whose scheme this version speaks; judged by the scheme alone.

    Raises RequestInvalid with the code ``invalid`` (no text, empty, no scheme) or ``unknown``.
    """
    if not isinstance(value, str) or not value:
        raise RequestInvalid(Fault(invalid, note=f"expected a URL, got {'nothing' if value == '' else 'no text'}"))
    scheme = url.scheme_of(value)
    if scheme is None:
        raise RequestInvalid(Fault(invalid, note=f"expected a URL that begins with {_listed()}"))
    if scheme in url.NOT_YET:
        raise RequestInvalid(Fault(unknown, note=f"this version does not speak {scheme} yet; use {_listed()}"))
    if scheme not in url.SPOKEN:
        raise RequestInvalid(Fault(unknown, note=f"the protocol is unknown; use {_listed()}"))
    if len(value) > url.MAX_LENGTH:
        raise RequestInvalid(Fault(invalid, note=f"expected a URL of at most {url.MAX_LENGTH} characters"))
    return value


def _listed() -> str:
    return "http://, https://, ftp://, ftps://, ftpes:// or file://"
