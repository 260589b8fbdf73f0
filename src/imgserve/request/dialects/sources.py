"""The source that a GET names, judged by the settings of its mount. Pure: a name in, a checked ``Source`` out.

A name is a URL, a name of the settings with a path behind it (``products:a.jpg``), or a path beneath the base URL. All
of them become one canonical URL, which is judged by prefixes and is the one that is fetched. The guard of transfers
judges addresses and directories after that.

The fault of every refusal has a code that begins with ``source_``. Its sentence is for the log and shows no URL.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Self

import msgspec

from imgserve.request import url
from imgserve.request.destination import Destination
from imgserve.request.faults import Fault, RequestInvalid
from imgserve.request.protocols import SCHEMES
from imgserve.request.source import Source, check_scheme, parse_source
from imgserve.request.urlprefix import UrlPrefix
from imgserve.setting import Problem

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.+-]{0,31}")
_HAS_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*+://")
# A host, ``*.`` and a domain, with a port or without; it stands for http and https.
_HOST = re.compile(r"(?:\*\.)?(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")
# Not of s3, whose buckets have no domains.
_DOMAIN = re.compile(r"(?P<scheme>[A-Za-z]+://)\*\.(?=[A-Za-z0-9])")

# http and https.
_WEB = tuple(word for word, one in SCHEMES.items() if one.takes_headers and not one.has_bucket)
_WITH_TLS = next(word for word in _WEB if SCHEMES[word].has_tls)

_EXPECTED = "expected a host, or the beginning of a URL such as https://images.example.com/products/"
_EXPECTED_BASE = "expected the beginning of a URL such as https://images.example.com/products/"


class Sources(msgspec.Struct, frozen=True):
    """``allowed``: prefixes of URLs that names may give. ``named``: beginnings of URLs by their word, without a colon.

    ``base_url``: the beginning of names without a scheme. Prefixes of these two are allowed by themselves.
    ``default_scheme``: that of such names if there is no base URL. ``is_open``: any URL is allowed; for signed names.
    """

    allowed: tuple[UrlPrefix, ...] = ()
    named: Mapping[str, tuple[str, UrlPrefix]] = {}
    base: tuple[str, UrlPrefix] | None = None
    default_scheme: str = ""
    is_open: bool = False

    @classmethod
    def of(
        cls,
        allowed: Sequence[str] = (),
        named: Mapping[str, str] | None = None,
        base_url: str = "",
        *,
        default_scheme: str = "",
        is_open: bool = False,
    ) -> Self:
        """From the mount's settings. Raises ValueError where ``problems_of`` finds one."""
        return cls(
            tuple(prefix for text in allowed for prefix in _prefixes(text)),
            {word: _beginning(text) for word, text in (named or {}).items()},
            _beginning(base_url) if base_url else None,
            default_scheme,
            is_open,
        )

    def judge(self, name: str) -> Source:
        """The source of a name that has been percent-decoded once. Raises RequestInvalid."""
        text, prefix = self._located(name)
        canonical = canonical_url(text)
        if prefix is not None:
            is_allowed = _is_beneath(prefix, canonical)
        else:
            is_allowed = self.is_open or any(_is_beneath(one, canonical) for one in self.allowed)
        if not is_allowed:
            raise _refused("the mount's list of sources does not allow it; add its beginning there")
        return parse_source(canonical)

    def admits(self, text: str) -> bool:
        """Whether a redirect of one of these sources may lead to this URL: to all that the settings list.

        A beginning with http stands for https too, as many hosts lead from one to the other.
        """
        if self.is_open:
            return True
        try:
            canonical = canonical_url(text)
        except RequestInvalid:
            return False
        return any(_is_beneath(prefix, canonical) for one in self.listed for prefix in (one, _with_tls(one)))

    @property
    def listed(self) -> tuple[UrlPrefix, ...]:
        """All beginnings of the settings; none where any URL is allowed."""
        if self.is_open:
            return ()
        base = () if self.base is None else (self.base[1],)
        return (*self.allowed, *(prefix for _, prefix in self.named.values()), *base)

    def _located(self, name: str) -> tuple[str, UrlPrefix | None]:
        """The URL, not checked yet, and the prefix of the settings that it must stay beneath, if one gave it."""
        if not name or len(name) > url.MAX_LENGTH:
            raise RequestInvalid(Fault("source_invalid", note=f"expected a name of 1 to {url.MAX_LENGTH} characters"))
        word, colon, rest = name.partition(":")
        if colon and word in self.named:
            beginning, prefix = self.named[word]
            return beginning + rest.lstrip("/"), prefix
        if _HAS_SCHEME.match(name) or url.scheme_of(name) in SCHEMES:
            return name, None
        if self.base is not None:
            beginning, prefix = self.base
            return beginning + name.lstrip("/"), prefix
        if self.default_scheme:
            return f"{self.default_scheme}://{name.lstrip('/')}", None
        raise _refused("expected a URL; names without one need base_url beside the list of sources")


def problems_of(
    allowed: Sequence[str], named: Mapping[str, str], base_url: str, fields: tuple[str, str, str]
) -> Iterator[Problem]:
    """Settings that cannot work. ``fields``: the names of the three."""
    for index, text in enumerate(allowed):
        if not _is_good(_prefixes, text):
            yield Problem(fields[0], _EXPECTED, (index,))
    for word, text in named.items():
        if not _WORD.fullmatch(word) or word.lower() in SCHEMES:
            yield Problem(fields[1], "expected a word of 1 to 32 letters, digits, -, _, . and +, no scheme", (word,))
        elif not _is_good(_beginning, text):
            yield Problem(fields[1], _EXPECTED_BASE, (word,))
    if base_url and not _is_good(_beginning, base_url):
        yield Problem(fields[2], _EXPECTED_BASE)


def canonical_url(text: str) -> str:
    """The URL with host, port and path as libcurl reads them, so that it is fetched as it is judged.

    The path of a file or an object is spelt as in the key of a destination: their places are compared. Raises
    RequestInvalid.
    """
    check_scheme(text, invalid="source_invalid", unknown="source_scheme_unknown")
    try:
        parsed = url.parse(text)
        user, at, _ = url.cut(parsed.text)[0].partition("://")[2].rpartition("@")
    except url.UrlInvalid as error:
        raise RequestInvalid(Fault("source_invalid", note=str(error))) from None
    if parsed.port == 0 and not at:
        return parsed.key
    port = f":{parsed.port}" if parsed.port not in (0, SCHEMES[parsed.scheme].port) else ""
    query = f"?{parsed.query}" if parsed.query else ""
    return f"{parsed.scheme}://{user}{at}{parsed.host}{port}{parsed.path}{query}"


def sources_at(destination: Destination) -> frozenset[str]:
    """The canonical URLs by which GETs may name what is written there: with and without password and signature."""
    texts = [] if destination.writing.is_page else [destination.url, destination.key]
    if destination.public_url:
        texts.append(destination.public_url)
    urls = set()
    for text in texts:
        with suppress(RequestInvalid):  # a public URL of the settings may be any text
            urls.add(canonical_url(text))
    return frozenset(urls)


def _is_beneath(prefix: UrlPrefix, canonical: str) -> bool:
    """No prefix names a URL with a user name."""
    authority, rest = url.cut(canonical)
    # FTP takes a slash at the beginning of a segment for the root.
    has_slash = SCHEMES[prefix.scheme].is_path_decoded and re.search("%2f", rest, re.IGNORECASE) is not None
    return "@" not in authority and not has_slash and prefix.names(canonical)


def _prefixes(text: str) -> tuple[UrlPrefix, ...]:
    """Raises ValueError."""
    if _HOST.fullmatch(text):
        return tuple(_prefix(f"{word}://{text}") for word in _WEB)
    return (_prefix(text),)


def _prefix(text: str) -> UrlPrefix:
    """Raises ValueError."""
    domain = _DOMAIN.match(text)
    if domain is None:
        return UrlPrefix.parse(text)
    return msgspec.structs.replace(UrlPrefix.parse(f"{domain['scheme']}{text[domain.end() :]}"), is_domain=True)


def _with_tls(prefix: UrlPrefix) -> UrlPrefix:
    """The same place by the scheme with TLS, where both have their usual ports."""
    if prefix.scheme not in _WEB or prefix.port != SCHEMES[prefix.scheme].port:
        return prefix
    return msgspec.structs.replace(prefix, scheme=_WITH_TLS, port=SCHEMES[_WITH_TLS].port)


def _beginning(text: str) -> tuple[str, UrlPrefix]:
    """Ends with a slash, so that a name extends neither host nor directory. Raises ValueError."""
    return f"{text.removesuffix('/')}/", UrlPrefix.parse(text)


def _is_good(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True


def _refused(note: str) -> RequestInvalid:
    return RequestInvalid(Fault("source_refused", note=note))
