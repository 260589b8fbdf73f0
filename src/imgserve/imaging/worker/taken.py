"""What is taken of a file: a page of a TIFF or icon, the frames of an animation from one on, pixels as stored.

Called by load, before a decoder reads anything.
"""

from collections.abc import Callable
from typing import NamedTuple

from imgserve.errors import FieldRef, counted
from imgserve.imaging.faults import PageMissing
from imgserve.imaging.worker import rare
from imgserve.imaging.worker.formats import apng, gif, ico, isobmff, tiff, tiffcolour
from imgserve.imaging.worker.formats.turns import UPRIGHT
from imgserve.imaging.worker.rare import Rare
from imgserve.imaging.worker.source import Data
from imgserve.request.imageinfo import SourceFormat
from imgserve.request.recipe import LoadOptions


class Taken(NamedTuple):
    """``format``: what the decoder reads, which in an icon may be a PNG. ``first_frame``: its number in ``data``.

    ``rare``: the picture, if libvips does not decode it.
    """

    data: Data
    format: SourceFormat
    first_frame: int = 0
    tiff_model: tiffcolour.Model | None = None
    rare: Rare | None = None


def taken(data: Data, source_format: SourceFormat, options: LoadOptions) -> Taken:
    """Raises SourceUnreadable, PageMissing."""
    take = _TAKERS.get(source_format, _only_page)
    result = take(data, source_format, options)
    if options.orient:
        return result
    if source_format == "avif":  # libheif would turn it
        return result._replace(data=isobmff.unturned(data))
    return result if result.rare is None else result._replace(rare=result.rare._replace(orientation=UPRIGHT))


def missing(page: int, pages: int, noun: str = "page") -> PageMissing:
    what = f"the source has {counted(pages, noun)}, and the job asks for number {page}, counted from 0"
    return PageMissing(what, ("ask for a lower ", FieldRef(("load", "page"))))


def _only_page(data: Data, source_format: SourceFormat, options: LoadOptions) -> Taken:
    if options.page:
        raise missing(options.page, 1)
    return Taken(data, source_format, rare=rare.read(data, source_format))


def _of_gif(data: Data, source_format: SourceFormat, options: LoadOptions) -> Taken:
    data, added = gif.on_its_screen(gif.cleared_by_restoring(data))
    return Taken(data, source_format, added + options.page)


def _of_webp(data: Data, source_format: SourceFormat, options: LoadOptions) -> Taken:
    return Taken(data, source_format, options.page)


def _of_png(data: Data, source_format: SourceFormat, options: LoadOptions) -> Taken:
    if not options.page:
        return Taken(data, source_format)
    frames = apng.frames(data)
    if options.page >= frames:
        raise missing(options.page, frames, "frame")
    return Taken(data, source_format, options.page, rare=rare.of_frame(data, options.page))


def _of_tiff(data: Data, source_format: SourceFormat, options: LoadOptions) -> Taken:
    if options.page:
        pages = tiff.count(data, options.page + 1)
        if options.page >= pages:
            raise missing(options.page, pages)
        data = tiff.page_alone(data, options.page)
    else:
        data = tiff.without_a_flood_of_pages(data)
    data, model = tiffcolour.prepared(data)
    return Taken(data, source_format, tiff_model=model)


def _of_ico(data: Data, source_format: SourceFormat, options: LoadOptions) -> Taken:
    icons = ico.icons(data)
    if options.page >= len(icons):
        raise missing(options.page, len(icons))
    icon = icons[options.page]
    if icon.is_png:
        return Taken(icon.bytes_in(data), "png")
    return Taken(data, source_format, rare=rare.of_icon(data, icon))


_TAKERS: dict[SourceFormat, Callable[[Data, SourceFormat, LoadOptions], Taken]] = {
    "gif": _of_gif, "webp": _of_webp, "png": _of_png, "tiff": _of_tiff, "ico": _of_ico,
}  # fmt: skip
