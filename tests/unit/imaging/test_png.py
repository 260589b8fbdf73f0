"""PNG by libdeflate against libvips' own decoder, zlib and Pillow."""

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageDraw

from imgserve.imaging.faults import SourceUnreadable
from imgserve.imaging.worker import save
from imgserve.imaging.worker.formats import png
from imgserve.imaging.worker.picture import Picture
from imgserve.imaging.worker.saver import settings
from imgserve.request.encode import Encode
from imgserve.request.operations.resize import Resize
from tests.support import pictures, rasters
from tests.unit.imaging.conftest import Render, opened, render_bytes

WIDTH, HEIGHT = 301, 203
FILTERS = ("none", "sub", "up", "avg", "paeth", "all")


def encoded(mode: str = "RGB", **options: object) -> bytes:
    out = io.BytesIO()
    pictures.detailed(WIDTH, HEIGHT).convert(mode).save(out, "PNG", **options)
    return out.getvalue()


def filtered(name: str) -> bytes:
    image = pyvips.Image.new_from_buffer(encoded(), "")
    return bytes(image.pngsave_buffer(filter=name, compression=6, keep="none"))


def in_small_chunks(data: bytes, size: int = 100) -> bytes:
    chunks = list(chunks_of(data))
    pixels = b"".join(body for name, body in chunks if name == b"IDAT")
    parts = [(b"IDAT", pixels[at : at + size]) for at in range(0, len(pixels), size)]
    first = [name for name, _ in chunks].index(b"IDAT")
    return file_of([*chunks[:first], *parts, *(chunk for chunk in chunks[first:] if chunk[0] != b"IDAT")])


def chunks_of(data: bytes) -> list[tuple[bytes, bytes]]:
    at, result = 8, []
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        result.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return result


def file_of(chunks: list[tuple[bytes, bytes]]) -> bytes:
    written = (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


def with_one_transparent_colour(data: bytes) -> bytes:
    head, *others = chunks_of(data)
    return file_of([head, (b"tRNS", struct.pack(">HHH", 200, 100, 50)), *others])


PLAIN: dict[str, Callable[[], bytes]] = {
    **{mode: partial(encoded, mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")},
    **{name: partial(filtered, name) for name in FILTERS},
    "16 bits": lambda: rasters.png(np.arange(WIDTH * HEIGHT * 3, dtype=np.uint16).reshape(HEIGHT, WIDTH, 3)),
    "4 colours": lambda: encoded("P", bits=2),
    "one transparent colour": lambda: encoded("RGB", transparency=(30, 30, 30)),
    "one transparent colour without filters": lambda: with_one_transparent_colour(filtered("none")),
    "palette with transparency": lambda: encoded("P", transparency=3),
    "small chunks": lambda: in_small_chunks(encoded()),
    "an animation's first picture": lambda: rasters_of_frames(),
}  # fmt: skip


def rasters_of_frames() -> bytes:
    out = io.BytesIO()
    frames = [pictures.scene(40, 30), pictures.scene(40, 30).rotate(180)]
    frames[0].save(out, "PNG", save_all=True, append_images=frames[1:])
    return out.getvalue()


def by_libvips(data: bytes) -> pyvips.Image:
    return pyvips.Image.pngload_buffer(data)


@pytest.mark.parametrize("make", PLAIN.values(), ids=PLAIN)
def test_inflated_it_shows_the_same(make: Callable[[], bytes]) -> None:
    data = make()
    inflated = png.inflated(data)
    assert inflated is not None
    stored = png.stored(inflated)
    assert len(stored) > len(data)
    mine, theirs = by_libvips(stored), by_libvips(data)
    assert (mine.format, mine.bands, mine.interpretation) == (theirs.format, theirs.bands, theirs.interpretation)
    assert np.array_equal(mine.numpy(), theirs.numpy())
    picture = Picture(data, "png")
    pixels = picture.pixels()
    assert (pixels.format, pixels.bands, pixels.interpretation) == (theirs.format, theirs.bands, theirs.interpretation)
    assert np.array_equal(pixels.numpy(), theirs.numpy())


def test_the_stream_is_one_that_zlib_reads() -> None:
    inflated = png.inflated(encoded())
    assert inflated is not None
    stored = png.stored(inflated)
    bodies = dict(chunks_of(stored))
    assert len(zlib.decompress(bodies[b"IDAT"])) == HEIGHT * (1 + WIDTH * 3)
    assert file_of(chunks_of(stored)) == stored, "the checksums are right"


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_rows_without_filters_are_the_pixels(mode: str) -> None:
    plain = by_libvips(encoded(mode))
    for name, is_plain in (("none", True), ("sub", False), ("all", False)):
        inflated = png.inflated(bytes(plain.pngsave_buffer(filter=name)))
        assert inflated is not None
        assert (png.image(inflated) is not None) == is_plain


def drawing(name: str, mode: str = "RGB") -> bytes:
    image = Image.new("RGB", (WIDTH, HEIGHT), "#ffffff")
    draw = ImageDraw.Draw(image)
    for row in range(2, HEIGHT, 30):
        draw.rectangle((20, row, 60 + row, row + 11), fill=(row, 90, 200 - row))
    return bytes(by_libvips(pictures.encoded(image.convert(mode), "png")).pngsave_buffer(filter=name, compression=6))


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_a_drawing_with_filters_is_left_to_libvips(render: Render, mode: str) -> None:
    """Its pixels are the same either way."""
    plain, with_filters = drawing("none", mode), drawing("paeth", mode)
    assert len(with_filters) < WIDTH * HEIGHT / 20
    inflated = png.inflated(plain)
    assert inflated is not None
    assert png.image(inflated) is not None
    assert png.inflated(with_filters) is None
    one, other = (np.asarray(render(data, Resize(), (150, 100))) for data in (plain, with_filters))
    assert np.array_equal(one, other)


def test_a_drawing_whose_pixels_are_no_stream_is_refused(render: Render) -> None:
    chunks = [(name, body if name != b"IDAT" else bytes(len(body))) for name, body in chunks_of(drawing("paeth"))]
    with pytest.raises(SourceUnreadable):
        render(file_of(chunks), Resize(), (150, 100))


@pytest.mark.parametrize("filter_number", [0, 1])
def test_pixels_that_inflate_beyond_their_rows_take_no_memory(filter_number: int) -> None:
    bomb = zlib.compress(bytes((filter_number,)) * 10_000_000)
    data = file_of([(name, bomb if name == b"IDAT" else body) for name, body in chunks_of(drawing("none"))])
    tracemalloc.start()
    try:
        assert png.inflated(data) is None
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("orientation", pictures.ORIENTATIONS)
@pytest.mark.parametrize("name", ["none", "paeth"])
def test_upright_with_its_colours(render: Render, name: str, orientation: int) -> None:
    scene = pictures.scene(80, 60)
    data = pictures.oriented(scene, orientation, "png")
    image = by_libvips(data).copy()
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", pictures.wide_gamut_profile())
    of_filter = bytes(image.pngsave_buffer(filter=name))
    expected = pictures.encoded(scene, "png", profile=pictures.wide_gamut_profile())
    for size in ((80, 60), (40, 30)):
        result = render(of_filter, Resize(), size)
        assert pictures.distance(result, render(expected, Resize(), size)) < 1
        assert pictures.distance(result, scene.resize(size)) > 3, "wide colours are converted"


def taller(data: bytes) -> bytes:
    """A header that states one row more."""
    (name, head), *others = chunks_of(data)
    return file_of([(name, head[:4] + struct.pack(">I", HEIGHT + 1) + head[8:]), *others])


def with_other_pixels(change: Callable[[bytes], bytes]) -> bytes:
    return file_of([(name, change(body) if name == b"IDAT" else body) for name, body in chunks_of(filtered("sub"))])


def with_another_checksum() -> bytes:
    """Of the pixels; behind them are the 12 bytes of the end."""
    data = filtered("sub")
    return data[:-13] + bytes((data[-13] ^ 1,)) + data[-12:]


def of_colours(kind: int) -> bytes:
    (name, head), *others = chunks_of(encoded())
    return file_of([(name, head[:9] + bytes((kind,)) + head[10:]), *others])


ODD: dict[str, Callable[[], bytes]] = {
    "interlaced": lambda: rasters.png(np.zeros((9, 9, 3), np.uint8), is_interlaced=True),
    "cut off": lambda: encoded()[:-30],
    "cut off in a header": lambda: encoded()[:20],
    "nothing": lambda: b"",
    "too few rows": lambda: taller(encoded()),
    "another checksum of the chunk": lambda: with_another_checksum(),
    "another checksum of the rows": lambda: with_other_pixels(lambda body: body[:-1] + bytes((body[-1] ^ 1,))),
    "no compressed pixels": lambda: with_other_pixels(lambda body: bytes(len(body))),
    "no pixels": lambda: file_of([chunk for chunk in chunks_of(encoded()) if chunk[0] != b"IDAT"]),
    "very many chunks": lambda: in_small_chunks(filtered("none"), 10),
    "colours of an unknown type": lambda: of_colours(5),
}  # fmt: skip


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_what_is_odd_is_left_to_libvips(make: Callable[[], bytes]) -> None:
    assert png.inflated(make()) is None


def test_a_large_one_is_left_to_libvips(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded()
    rows = HEIGHT * (1 + WIDTH * 3)
    monkeypatch.setattr(png, "_MOST_STORED_BYTES", rows)
    assert png.inflated(data) is not None
    monkeypatch.setattr(png, "_MOST_STORED_BYTES", rows - 1)
    assert png.inflated(data) is None


@pytest.mark.parametrize("name", ["too few rows", "cut off", "another checksum of the chunk"])
def test_libvips_says_what_is_wrong(render: Render, name: str) -> None:
    with pytest.raises(SourceUnreadable):
        render(ODD[name](), Resize(), (100, 60))


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_a_result_is_compressed_without_loss(mode: str) -> None:
    scene = pictures.detailed(WIDTH, HEIGHT).convert(mode)
    image = by_libvips(pictures.encoded(scene, "png"))
    levels = settings.deflate_levels(Encode("png"))
    assert levels is not None
    for is_drawing in (False, True):
        settings_of_it = {**settings.of(Encode("png"), "png", is_drawing=is_drawing), "compression": 0}
        stored = bytes(image.pngsave_buffer(keep="none", **settings_of_it))
        file = png.compressed(stored, levels[is_drawing])
        assert len(file) < len(stored)
        assert file == file_of(chunks_of(file)), "the checksums are right"
        assert opened(file).tobytes() == scene.tobytes()


def test_it_is_as_small_as_by_zlib() -> None:
    for scene in (pictures.detailed(600, 400), Image.new("RGB", (600, 400), "teal"), pictures.scene(600, 400)):
        file = render_bytes(pictures.encoded(scene, "png"), Resize(), (600, 400))
        options = {"compression": 6} if scene.getcolors() else {"filter": "avg", "compression": 3}
        theirs = by_libvips(pictures.encoded(scene, "png")).pngsave_buffer(keep="none", **options)
        assert len(file) < len(theirs) * 1.03


@pytest.mark.parametrize(
    "encode",
    [
        Encode("png", effort="best"),
        Encode("png", effort="fast"),
        Encode("png", progressive=True),
        Encode("png", colors=16),
    ],
)
def test_what_libvips_compresses(encode: Encode) -> None:
    assert settings.deflate_levels(encode) is None


@pytest.mark.parametrize("height", [1, 2, 31, 32, 33, 640])
def test_a_drawing_is_known_by_some_of_its_rows(height: int) -> None:
    """Whether its pixels are at hand, as those of a small result are, or libvips leaves the other rows out."""
    lined = Image.new("RGB", (120, height), "white")
    ImageDraw.Draw(lined).line((0, 0, 119, height - 1), fill=(200, 30, 30), width=3)
    grained = Image.fromarray(np.random.default_rng(7).integers(0, 255, (height, 120, 3), np.uint8))
    for picture, is_drawing in ((lined, True), (grained, False)):
        image = pyvips.Image.new_from_memory(picture.tobytes(), 120, height, 3, "uchar")
        assert save._is_drawing(image) is is_drawing
        assert save._is_drawing(image, picture.tobytes()) is is_drawing


@pytest.mark.parametrize("side", [900, 1100])
def test_a_drawing_is_written_without_filters(side: int) -> None:
    """On both sides of the size up to which its pixels are copied at once."""
    drawing = Image.new("RGB", (side, side), "white")
    ImageDraw.Draw(drawing).ellipse((100, 100, 800, 700), fill=(20, 90, 200))
    file = render_bytes(pictures.encoded(drawing, "png"), Resize(), (side, side), "png")
    assert opened(file).convert("RGB").tobytes() == drawing.tobytes()
    rows = zlib.decompress(b"".join(body for name, body in chunks_of(file) if name == b"IDAT"))
    assert set(rows[:: 1 + 3 * side]) == {0}


def test_a_large_result_is_written_by_libvips(monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs no copy in memory."""
    source = pictures.encoded(pictures.detailed(100, 80), "png")
    monkeypatch.setattr(save, "_MAX_QUICK_PIXELS", 100 * 80 - 1)
    monkeypatch.setattr(png, "compressed", None)
    assert opened(render_bytes(source, Resize(), (100, 80))).size == (100, 80)
