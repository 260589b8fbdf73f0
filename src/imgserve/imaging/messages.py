"""The messages between parent and worker: plain frozen values; whole pictures travel as descriptors.

The parent sends one ``Request``, the worker answers with one ``Reply``, and only then comes the next request. The
first frame of a worker's life is ``Ready`` or ``CannotStart``.
"""

from typing import Literal

import msgspec

from imgserve.errors import Sentence
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.limits import Limits
from imgserve.request.recipe import Format
from imgserve.request.rendering import Rendering

SYSTEM_LIBVIPS, OWN_LIBVIPS = "system", "own"  # a worker's argument: which libvips it may use
WORKER, TEMPLATE = "worker", "template"  # and its role: to work, or to fork workers


class Drawing(msgspec.Struct, frozen=True):
    """A placeholder or failure picture. ``color`` is ``#rrggbb``; an empty ``text`` draws none."""

    size: Size
    format: Format
    color: str
    text: str
    quality: int | None = None


class ProbeRequest(msgspec.Struct, frozen=True, tag="probe"):
    """``size_bytes`` are to be read; ``is_complete``: they are the source, else its beginning, of ``source_bytes``.

    ``head`` has them where they are few and will be more; else they come as a descriptor.
    """

    size_bytes: int
    is_complete: bool
    limits: Limits
    is_strict: bool = True
    source_bytes: int = 0
    head: bytes = b""


class RenderRequest(msgspec.Struct, frozen=True, tag="render"):
    size_bytes: int
    rendering: Rendering
    limits: Limits


class DrawRequest(msgspec.Struct, frozen=True, tag="draw"):
    drawing: Drawing
    limits: Limits


class PageRequest(msgspec.Struct, frozen=True, tag="page"):
    """Read an upload page. ``media_type`` comes from its Content-Type header."""

    size_bytes: int
    media_type: str


FaultCode = Literal["source_unreadable", "svg_invalid", "picture_too_large", "render_failed", "page_unreadable"]


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The door is locked. ``sandbox`` says how, or why not; ``system_libvips`` is empty for the wheel's own libvips."""

    sandbox: str
    system_libvips: str = ""


class CannotStart(msgspec.Struct, frozen=True, tag="cannot_start"):
    reason: str


class Probed(msgspec.Struct, frozen=True, tag="probed"):
    """``info`` None: the header is not all there yet."""

    info: ImageInfo | None


class Written(msgspec.Struct, frozen=True, tag="written"):
    """The picture is in the result's memfd, which is sealed; its length is the memfd's."""

    size: Size
    format: Format


class PageRead(msgspec.Struct, frozen=True, tag="page_read"):
    """The page, as ``request.page.Page`` in msgpack, is in the result's memfd: it may be longer than a frame."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The picture is not well. ``trace`` is set when imgserve itself is at fault: for the log only.

    ``is_last``: the worker, stuck in the picture, ends.
    """

    code: FaultCode
    detail: str
    hint: Sentence = ""
    trace: str = ""
    is_last: bool = False


Request = ProbeRequest | RenderRequest | DrawRequest | PageRequest
Reply = Ready | CannotStart | Probed | Written | PageRead | Failed
