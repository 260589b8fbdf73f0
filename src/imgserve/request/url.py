"""The one place that parses URLs: text in, checked parts out. For ``source`` and ``destination``; nothing is opened.

Scheme and authority are split by our own rule, because a form's destination has a file name behind the URL (``cut``).
libcurl parses the URL here as it does for the transfers, so that check and use never differ.
"""

import re
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

import msgspec

from imgserve.request.protocols import SCHEMES, Scheme, for_libcurl

MAX_LENGTH = 8_192
"""Characters. A short request must not grow without bound when a long name fills many tags."""
MAX_PATH_BYTES, MAX_NAME_BYTES = 4_095, 255
"""Linux's PATH_MAX without its final NUL, and NAME_MAX (limits.h)."""
MAX_KEY_BYTES = 1_024  # of an object in S3
# The longest that files of servers have: 255 UTF-16 units of NTFS. Some servers answer each piece of a command that is
# longer than their line, and the answers left over pass for those of the connection's next commands.
MAX_REMOTE_NAME_BYTES = 3 * 255

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_HOST_AND_PORT = re.compile(r"[A-Za-z0-9.-]+:\d+(?:[/?#]|$)")
# The possessive "?+": userinfo before an "@" must never be read as a host and a file name.
_AUTHORITY = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?+"
    r"(?P<host>\[[^\]/?#]*\]|[^:/?#\[\]]*)(?::\d*)?(?=[/?#:]|$)"
)
# Amazon's rules, so that every name can be part of a host's.
_BUCKET = re.compile(r"(?!\d+(?:\.\d+){3}$)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_NO_TEXT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_ENCODED_CONTROL = re.compile(r"%(?:[01][0-9A-Fa-f]|7[Ff])")
_NOT_IN_URLS = re.compile(r"[^!#$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]")
_SEGMENT_SAFE = "!$&'()*+,;=:@~"
_NORMAL_PATH = re.compile(r"[/A-Za-z0-9_.\-~!$&'()*+,;=:@]*")
_SIGNED_PREFIXES = ("x-amz-", "x-goog-")
_SIGNED_NAMES = frozenset({"sig", "se", "Expires", "Signature"})
_SIGNATURES = frozenset({"x-amz-signature", "x-goog-signature", "sig", "signature"})


class UrlInvalid(ValueError):
    """Text that is no URL we can use. The message follows the field's name and holds no piece of the URL."""


class Url(msgspec.Struct, frozen=True):
    """A parsed URL. ``text`` is ASCII, without fragment, and may hold a password; ``path`` is percent-encoded with its
    dot segments resolved; ``host`` is lower-case, an IPv6 address in brackets; ``port`` is 0 for file."""

    text: str
    scheme: str
    host: str
    port: int
    path: str
    query: str

    def __repr__(self) -> str:
        return f"Url({self.scheme}://{self.host})"

    @property
    def last_segment(self) -> str:
        """The name at the end of the path, still percent-encoded; empty when the path ends with a slash."""
        return self.path.rpartition("/")[2]

    @property
    def target(self) -> str:
        """The path for the transfer: decoded on this machine. Raises UrlInvalid for one that cannot be a file's."""
        protocol = SCHEMES[self.scheme]
        path = decode_path(self.path) if protocol.is_local else self.path
        if protocol.names_file and path.endswith("/"):
            raise UrlInvalid("expected a file name at the end, got a directory")
        return path

    @property
    def key(self) -> str:
        """Equal for two spellings of one place. Without userinfo and signature parameters."""
        protocol = SCHEMES[self.scheme]
        if protocol.is_local:
            return f"{self.scheme}://" + re.sub("/+", "/", _normal_path(self.path))
        path = re.sub("%2[Ff]", "/", self.path) if protocol.is_path_decoded else self.path
        if protocol.has_bucket:
            return f"{self.scheme}://{self.host}{_normal_path(path)}"
        # AUTH TLS uses the port of plain FTP: the server and its files are the same, encrypted or not.
        scheme = protocol.libcurl or self.scheme
        query = "&".join(pair for pair in self.query.split("&") if pair and not _is_signing(pair.partition("=")[0]))
        place = f"{scheme}://{self.host.removesuffix('.')}:{self.port}{_normal_path(path)}"
        return f"{place}?{query}" if query else place


def scheme_of(text: str) -> str | None:
    """The scheme in lower case, or None: ``example.com:80/x`` has none."""
    return _scheme_of(text[:MAX_LENGTH])  # what is kept must be short


@lru_cache(maxsize=256)  # a job asks for that of its few URLs a dozen times
def _scheme_of(text: str) -> str | None:
    match = _SCHEME.match(text)
    scheme = None if match is None else match[1].lower()
    return None if scheme not in SCHEMES and _HOST_AND_PORT.match(text) else scheme


def protocol_of(text: str) -> Scheme:
    """The row of a URL whose scheme is among ``SCHEMES``."""
    return SCHEMES[scheme_of(text) or ""]


def cut(text: str) -> tuple[str, str]:
    """The authority with its scheme, and the rest, tags included. Raises UrlInvalid.

    ``scheme://[userinfo@]host[:digits]`` ends at ``/``, ``?``, ``#`` or a ``:`` behind the port.
    """
    match = _AUTHORITY.match(text)
    if match is None:
        raise UrlInvalid("expected scheme://host/path; special characters in user name or password are written %XX")
    if not match["host"].isascii():
        raise UrlInvalid("a host name in ASCII is expected; write an international one in its xn-- form")
    protocol = SCHEMES.get(scheme_of(text) or "")
    if not match["host"] and not (protocol and protocol.is_local):
        raise UrlInvalid("expected a host name after the scheme")
    return text[: match.end()], text[match.end() :]


@lru_cache(maxsize=256)  # each job needs the parts of its source three times
def parse(text: str) -> Url:
    """The parts of one URL whose scheme is among ``SCHEMES``. Raises UrlInvalid."""
    if len(text) > MAX_LENGTH:
        raise UrlInvalid(f"expected a URL of at most {MAX_LENGTH} characters")
    if _NO_TEXT.search(text):
        raise UrlInvalid("control characters and halves of surrogate pairs are not allowed")
    authority, rest = cut(text)
    if _ENCODED_CONTROL.search(authority):
        raise UrlInvalid("control characters are not allowed in user name, password or host")
    protocol = protocol_of(text)
    if protocol.names_file and re.search("[?#]", rest):
        raise UrlInvalid(f"{scheme_of(text)} knows no query or fragment: write ? as %3F and # as %23")
    if protocol.has_bucket:
        return _object(authority, _ascii(rest))
    url = _parts(_ascii(authority) + _ascii(rest.partition("#")[0]), protocol)
    if protocol.is_path_decoded:
        _check_decoded(url.path)
    return url


def user_of(text: str) -> str:
    """The user name in a URL, decoded. FTP's anonymous counts as none: libcurl sends it where there is no name."""
    if "@" not in text:
        return ""
    info, at, _ = cut(text)[0].partition("://")[2].rpartition("@")
    user = unquote_to_bytes(info.partition(":")[0]).decode(errors="replace") if at else ""
    return "" if user.lower() == protocol_of(text).anonymous else user


def has_signature(text: str) -> bool:
    """Whether the URL's query carries a signature (S3, GCS, Azure): a presigned URL."""
    query = text.partition("#")[0].partition("?")[2]
    return any(pair.partition("=")[0].lower() in _SIGNATURES for pair in query.split("&"))


def with_dots(segment: str) -> str:
    """An encoded segment with its encoded dots as dots: an extension may be written ``%2Epng``."""
    return re.sub("%2[Ee]", ".", segment)


def decode_name(segment: str) -> str:
    """One file name or path segment, decoded once. Raises UrlInvalid when it would leave its directory."""
    try:
        name = unquote_to_bytes(segment).decode()
    except UnicodeError:
        raise UrlInvalid("percent-encoded bytes that are not UTF-8") from None
    if "/" in name or _NO_TEXT.search(name):
        raise UrlInvalid("a file name must not hold a slash or control characters, not even percent-encoded")
    if name in (".", ".."):
        raise UrlInvalid("a path must not hold the segments . and ..")
    return name


def decode_path(path: str) -> str:
    """An absolute path of a file: every segment decoded once and harmless, all of it short enough for Linux.

    Raises UrlInvalid.
    """
    names = [decode_name(segment) for segment in path.split("/")]
    decoded = "/".join(names)
    if len(decoded.encode()) > MAX_PATH_BYTES:
        raise UrlInvalid(f"expected a path of at most {MAX_PATH_BYTES:,} bytes")
    if any(len(name.encode()) > MAX_NAME_BYTES for name in names):
        raise UrlInvalid(f"expected names of at most {MAX_NAME_BYTES} bytes in the path")
    return decoded


def _parts(plain: str, protocol: Scheme) -> Url:
    import pycurl  # the client shares the Structs of requests, and needs no libcurl

    try:
        parsed = pycurl.CurlUrl(for_libcurl(plain), pycurl.U_PATH_AS_IS if protocol.is_local else 0)
        scheme, colon, rest = plain.partition(":")
        port = int(parsed.getpart(pycurl.UPART_PORT, 0) or protocol.port or 0)
        if protocol.explicit and port == SCHEMES[protocol.explicit].port:
            scheme = protocol.explicit
            plain = f"{scheme}{colon}{rest}"
        return Url(plain, scheme.lower(), (parsed.host or "").lower(), port, parsed.path or "/", parsed.query or "")
    except pycurl.error as error:
        if protocol.is_local:
            raise UrlInvalid("a file's URL has three slashes and the whole path: file:///directory/name") from None
        raise UrlInvalid(f"not a URL: {str(error.args[1]).lower()}") from None
    except ValueError:
        raise UrlInvalid("not a URL: a part of it is not readable text") from None


def _object(authority: str, path: str) -> Url:
    """The URL of an object, whose key is taken as it is written: no segment of it is resolved."""
    word, _, bucket = authority.partition("://")
    path = path or "/"
    if not _BUCKET.fullmatch(bucket) or not path.startswith("/"):
        raise UrlInvalid("expected scheme://bucket/key, the bucket as 3 to 63 lower-case letters, digits, . and -")
    try:
        key = unquote_to_bytes(path[1:]).decode()
    except UnicodeError:
        raise UrlInvalid("percent-encoded bytes that are not UTF-8") from None
    if _NO_TEXT.search(key):
        raise UrlInvalid("control characters are not allowed in a key")
    *above, _ = segments = key.split("/")
    if "" in above or not {".", ".."}.isdisjoint(segments):
        raise UrlInvalid("a key must not hold empty segments, nor the segments . and ..")
    if len(key.encode()) > MAX_KEY_BYTES:
        raise UrlInvalid(f"expected a key of at most {MAX_KEY_BYTES:,} bytes")
    scheme = word.lower()
    return Url(f"{scheme}://{bucket}{path}", scheme, bucket, 0, path, "")


def _check_decoded(path: str) -> None:
    if ";type=" in path.lower():
        raise UrlInvalid("leave ;type= out: pictures always travel as binary files")
    if _ENCODED_CONTROL.search(path):
        raise UrlInvalid("control characters are not allowed in an FTP path")
    names = unquote_to_bytes(path).split(b"/")
    if any(name in (b".", b"..") for name in names):
        raise UrlInvalid("a path must not hold the segments . and ..")
    if any(len(name) > MAX_REMOTE_NAME_BYTES for name in names):
        raise UrlInvalid(f"expected names of at most {MAX_REMOTE_NAME_BYTES} bytes in an FTP path")


def _ascii(text: str) -> str:
    return _NOT_IN_URLS.sub(lambda match: quote(match[0]), text)


def _normal_path(path: str) -> str:
    if _NORMAL_PATH.fullmatch(path):
        return path
    return "/".join(quote(unquote_to_bytes(segment), safe=_SEGMENT_SAFE) for segment in path.split("/"))


def _is_signing(name: str) -> bool:
    return name in _SIGNED_NAMES or name.lower().startswith(_SIGNED_PREFIXES)
