"""The format of a picture, by its first bytes. libvips is never asked: its guess would choose the code that runs.

Called by probe, pipeline and svgz. Magic numbers: each format's specification; ISO 14496-12 for the ``ftyp`` box of
AVIF and HEIC.
"""

from typing import Literal

from imgserve.imaging.faults import SourceUnreadable
from imgserve.imaging.worker.formats import bmp
from imgserve.imaging.worker.source import Data
from imgserve.imaging.worker.svg import markup
from imgserve.request.imageinfo import SourceFormat

ENOUGH_BYTES = 64
_MARKUP_BYTES = 250_000  # the root tag of an SVG must end within these

_Prefixes = bytes | tuple[bytes, ...]
_MAGIC: dict[SourceFormat, _Prefixes] = {
    "jpeg": b"\xff\xd8\xff",
    "png": b"\x89PNG\r\n\x1a\n",
    "gif": (b"GIF87a", b"GIF89a"),
    "tiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "ico": b"\0\0\x01\0",
}
_UNREADABLE: dict[str, _Prefixes] = {
    "a Photoshop file": b"8BPS",
    "a JPEG XL picture": (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
    "a JPEG 2000 picture": b"\0\0\0\x0cjP  \r\n\x87\n",
    "a PDF document": b"%PDF",
    "compressed with gzip more than once": b"\x1f\x8b",
}
_READABLE_HINT = "send JPEG, PNG, WebP, GIF, TIFF, AVIF, HEIC, BMP, ICO or SVG"
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_MARKUP_STARTS = (b"<", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\0<", b"\0\0\xfe\xff", b"\0\0\0<")


def detect(data: Data, *, is_complete: bool = True) -> SourceFormat | None:
    """The format; None when more bytes may still show it. Raises SourceUnreadable, which names the other format."""
    head = bytes(data[:ENOUGH_BYTES])
    if len(head) < ENOUGH_BYTES and not is_complete:
        return None
    for name, magic in _MAGIC.items():
        if head.startswith(magic):
            return name
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp":
        return _from_brands(head)
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in bmp.HEADERS:
        return "bmp"
    if head.lstrip().startswith(_MARKUP_STARTS):
        return _from_markup(bytes(data[:_MARKUP_BYTES]), is_complete=is_complete)
    for what, unreadable in _UNREADABLE.items():
        if head.startswith(unreadable):
            raise SourceUnreadable(f"the source is {what}, which this build cannot read", _READABLE_HINT)
    what = "not a picture of a known kind" if head else "empty"
    raise SourceUnreadable(f"the source is {what}", _READABLE_HINT)


def _from_markup(start: bytes, *, is_complete: bool) -> Literal["svg"] | None:
    if markup.find_root(start) is not None:
        return "svg"
    if not is_complete and len(start) < _MARKUP_BYTES:
        return None
    raise SourceUnreadable("the source is markup (a web page perhaps) and no picture", _READABLE_HINT)


def _from_brands(head: bytes) -> Literal["avif", "heic"]:
    box_bytes = int.from_bytes(head[:4], "big")
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(box_bytes, len(head)), 4))}
    if brands & {b"avif", b"avis"}:
        return "avif"
    if brands & _HEIF_BRANDS:
        return "heic"
    raise SourceUnreadable("the source is a film or sound file and no picture", _READABLE_HINT)
