"""Resolves URLs and takes them apart, by libcurl's parser: a second one would disagree with the one that connects."""

import re
from functools import lru_cache

import msgspec
import pycurl

from imgserve.request.protocols import SCHEMES, for_libcurl

_AROUND = "".join(map(chr, range(0x21)))
_DROPPED = re.compile("[\t\n\r]")
# A scheme that is not http or https keeps its own rules, and is not followed.
_SPECIAL = re.compile(r"(?:(https?):|(?![A-Za-z][A-Za-z0-9+.-]*:))([^?#]*)(.*)", re.DOTALL | re.IGNORECASE)


class Origin(msgspec.Struct, frozen=True):
    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def _parse(url: str) -> pycurl.CurlUrl:
    try:
        return pycurl.CurlUrl(for_libcurl(url).encode(), pycurl.U_ALLOW_SPACE | pycurl.U_URLENCODE)
    except pycurl.error as error:
        raise ValueError("a URL that cannot be used") from error


@lru_cache(maxsize=256)  # each exchange needs its URL's several times
def origin(url: str) -> Origin:
    """Scheme, host and real port. Raises ValueError."""
    parts = _parse(url)
    port = parts.getpart(pycurl.UPART_PORT, pycurl.U_DEFAULT_PORT)
    word = url.partition(":")[0].lower()
    scheme = word if word in SCHEMES else str(parts.scheme)
    return Origin(scheme=scheme, host=(parts.host or "").lower(), port=int(port or 0))


def with_empty_segments(url: str, count: int) -> str:
    """The same FTP file, with so many more slashes after its directory, which libcurl ignores."""
    directory, _, name = url.rpartition("/")
    return f"{directory}/{'/' * count}{name}" if directory.count("/") > 2 else url


def origin_url(url: str) -> str:
    """``scheme://host[:port]`` as browsers write an origin: without the scheme's own port. Raises ValueError."""
    parts = origin(url)
    port = _parse(url).getpart(pycurl.UPART_PORT, pycurl.U_NO_DEFAULT_PORT)
    return f"{parts.scheme}://{parts.host}" + (f":{port}" if port else "")


@lru_cache(maxsize=256)
def user_of(url: str) -> str:
    return str(_parse(url).user or "") if "@" in url else ""


def has_query(url: str) -> bool:
    return "?" in url and bool(_parse(url).query)


def parent(url: str) -> str:
    """The directory above, by an HTTP URL's path, without query; empty if that is the root."""
    parts = _parse(url)
    path = str(parts.path or "/").rstrip("/").rpartition("/")[0]
    parts.path, parts.query = path + "/", None
    return str(parts.url) if path else ""


def resolve(base: str, reference: str) -> str:
    """The target of a Location or of a link on a page, without userinfo and fragment, read as browsers read it.

    Raises ValueError when it leads nowhere.
    """
    parts = _parse(base)
    reference = _as_browsers_read(reference, str(parts.scheme).lower())
    try:
        parts.setpart(pycurl.UPART_URL, reference.encode(), pycurl.U_ALLOW_SPACE | pycurl.U_URLENCODE)
    except pycurl.error as error:
        raise ValueError("a URL that cannot be used") from error
    parts.user = parts.password = parts.fragment = None
    return str(parts.url)


def _as_browsers_read(reference: str, base_scheme: str) -> str:
    """A reference on an http(s) page in the one spelling that both parsers read alike.

    WHATWG URL, 4.4: white space and controls around it go, tabs and line ends in it too; for http(s) a backslash is a
    slash, and two or more slashes start a host.
    """
    reference = _DROPPED.sub("", reference.strip(_AROUND))
    parts = _SPECIAL.fullmatch(reference)
    if parts is None:
        return reference
    scheme, path, rest = (parts[1] or "").lower(), parts[2].replace("\\", "/"), parts[3]
    if path.startswith("//"):
        return f"{scheme or base_scheme}://{path.lstrip('/')}{rest}"
    return path + rest if scheme in ("", base_scheme) else f"{scheme}://{path.lstrip('/')}{rest}"


def is_downgrade(before: str, after: str) -> bool:
    """Whether the second URL gives up the TLS of the first. Raises ValueError."""
    return _has_tls(before) and not _has_tls(after)


def is_web(url: str) -> bool:
    """Whether its scheme is http or https. Raises ValueError."""
    scheme = origin(url).scheme
    return scheme in SCHEMES and SCHEMES[scheme].source == "http"


def _has_tls(url: str) -> bool:
    scheme = origin(url).scheme
    return scheme in SCHEMES and SCHEMES[scheme].has_tls


def redirect_target(url: str, reference: str) -> str:
    """The target of a redirect, with the login of ``url`` if both are of one origin.

    Raises ValueError, with the reason why it is not followed.
    """
    target = resolve(url, reference)
    if not is_web(target):
        raise ValueError("a scheme that is not followed")
    if is_downgrade(url, target):
        raise ValueError("a scheme without TLS from https, which is not followed")
    return with_login_of(url, target)


def with_login_of(owner: str, url: str) -> str:
    """``url`` with the userinfo of ``owner``, if both are of one origin; else ``url`` without any."""
    parts, owners = _parse(url), _parse(owner)
    is_same = origin(url) == origin(owner)
    parts.user, parts.password = (owners.user, owners.password) if is_same else (None, None)
    return str(parts.url)
