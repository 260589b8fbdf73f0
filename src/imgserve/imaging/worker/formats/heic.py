"""HEIC: its size and orientation from its boxes, and its pixels by libheif. Called by load and probe.

Of a stranger's file libheif gets the coded pictures alone, in a file of our own (``heifwrite``), once their sizes are
known: those that HEVC itself states may be larger than the file says. Turns and mirrors (``irot``, ``imir``), the clean
aperture (``clap``) and colours are ours, so that each is applied once. EXIF's orientation does not count in HEIF (ISO
23008-12, section 6.5.1). ISO 23008-12, sections 6.6.2.1 (alpha), 6.6.2.3 (grids), annex A.2 (EXIF and XMP); ISO
14496-12, section 12.1.4 (clap).
"""

import contextlib
import struct
from collections.abc import Iterator
from fractions import Fraction
from importlib import import_module
from math import floor
from types import ModuleType
from typing import NamedTuple

import pyvips

from imgserve.imaging.abilities import HEIC_PACKAGE, heic_module
from imgserve.imaging.faults import SourceUnreadable
from imgserve.imaging.worker.formats import heif, heifwrite, hevc, isobmff, turns
from imgserve.imaging.worker.formats.heif import File, Item, Property
from imgserve.imaging.worker.source import Data
from imgserve.request.imageinfo import Size

_CODED, _GRID = b"hvc1", b"grid"
_ALPHA = (b"urn:mpeg:hevc:2015:auxid:1", b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha")
_KEPT = frozenset({b"hvcC", b"ispe", b"pixi", b"auxC"})
_MOST_SPARE_PX = 64  # HEVC codes whole blocks, of 64 pixels at most, and crops
_LONG_SIZES = 1
_MOST_GRID_BYTES = 64  # it has 8 or 12
_MOST_BLOCK_BYTES = 1_000_000
_XMP, _XMP_WITHIN = b"xmpmeta", 200
_BANDS = {"L": 1, "LA": 2, "La": 2, "RGB": 3, "RGBA": 4, "RGBa": 4}
_SPACES = {("uchar", True): "b-w", ("uchar", False): "srgb", ("ushort", True): "grey16", ("ushort", False): "rgb16"}
_LAST_GREY = 2


class Box(NamedTuple):
    left: int
    top: int
    width: int
    height: int


class Heic(NamedTuple):
    """A file by its header. ``coded``: the pixels that are decoded; ``shown``: the box of them that counts.

    ``orientation`` is EXIF's number, for what is shown.
    """

    file: File
    coded: Size
    shown: Box
    orientation: int


class _Plane(NamedTuple):
    """The colours, or the alpha: an item, its coded pictures, and the size of each."""

    item: Item
    tiles: tuple[int, ...]
    tile: Size


def read(data: Data) -> Heic:
    """Raises SourceUnreadable."""
    file = heif.read(data)
    item = file.item(file.primary)
    coded = _size(item)
    _plane(data, file, file.primary)
    kinds = [kind for kind, _ in item.properties]
    moved = [kinds.index(kind) for kind in (b"irot", b"imir") if kind in kinds]
    if b"clap" in kinds and moved and min(moved) < kinds.index(b"clap"):
        raise heif.broken("is cropped after it is turned")
    return Heic(file, coded, _aperture(item, coded), turns.orientation(item.properties))


def has_alpha(picture: Heic) -> bool:
    return _alpha(picture.file) is not None


def profile(data: Data) -> bytes | None:
    """The ICC profile, if there is one."""
    bodies = isobmff.colour_boxes(data)
    return next((body[4:] for body in bodies if body[:4] in (b"prof", b"rICC")), None)


def absent() -> SourceUnreadable:
    what = "the source is a HEIC picture, and this installation has no decoder for it"
    return SourceUnreadable(what, f"install the Python package {HEIC_PACKAGE}, or send JPEG")


def decode(data: Data, picture: Heic) -> pyvips.Image:
    """What is shown, as stored, in memory: 8 or 16 bits, in the file's own RGB or grey. Raises SourceUnreadable."""
    library = _library()
    try:
        opened = library.open_heif(heifwrite.written(_parts(data, picture.file)), convert_hdr_to_8bit=False)
        image = opened[opened.primary_index]
        pixels = image.data
    except (OSError, ValueError, RuntimeError, EOFError, SyntaxError, IndexError) as error:
        reason = "".join(letter for letter in str(error) if letter.isprintable())[:200]
        raise heif.broken(f"cannot be decoded: {reason}") from error
    if image.size != (picture.coded.width_px, picture.coded.height_px):
        raise heif.broken("its picture has another size than it says")
    shown = _cropped(_image(pixels, image.mode, image.info["bit_depth"], picture.coded), picture.shown).copy()
    for name, block in _blocks(data, picture.file):
        shown.set_type(pyvips.GValue.blob_type, name, block)
    return shown


def _blocks(data: Data, file: File) -> Iterator[tuple[str, bytes]]:
    """EXIF and XMP of the picture, under libvips' names. A block that is cut off or too long is left out."""
    for reference in file.references:
        item = file.items.get(reference.item)
        if item is None or reference.kind != b"cdsc" or file.primary not in reference.others:
            continue
        if not 0 < sum(length for _, length in item.parts) <= _MOST_BLOCK_BYTES:
            continue
        with contextlib.suppress(SourceUnreadable):
            block = heif.payload(data, file, item)
            if item.kind == b"Exif":  # it begins with the distance to the TIFF header
                yield "exif-data", b"Exif\0\0" + block[4 + int.from_bytes(block[:4], "big") :]
            elif item.kind == b"mime" and _XMP in block[:_XMP_WITHIN]:
                yield "xmp-data", block


def _library() -> ModuleType:
    """Imported with the first such picture. Raises SourceUnreadable."""
    name = heic_module()
    if name is None:
        raise absent()
    try:
        library = import_module(name)
    except (ImportError, OSError) as error:  # it was replaced since this worker started, or is broken
        raise absent() from error
    options = library.options
    options.DECODE_THREADS = 1
    options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
    return library


def _image(pixels: bytes, mode: str, depth: int, size: Size) -> pyvips.Image:
    letters, _, bits = mode.partition(";")
    sample, bands = "ushort" if bits else "uchar", _BANDS[letters]
    image = pyvips.Image.new_from_memory(pixels, size.width_px, size.height_px, bands, sample)
    if bits:
        image = image | (image >> depth)  # the samples stand in the upper bits: white would not be quite white
    image = image.copy(interpretation=_SPACES[sample, bands <= _LAST_GREY])
    return image.unpremultiply().rint().cast(sample) if letters.endswith("a") else image


def _cropped(image: pyvips.Image, box: Box) -> pyvips.Image:
    return image if (image.width, image.height) == box[2:] else image.crop(*box)


def _size(item: Item) -> Size:
    body = item.one_of(b"ispe")
    if len(body) < 12:
        raise heif.broken("states no size")
    size = Size(*struct.unpack(">II", body[4:12]))
    if not size.width_px or not size.height_px:
        raise heif.broken("states no size")
    return size


def _plane(data: Data, file: File, number: int) -> _Plane:
    """Raises SourceUnreadable for an item that is neither coded as HEVC nor a grid of such items."""
    item = file.item(number)
    if item.kind == _CODED:
        return _Plane(item, (number,), _size(item))
    if item.kind != _GRID:
        coding = item.kind.decode("ascii", "replace")
        raise SourceUnreadable(f"the source is a HEIF picture of the kind {coding!r}, not HEVC", "send JPEG or PNG")
    tiles = file.referred(b"dimg", number)
    tile = _size(file.item(tiles[0])) if tiles else Size(0, 0)
    if heif.length((item,)) > _MOST_GRID_BYTES:
        raise heif.broken("its grid is no grid")
    rows, columns, size = _grid(heif.payload(data, file, item))
    is_filled = rows * columns == len(tiles) == len({*tiles}) and size == _size(item)
    is_tight = _fits(columns, tile.width_px, size.width_px) and _fits(rows, tile.height_px, size.height_px)
    if not is_filled or not is_tight or any(_is_other(file.item(at), tile) for at in tiles):
        raise heif.broken("its grid does not fit its tiles")
    return _Plane(item, tiles, tile)


def _is_other(item: Item, tile: Size) -> bool:
    return item.kind != _CODED or _size(item) != tile


def _fits(count: int, each_px: int, whole_px: int) -> bool:
    """Whether so many cover the side, and one fewer would not."""
    return (count - 1) * each_px < whole_px <= count * each_px


def _grid(payload: bytes) -> tuple[int, int, Size]:
    form = ">II" if payload[1:2] >= bytes([_LONG_SIZES]) else ">HH"
    if len(payload) < 4 + struct.calcsize(form):
        raise heif.broken("its grid is cut off")
    return payload[2] + 1, payload[3] + 1, Size(*struct.unpack_from(form, payload, 4))


def _aperture(item: Item, coded: Size) -> Box:
    whole = Box(0, 0, coded.width_px, coded.height_px)
    for body in item.all_of(b"clap"):
        numbers = struct.unpack(">8I", body[:32].ljust(32, b"\0"))
        if not all(numbers[1::2]):
            raise heif.broken("is cropped to nothing")
        across, down = (
            _span(numbers[at : at + 2], numbers[at + 4 :][:2], side)
            for at, side in ((0, coded.width_px), (2, coded.height_px))
        )
        whole = Box(across[0], down[0], across[1], down[1])
    return whole


def _span(length: tuple[int, ...], offset: tuple[int, ...], side: int) -> tuple[int, int]:
    """Where the aperture begins on this side, and its length: the offset is that of the centres."""
    count = floor(Fraction(*length) + Fraction(1, 2))
    signed = offset[0] - (1 << 32) if offset[0] >> 31 else offset[0]
    begin = floor(Fraction(signed, offset[1]) + Fraction(side - count, 2))
    if not (begin >= 0 and 0 < count <= side - begin):
        raise heif.broken("is cropped beyond its edges")
    return begin, count


def _parts(data: Data, file: File) -> list[heifwrite.Part]:
    colours, alpha = _plane(data, file, file.primary), _alpha(file)
    planes = [colours, *([] if alpha is None else [_plane(data, file, alpha)])]
    # Items may share their bytes: what libheif gets must not be longer than the file.
    if heif.length(file.item(number) for plane in planes for number in plane.tiles) > len(data):
        raise heif.broken("its items are longer than the file")
    parts = _of_plane(data, file, colours, 0)
    if alpha is not None:
        plane = planes[1]
        if _size(plane.item) != _size(colours.item):
            raise heif.broken("its transparency has another size")
        is_multiplied = alpha in file.referred(b"prem", file.primary)
        first, *others = _of_plane(data, file, plane, len(parts))
        parts += [first._replace(belongs_to=0, is_multiplied=is_multiplied), *others]
    return parts


def _alpha(file: File) -> int | None:
    for reference in file.references:
        if reference.kind == b"auxl" and file.primary in reference.others:
            kinds = file.item(reference.item).all_of(b"auxC")
            if any(kind[4:].split(b"\0")[0] in _ALPHA for kind in kinds):
                return reference.item
    return None


def _of_plane(data: Data, file: File, plane: _Plane, at: int) -> list[heifwrite.Part]:
    """Its parts, the item itself first, which will be number ``at``."""
    if plane.item.kind == _CODED:
        return [_coded(data, file, plane.item)]
    tiles = [_coded(data, file, file.item(number)) for number in plane.tiles]
    made_of = tuple(range(at + 1, at + 1 + len(tiles)))
    grid = heif.payload(data, file, plane.item)
    return [heifwrite.Part(_GRID, _kept(plane.item), grid, made_of), *tiles]


def _coded(data: Data, file: File, item: Item) -> heifwrite.Part:
    """Raises SourceUnreadable if HEVC states a larger size than the file."""
    payload, stated = heif.payload(data, file, item), _size(item)
    try:
        sizes = list(hevc.sizes(item.one_of(b"hvcC"), payload))
    except hevc.Broken as error:
        raise heif.broken("its coded picture is broken") from error
    widest, highest = stated.width_px + _MOST_SPARE_PX, stated.height_px + _MOST_SPARE_PX
    if not sizes or any(size.width_px >= widest or size.height_px >= highest for size in sizes):
        raise heif.broken("its coded picture is larger than it says")
    return heifwrite.Part(_CODED, _kept(item), payload)


def _kept(item: Item) -> tuple[Property, ...]:
    """Without what is done here: turns, crops and profiles. Numbers of colours say how YCbCr becomes RGB."""
    return tuple(
        (kind, body) for kind, body in item.properties if kind in _KEPT or (kind == b"colr" and body[:4] == b"nclx")
    )
