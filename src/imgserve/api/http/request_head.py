"""One request's header section: read strictly, and rewritten in one form for httptools. Used by ``framing``.

A request that two readers could read in two ways is refused (RFC 9112, 2.2, 3, 5 and 6). Upgrade is ignored (RFC 9110,
7.8): the body belongs to its request. An absolute target becomes a path, and its host is the Host (RFC 9112, 3.2.2).
"""

import re

import msgspec

MAX_HEADER_BYTES = 65_536
MAX_HEADERS = 200

_CONTROL = bytes(set(range(32)) - set(b"\t\r\n") | {127})
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_REQUEST_LINE = re.compile(rb"([A-Z][A-Z-]*) ([!\"$-~]+) HTTP/(1\.[01])")  # a target has no fragment
_ABSOLUTE = re.compile(rb"(https?)://([^/?]+)(/[^?]*)?(\?.*)?", re.IGNORECASE)
_HOST = re.compile(rb"(\[[0-9A-Za-z:.%_-]+\]|[0-9A-Za-z._~!$&'()*+,;=%-]*)(?::([0-9]{0,5}))?")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_OF_BODY = frozenset((b"content-length", b"transfer-encoding"))
_NOT_PASSED_ON = _OF_BODY | {b"upgrade"}
_DEFAULT_PORTS = {b"http": b"80", b"https": b"443"}

Fields = list[tuple[bytes, bytes]]


class RequestRefused(Exception):
    """The request cannot be read, or not in one way only. The connection ends with ``status``."""

    def __init__(self, status: int = 400) -> None:
        super().__init__(status)
        self.status = status


class Head(msgspec.Struct, frozen=True):
    """``text`` is for httptools, as of a request without a body: ``framing`` reads that, of ``body_bytes`` or, None, in
    chunks. ``body_fields`` are the fields that say so. ``is_last``: no request comes after it.
    """

    text: bytes
    body_fields: Fields
    body_bytes: int | None
    is_last: bool


def read_head(header: bytes) -> Head:
    """``header`` ends before the empty line. Raises RequestRefused."""
    check_lines(header)
    first, *lines = header.split(b"\r\n")
    if len(lines) > MAX_HEADERS:
        raise RequestRefused(431)
    method, target, version = read_request_line(first)
    fields = [read_field(line) for line in lines]
    target, fields = _routed(target, version, fields)
    if version == b"1.0":
        fields = [field for field in fields if field[0] != b"expect"]  # RFC 9110, 10.1.1
    text = [name + b": " + value for name, value in fields if name not in _NOT_PASSED_ON]
    return Head(
        text=b"\r\n".join((method + b" " + target + b" HTTP/" + version, *text, b"", b"")),
        body_fields=[field for field in fields if field[0] in _OF_BODY],
        body_bytes=_body_bytes(version, fields),
        is_last=version == b"1.0" or _is_last(fields),
    )


def check_lines(text: bytes) -> None:
    """CR and LF stand together or not at all, and no other control character but tab. Raises RequestRefused."""
    ends = text.count(b"\r\n")
    if text.count(b"\r") != ends or text.count(b"\n") != ends or len(text.translate(None, _CONTROL)) != len(text):
        raise RequestRefused


def read_request_line(line: bytes) -> tuple[bytes, bytes, bytes]:
    """Method, target, version. Raises RequestRefused."""
    match = _REQUEST_LINE.fullmatch(line)
    if match is None or match[1] == b"CONNECT":
        raise RequestRefused
    return match[1], match[2], match[3]


def read_field(line: bytes) -> tuple[bytes, bytes]:
    """Name, in lower case, and value. Refuses folded lines and a blank before the colon. Raises RequestRefused."""
    name, colon, value = line.partition(b":")
    if not colon or not _TOKEN.fullmatch(name):
        raise RequestRefused
    return name.lower(), value.strip(b" \t")


def _is_last(fields: Fields) -> bool:
    options = (value for name, value in fields if name == b"connection")
    return any(option.strip(b" \t").lower() == b"close" for value in options for option in value.split(b","))


def _body_bytes(version: bytes, fields: Fields) -> int | None:
    """RFC 9112, 6.3; None: chunked."""
    lengths = [value for name, value in fields if name == b"content-length"]
    codings = [value.lower() for name, value in fields if name == b"transfer-encoding"]
    if not codings:
        if len(lengths) > 1 or (lengths and not _LENGTH.fullmatch(lengths[0])):
            raise RequestRefused
        return int(lengths[0]) if lengths else 0
    if lengths or version != b"1.1":
        raise RequestRefused
    *inner, last = [coding.strip(b" \t") for coding in b",".join(codings).split(b",")]
    if last != b"chunked" or b"chunked" in inner or b"" in inner:
        raise RequestRefused
    if inner:
        raise RequestRefused(501)  # RFC 9112, 6.1
    return None


def _routed(target: bytes, version: bytes, fields: Fields) -> tuple[bytes, Fields]:
    """The target as a path, and the fields with the one valid Host.

    A Host other than an absolute target's is refused: servers do not agree on which of the two they obey.
    """
    hosts = [value for name, value in fields if name == b"host"]
    if len(hosts) > 1 or (version == b"1.1" and not hosts) or not all(map(_HOST.fullmatch, hosts)):
        raise RequestRefused
    if target.startswith(b"/"):
        return target, fields
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise RequestRefused
    scheme, authority, path, query = absolute.groups(b"")
    address = _address(scheme, authority)
    if address[0] == b"" or any(_address(scheme, host) != address for host in hosts):
        raise RequestRefused
    return (path or b"/") + query, fields if hosts else [*fields, (b"host", authority)]


def _address(scheme: bytes, host: bytes) -> tuple[bytes, bytes]:
    """Host and port, to be compared. Raises RequestRefused."""
    match = _HOST.fullmatch(host)
    if match is None:
        raise RequestRefused
    return match[1].lower(), match[2] or _DEFAULT_PORTS[scheme.lower()]
