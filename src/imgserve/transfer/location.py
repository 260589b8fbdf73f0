"""URL arithmetic for transfers: resolve, take apart. All of it by libcurl's own parser.

In and out: URL texts, as libcurl will use them. A second parser would disagree with the one that connects, so none
is used. Called by ``http``, ``upload``, ``ftp`` and ``curl``.
"""

from functools import lru_cache

import msgspec
import pycurl


class Origin(msgspec.Struct, frozen=True):
    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def is_explicit(url: str) -> bool:
    """Whether TLS is asked for by AUTH TLS, which libcurl has no scheme for."""
    return url[:6].lower() == "ftpes:"


def for_libcurl(url: str) -> str:
    return "ftp" + url[len("ftpes") :] if is_explicit(url) else url


def _parsed(url: str) -> pycurl.CurlUrl:
    try:
        return pycurl.CurlUrl(for_libcurl(url).encode(), pycurl.U_ALLOW_SPACE | pycurl.U_URLENCODE)
    except pycurl.error as error:
        raise ValueError("no URL that can be used") from error


@lru_cache(maxsize=256)  # each exchange asks for its URL's several times
def origin(url: str) -> Origin:
    """Scheme, host and real port. Raises ValueError."""
    parts = _parsed(url)
    port = parts.getpart(pycurl.UPART_PORT, pycurl.U_DEFAULT_PORT)
    scheme = "ftpes" if is_explicit(url) else parts.scheme
    return Origin(scheme=scheme, host=(parts.host or "").lower(), port=int(port or 0))


def origin_url(url: str) -> str:
    """``scheme://host[:port]`` as browsers write an origin: without the scheme's own port. Raises ValueError."""
    place = origin(url)
    port = _parsed(url).getpart(pycurl.UPART_PORT, pycurl.U_NO_DEFAULT_PORT)
    return f"{place.scheme}://{place.host}" + (f":{port}" if port else "")


def has_query(url: str) -> bool:
    return bool(_parsed(url).query)


def resolve(base: str, reference: str) -> str:
    """What a link on a page leads to, without userinfo and fragment. Raises ValueError when it leads nowhere."""
    parts = _parsed(base)
    try:
        parts.setpart(pycurl.UPART_URL, reference.strip().encode(), pycurl.U_ALLOW_SPACE | pycurl.U_URLENCODE)
    except pycurl.error as error:
        raise ValueError("no URL that can be used") from error
    parts.user = None
    parts.password = None
    parts.fragment = None
    return str(parts.url)


def is_downgrade(before: str, after: str) -> bool:
    """Whether going from one URL to the other gives up TLS. Raises ValueError."""
    return origin(before).scheme == "https" and origin(after).scheme != "https"


def with_login_of(owner: str, url: str) -> str:
    """``url`` with the userinfo of ``owner``, if both are of one origin; else ``url`` without any."""
    parts, owners = _parsed(url), _parsed(owner)
    same = origin(url) == origin(owner)
    parts.user = owners.user if same else None
    parts.password = owners.password if same else None
    return str(parts.url)
