"""The interface of a URL dialect, and the values that it exchanges with the engine. Pure: no I/O, no clock.

In: the raw path of a GET, as the client sent it, and the headers that a picture can be negotiated by. Out: what is
asked for, and, once the source's header is known, the recipe in absolute pixels. ``engine`` carries it out.
"""

from typing import Generic, Literal, Protocol, TypeVar

import msgspec

from imgserve.errors import ImgserveError
from imgserve.request.encode import Format
from imgserve.request.geometry import Part
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.operations.trim import Trim
from imgserve.request.recipe import LoadOptions, Recipe

# picture: a rendition. raw: the source's bytes as they are. info: a JSON description. redirect: to ``location``.
Kind = Literal["picture", "raw", "info", "redirect"]
Header = tuple[bytes, bytes]


class Negotiable(msgspec.Struct, frozen=True):
    """What the client's headers say: the formats that it accepts, and its hints, where the mount reads them."""

    formats: frozenset[Format] = frozenset()
    dpr: float | None = None
    width_px: int | None = None


class Answer(msgspec.Struct, frozen=True):
    """How the answer is sent. It is no part of the picture, and of no cache key.

    ``expires_at_s``: Unix time after which the URL is no longer answered. ``filename`` has no extension.
    """

    kind: Kind = "picture"
    filename: str = ""
    is_attachment: bool = False
    max_age_s: int | None = None
    expires_at_s: int | None = None
    location: str = ""


P = TypeVar("P")


class Asked(msgspec.Struct, Generic[P], frozen=True):
    """``source`` is the source's name as the URL gives it, decoded: a URL, or what the mount's settings turn into one.

    ``parameters`` is the dialect's own frozen Struct: all that the picture depends on, in canonical form, so that two
    spellings of one picture are equal. ``max_source_bytes``: a longer source is refused; 0: the server's limit alone.
    """

    source: str
    parameters: P
    answer: Answer = Answer()
    is_signed: bool = False
    max_source_bytes: int = 0


class Planned(msgspec.Struct, frozen=True):
    """The recipe of a source whose header is known.

    ``trim``: the picture is trimmed first, and ``recipe`` has no operations yet, but one that draws an SVG.
    ``Dialect.trimmed`` plans all of them once a worker has found what the trim keeps. ``is_source``: the answer is the
    source's own bytes. ``quality_if_too_large``: that of a file that is sent though it is larger than ``max_bytes``;
    None: the usual one.
    """

    recipe: Recipe
    trim: Trim | None = None
    is_source: bool = False
    quality_if_too_large: int | None = None


class Refusal(msgspec.Struct, frozen=True):
    """The answer to an error, in the dialect's own status, body and media type."""

    status: int
    body: bytes = b""
    media_type: str = "text/plain"
    headers: tuple[Header, ...] = ()


class Called(msgspec.Struct, frozen=True):
    """A request as its client wrote it. ``base_url`` is the mount's, without a slash at its end; ``raw_path`` is what
    ``Dialect.parse`` got; ``accept`` are the values of the Accept fields.
    """

    base_url: str
    raw_path: str
    accept: tuple[bytes, ...] = ()


class Described(msgspec.Struct, frozen=True):
    """A description of a picture, as the dialect writes it."""

    body: bytes
    media_type: str
    headers: tuple[Header, ...] = ()


class UrlRefused(ImgserveError):
    """A URL that is not of the dialect's grammar, or not signed. ``detail`` is for the log alone.

    Each dialect has a subclass for each of its statuses.
    """

    code = "url_refused"
    status = 400
    title = "The URL cannot be answered"


class Dialect(Protocol[P]):
    """``load``: how the header of a source is read. Its resolution is what absolute units of an SVG come to."""

    name: str
    load: LoadOptions

    def parse(self, raw_path: str, negotiable: Negotiable, now_s: float, *, needs_signature: bool = True) -> Asked[P]:
        """``raw_path`` begins behind the mount's path, with a slash, has no query, and is not decoded.

        Not ``needs_signature``: anything may stand in its place, for a caller that has its right from elsewhere.
        Raises UrlRefused: not of the grammar, not signed rightly, expired.
        """

    def plan(self, parameters: P, info: ImageInfo) -> Planned:
        """Raises UrlRefused: this source cannot be shown so."""

    def refusal(self, error: ImgserveError) -> Refusal:
        """The answer to any error of parsing, fetching or rendering, by its code."""

    def trimmed(self, parameters: P, info: ImageInfo, kept: Part) -> Planned:
        """The whole recipe of a picture whose trim keeps this part of the source, without the trim.

        Raises UrlRefused.
        """

    def headers(self, asked: Asked[P], info: ImageInfo, planned: Planned) -> tuple[Header, ...]:
        """The dialect's own headers of a picture, which are cached with it. They depend on no ``asked.answer``."""

    def answer_headers(self, asked: Asked[P], media_type: str) -> tuple[Header, ...]:
        """The dialect's own headers of one answer. Those of caching and safety are the mount's."""

    def preflight(self) -> tuple[Header, ...]:
        """The headers of answers without a picture: to OPTIONS, and redirects."""

    def described(self, asked: Asked[P], info: ImageInfo, called: "Called", kept: Part | None = None) -> "Described":
        """The answer of kind ``info``. ``kept`` is what a trim leaves of the source. Raises UrlRefused."""
