"""The parts of a path: signature, options, source; and the source's two spellings. For ``grammar``."""

import re
from base64 import urlsafe_b64encode
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from imgserve.request.dialects.imgproxy.arguments import base64_text
from imgserve.request.dialects.imgproxy.refused import InvalidUrl

_PLAIN = "plain"
_MARK = f"/{_PLAIN}/"
# Proxies that normalise a path leave one slash of two.
_ONE_SLASH = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,31}):/(?!/)")
_COLON = re.compile("%3a", re.IGNORECASE)
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_EMPTY = "the source is empty"
_UNESCAPED = "/:!$&'()*+,;=~"


class Signed(NamedTuple):
    """``rest`` is what the signature is made of: all behind it, with the slash that begins it."""

    signature: str
    rest: str


class SourceText(NamedTuple):
    """``extension``: empty for none."""

    url: str
    extension: str


def mended(path: str) -> str:
    """With what proxies break on the way: encoded colons of options, and double slashes of a plain source."""
    left, mark, right = path.partition(_MARK)
    left = _COLON.sub(":", left)
    match = _ONE_SLASH.match(right) if mark else None
    if match is not None:
        slashes = "///" if match[1] == "local" else "//"
        right = f"{match[1]}:{slashes}{right[match.end() :]}"
    return left + mark + right


def signed(path: str) -> Signed:
    """Raises InvalidUrl for a path that has nothing behind its first segment."""
    signature, slash, rest = path.removeprefix("/").partition("/")
    if not path.startswith("/") or not rest:
        raise InvalidUrl("expected a signature, options and a source")
    return Signed(signature, slash + rest)


def source(segments: list[str], *, includes_filename: bool) -> SourceText:
    """Raises InvalidUrl."""
    if len(segments) > 1 and segments[0] == _PLAIN:
        text, extension = _parted("/".join(segments[1:]), "@")
        return SourceText(_unquoted(text), extension)
    if len(segments) > 1 and includes_filename:
        segments = segments[:-1]
    text, extension = _parted("".join(segments), ".")
    url = base64_text(text)
    if not url:
        raise InvalidUrl(_EMPTY)
    return SourceText(url, extension)


def plain(url: str) -> str:
    """The segments of a source in its plain spelling."""
    return f"{_PLAIN}/{quote(url, safe=_UNESCAPED)}"


def encoded(url: str) -> str:
    """The segment of a source in base64."""
    return urlsafe_b64encode(url.encode()).rstrip(b"=").decode()


def _parted(text: str, mark: str) -> tuple[str, str]:
    url, _, extension = text.partition(mark)
    if mark in extension:
        raise InvalidUrl(f"expected one {mark} in the source at most")
    if not url:
        raise InvalidUrl(_EMPTY)
    return url, extension


def _unquoted(text: str) -> str:
    if _BROKEN_ESCAPE.search(text):
        raise InvalidUrl("expected two hexadecimal digits behind each % of the source")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeError:
        raise InvalidUrl("expected a source in UTF-8") from None
