"""URL arithmetic for transfers: resolve, take apart. All of it by libcurl's own parser.

In and out: URL texts, as libcurl will use them. A second parser would disagree with the one that connects, so none
is used. Called by ``http``, ``upload``, ``ftp`` and ``curl``.
"""

import re
from functools import lru_cache

import msgspec
import pycurl

from imgserve.request.protocols import SCHEMES, for_libcurl

_AROUND = "".join(map(chr, range(0x21)))
_DROPPED = re.compile("[\t\n\r]")
# A scheme that is not http or https keeps its own rules, and is not followed.
_SPECIAL = re.compile(r"(?:(?P<scheme>https?):|(?![A-Za-z][A-Za-z0-9+.-]*:))(?P<rest>.*)", re.DOTALL | re.IGNORECASE)


class Origin(msgspec.Struct, frozen=True):
    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def _parsed(url: str) -> pycurl.CurlUrl:
    try:
        return pycurl.CurlUrl(for_libcurl(url).encode(), pycurl.U_ALLOW_SPACE | pycurl.U_URLENCODE)
    except pycurl.error as error:
        raise ValueError("a place that cannot be used") from error


@lru_cache(maxsize=256)  # each exchange asks for its URL's several times
def origin(url: str) -> Origin:
    """Scheme, host and real port. Raises ValueError."""
    parts = _parsed(url)
    port = parts.getpart(pycurl.UPART_PORT, pycurl.U_DEFAULT_PORT)
    word = url.partition(":")[0].lower()
    scheme = word if word in SCHEMES else str(parts.scheme)
    return Origin(scheme=scheme, host=(parts.host or "").lower(), port=int(port or 0))


def with_empty_segments(url: str, count: int) -> str:
    """The same FTP file, its directory spelled with so many slashes more at its end, which libcurl passes over."""
    directory, _, name = url.rpartition("/")
    return f"{directory}/{'/' * count}{name}" if directory.count("/") > 2 else url


def origin_url(url: str) -> str:
    """``scheme://host[:port]`` as browsers write an origin: without the scheme's own port. Raises ValueError."""
    place = origin(url)
    port = _parsed(url).getpart(pycurl.UPART_PORT, pycurl.U_NO_DEFAULT_PORT)
    return f"{place.scheme}://{place.host}" + (f":{port}" if port else "")


@lru_cache(maxsize=256)
def user_of(url: str) -> str:
    return str(_parsed(url).user or "") if "@" in url else ""


def has_query(url: str) -> bool:
    return "?" in url and bool(_parsed(url).query)


def parents(url: str) -> tuple[str, ...]:
    """The directories that an HTTP URL's path names, the nearest first, without the root and without query."""
    parts = _parsed(url)
    path = str(parts.path or "/")
    found = []
    while (path := path[: path.rstrip("/").rfind("/") + 1]).strip("/"):
        parts.path, parts.query = path, None
        found.append(str(parts.url))
    return tuple(found)


def resolve(base: str, reference: str) -> str:
    """The target of a Location or of a link on a page, without userinfo and fragment, read as browsers read it.

    Raises ValueError when it leads nowhere.
    """
    parts = _parsed(base)
    reference = _as_browsers_read(reference, str(parts.scheme).lower())
    try:
        parts.setpart(pycurl.UPART_URL, reference.encode(), pycurl.U_ALLOW_SPACE | pycurl.U_URLENCODE)
    except pycurl.error as error:
        raise ValueError("a place that cannot be used") from error
    parts.user = None
    parts.password = None
    parts.fragment = None
    return str(parts.url)


def _as_browsers_read(reference: str, base_scheme: str) -> str:
    """A reference on an http(s) page in the one spelling that both parsers read alike.

    WHATWG URL, 4.4: white space and controls around it go, tabs and line ends in it too; for http(s) a backslash is a
    slash, and any number of slashes from two on begins a host.
    """
    reference = _DROPPED.sub("", reference.strip(_AROUND))
    found = _SPECIAL.match(reference)
    if found is None:
        return reference
    scheme, rest = (found["scheme"] or "").lower(), found["rest"]
    cut_at = next((index for index, sign in enumerate(rest) if sign in "?#"), len(rest))
    rest = rest[:cut_at].replace("\\", "/") + rest[cut_at:]
    path = rest.lstrip("/")
    slashes = len(rest) - len(path)
    if slashes >= 2:
        return f"{scheme or base_scheme}://{path}"
    return rest if scheme in ("", base_scheme) else f"{scheme}://{path}"


def is_downgrade(before: str, after: str) -> bool:
    """Whether going from one URL to the other gives up TLS. Raises ValueError."""
    return _has_tls(before) and not _has_tls(after)


def is_web(url: str) -> bool:
    """Whether it is a page's or a file's of a web server. Raises ValueError."""
    scheme = SCHEMES.get(origin(url).scheme)
    return scheme is not None and scheme.source == "http"


def _has_tls(url: str) -> bool:
    scheme = SCHEMES.get(origin(url).scheme)
    return scheme is not None and scheme.has_tls


def redirected(url: str, reference: str) -> str:
    """Where a redirect leads, with the login of ``url`` if both are of one origin.

    Raises ValueError, which names a place that is not followed.
    """
    target = resolve(url, reference)
    if not is_web(target):
        raise ValueError("a scheme that is not followed")
    if is_downgrade(url, target):
        raise ValueError("a scheme without TLS from https, which is not followed")
    return with_login_of(url, target)


def with_login_of(owner: str, url: str) -> str:
    """``url`` with the userinfo of ``owner``, if both are of one origin; else ``url`` without any."""
    parts, owners = _parsed(url), _parsed(owner)
    same = origin(url) == origin(owner)
    parts.user = owners.user if same else None
    parts.password = owners.password if same else None
    return str(parts.url)
