"""The messages between parent and worker: plain frozen values; whole pictures travel as descriptors.

The worker answers each ``Request`` with one ``Reply`` before the parent sends the next one. A worker's first packet is
``Ready`` or ``CannotStart``.
"""

import math
from typing import Annotated, Literal

import msgspec

from imgserve.errors import Sentence, Word
from imgserve.request.encode import MOST_ENCODES, Defaults, Format
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.limits import Limits
from imgserve.request.recipe import LoadOptions, Recipe
from imgserve.request.rendering import Rendering
from imgserve.request.warning import Warnings
from imgserve.request.wish import Wish

SYSTEM_LIBVIPS, OWN_LIBVIPS = "system", "own"  # a worker's argument: which libvips it may use
WORKER, TEMPLATE = "worker", "template"  # and its role


class Drawing(msgspec.Struct, frozen=True):
    """A placeholder or failure picture. ``color`` is ``#rrggbb``; an empty ``text`` draws none."""

    size: Size
    format: Format
    color: str
    text: str
    quality: int | None = None


class ProbeRequest(msgspec.Struct, frozen=True, tag="probe"):
    """The source, or, if it is not ``is_complete``, the beginning of its ``source_bytes``.

    A short beginning or source comes as ``head``, everything else as a descriptor.
    """

    is_complete: bool
    limits: Limits
    load: LoadOptions = LoadOptions()
    source_bytes: int = 0
    head: bytes = b""


class RenderRequest(msgspec.Struct, frozen=True, tag="render"):
    """Descriptors: the source, the recipe's further pictures in their order, the result. Its recipe holds no URL.

    ``svg_cpu_s``: for drawing a further picture that is an SVG. Renderings of one ``batch`` have the same source, whose
    decoded pixels the worker keeps for the next one; 0: of no batch.
    """

    rendering: Rendering
    limits: Limits
    svg_cpu_s: float = math.inf
    batch: int = 0


class MakeRequest(msgspec.Struct, frozen=True, tag="make"):
    """Read the header, as ``load`` says, find the recipe for it, and render. Descriptors: the source, the result.

    ``svg_cpu_s``: for a source that is an SVG, which only the worker knows. A short source comes as ``source`` instead.
    """

    wish: Wish
    load: LoadOptions
    defaults: Defaults
    limits: Limits
    svg_cpu_s: float = math.inf
    source: bytes = b""


class DrawRequest(msgspec.Struct, frozen=True, tag="draw"):
    drawing: Drawing
    limits: Limits


class PageRequest(msgspec.Struct, frozen=True, tag="page"):
    """Read an upload page. ``media_type`` comes from its Content-Type header."""

    media_type: str


Include = Literal["thumbhash", "blurhash", "colors", "exif", "position"]


class InspectRequest(msgspec.Struct, frozen=True, tag="inspect"):
    """Decode the source, and tell of it what is to be included."""

    include: frozenset[Include]
    limits: Limits


class TrimRequest(msgspec.Struct, frozen=True, tag="trim"):
    """Decode the source as for the recipe and a result of this format, and find what its only operation, a trim, keeps.

    ``batch``: as in RenderRequest.
    """

    recipe: Recipe
    format: Format
    limits: Limits
    batch: int = 0


class SanitizeRequest(msgspec.Struct, frozen=True, tag="sanitize"):
    """Make an SVG safe to be shown by a browser as it is. Descriptors: the source, the result."""

    limits: Limits


FaultCode = Literal[
    "source_unreadable",
    "page_missing",
    "svg_invalid",
    "picture_too_large",
    "render_failed",
    "max_bytes_unreachable",
    "page_unreadable",
    "source_too_small",
    "nothing_left",
    "render_timeout",
]


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """``sandbox`` is its state in words; ``system_libvips`` is empty for the wheel's own libvips."""

    sandbox: str
    system_libvips: str = ""


class CannotStart(msgspec.Struct, frozen=True, tag="cannot_start"):
    reason: str


class Probed(msgspec.Struct, frozen=True, tag="probed"):
    """``info`` None: the header is not complete yet. ``needs_whole``: no beginning of the source will do."""

    info: ImageInfo | None
    needs_whole: bool = False


class Written(msgspec.Struct, frozen=True, tag="written"):
    """The picture is in the result's memfd, which is sealed; its length is the memfd's.

    ``encodes`` is the number of qualities tried for ``max_bytes``.
    """

    size: Size
    format: Format
    encodes: Annotated[int, msgspec.Meta(ge=1, le=MOST_ENCODES)] = 1
    warnings: Warnings = ()


class Dominant(msgspec.Struct, frozen=True):
    """A colour, and the fraction of a picture's pixels that have it or one like it."""

    color: Annotated[str, msgspec.Meta(pattern=r"^#[0-9a-f]{6}\Z")]
    fraction: Annotated[float, msgspec.Meta(ge=0, le=1)]


class Position(msgspec.Struct, frozen=True):
    """Degrees north and east, and metres above the sea."""

    latitude: Annotated[float, msgspec.Meta(ge=-90, le=90)]
    longitude: Annotated[float, msgspec.Meta(ge=-180, le=180)]
    altitude_m: float | None = None


ExifValue = (
    int
    | float
    | Annotated[str, msgspec.Meta(max_length=400)]
    | Annotated[tuple[int | float, ...], msgspec.Meta(max_length=8)]
)
ExifName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9]{1,40}\Z")]


class Inspected(msgspec.Struct, frozen=True, tag="inspected"):
    """What was to be included; None for the rest. A picture may have no position."""

    thumbhash: Annotated[bytes, msgspec.Meta(max_length=64)] | None = None
    blurhash: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    colors: Annotated[tuple[Dominant, ...], msgspec.Meta(max_length=16)] | None = None
    exif: Annotated[dict[ExifName, ExifValue], msgspec.Meta(max_length=100)] | None = None
    position: Position | None = None


class Made(msgspec.Struct, frozen=True, tag="made"):
    """``written`` None: nothing is rendered, since more than the header is needed, or there is no recipe for it."""

    info: ImageInfo
    written: Written | None = None


class TrimBox(msgspec.Struct, frozen=True, tag="trim_box"):
    """The part that a trim keeps."""

    left: int
    top: int
    width: int
    height: int


class PageRead(msgspec.Struct, frozen=True, tag="page_read"):
    """The page, as ``request.page.Page`` in msgpack, is in the result's memfd: it may be longer than a packet."""


class Sanitized(msgspec.Struct, frozen=True, tag="sanitized"):
    """The SVG is in the result's memfd. Not ``is_possible``: this installation cannot do it."""

    is_possible: bool


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """``path``: the field of the recipe at fault, such as the one that names a further picture.

    ``trace`` is for the log, and set if imgserve itself is at fault. ``is_last``: the worker ends. ``is_of_header``: no
    pixel was decoded.
    """

    code: FaultCode
    detail: str
    hint: Sentence = ""
    path: Annotated[tuple[Word | int, ...], msgspec.Meta(max_length=8)] = ()
    trace: str = ""
    is_last: bool = False
    is_of_header: bool = False


Request = (
    ProbeRequest
    | RenderRequest
    | MakeRequest
    | DrawRequest
    | PageRequest
    | InspectRequest
    | TrimRequest
    | SanitizeRequest
)
Reply = Ready | CannotStart | Probed | Written | Made | PageRead | Inspected | TrimBox | Sanitized | Failed
