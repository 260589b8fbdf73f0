"""The fast path for AVIF against libvips and Pillow's resampler, which knows neither light nor planes."""

import functools
import io
import mmap
import os
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageOps

from imgserve.imaging.worker.colour import numbers
from imgserve.imaging.worker.cover import Part
from imgserve.imaging.worker.formats import avif, avifheader, dav1d, turbojpeg
from imgserve.imaging.worker.picture import Picture
from imgserve.request.encode import Encode
from imgserve.request.imageinfo import Size
from imgserve.request.operations.flop import Flop
from imgserve.request.operations.resize import LinearLight, Resize
from imgserve.request.recipe import LoadOptions, Operation
from tests.support import heif, pictures
from tests.unit.imaging.conftest import Render, opened, picture, render_bytes
from tests.unit.imaging.test_encode import file_of

pytestmark = pytest.mark.skipif(not dav1d.is_there(), reason="needs a Pillow with dav1d")

WIDTH, HEIGHT = 601, 451
NEAR = 2.0


@functools.cache
def source(mode: str = "RGB", **options: Any) -> bytes:
    out = io.BytesIO()
    pictures.scene(WIDTH, HEIGHT, mode).save(out, "AVIF", **{"quality": 95, "speed": 10, **options})
    return out.getvalue()


def by_libvips(**options: Any) -> bytes:
    """An AVIF of libvips' encoder."""
    scene = pictures.scene(WIDTH, HEIGHT)
    image = pyvips.Image.new_from_memory(scene.tobytes(), WIDTH, HEIGHT, 3, "uchar").copy(interpretation="srgb")
    return bytes(image.heifsave_buffer(compression="av1", Q=95, effort=0, **options))


def shown(image: pyvips.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.numpy()))


def decoded_by_libvips(data: bytes) -> Image.Image:
    return shown(pyvips.Image.heifload_buffer(data).colourspace("srgb").cast("uchar"))


def smaller(data: bytes, size: tuple[int, int], part: Part | None = None, *, in_light: bool = False) -> Image.Image:
    image = avif.scaled(Picture(data, "avif"), part or Part(0, 0, WIDTH, HEIGHT), Size(*size), is_in_light=in_light)
    assert image is not None
    return shown(image)


PLAIN: dict[str, Callable[[], bytes]] = {
    "4:2:0": source,
    "4:2:2": lambda: source(subsampling="4:2:2"),
    "4:4:4": lambda: source(subsampling="4:4:4"),
    "grey": lambda: source("L"),
    "narrow range": lambda: source(range="limited"),
    "of libvips": by_libvips,
    "of libvips, 4:4:4": lambda: by_libvips(subsample_mode="off"),
    "10 bits": lambda: by_libvips(bitdepth=10),
    "10 bits, 4:4:4": lambda: by_libvips(bitdepth=10, subsample_mode="off"),
    "12 bits": lambda: by_libvips(bitdepth=12),
    "of BT.709": lambda: with_numbers(1, 13, 1),
}  # fmt: skip


def with_numbers(primaries: int, transfer: int, matrix: int) -> bytes:
    """The same planes, said to be of these colours (ITU-T H.273)."""
    return heif.changed(source(), b"colr", 4, struct.pack(">HHH", primaries, transfer, matrix))


@pytest.mark.parametrize("make", PLAIN.values(), ids=PLAIN)
def test_decoded_as_libvips_would(make: Callable[[], bytes]) -> None:
    data = make()
    header = avifheader.read(data)
    assert header is not None
    assert header[:3] == (Size(WIDTH, HEIGHT), 1, False)
    image = dav1d.rgb(data, header)
    assert image is not None
    assert pictures.distance(shown(image), decoded_by_libvips(data)) < NEAR


@pytest.mark.parametrize("in_light", [True, False])
@pytest.mark.parametrize("size", [(200, 150), (201, 151), (1, 1), (1, 300), (601, 451), (600, 40)])
@pytest.mark.parametrize("make", PLAIN.values(), ids=PLAIN)
def test_made_smaller_as_libvips_and_pillow_would(
    make: Callable[[], bytes], size: tuple[int, int], in_light: bool
) -> None:
    data = make()
    result = smaller(data, size, in_light=in_light)
    assert result.size == size
    # Light makes the mean of the whole scene brighter, which is one pixel of the result.
    near = 20.0 if in_light and min(size) == 1 else NEAR
    expected = decoded_by_libvips(data).resize(size, Image.Resampling.LANCZOS)
    assert pictures.distance(result, expected) < near


def test_light_is_what_is_averaged() -> None:
    """Lines of one pixel, black and white, give half of the light: the value of 188 in sRGB, 180 by squares."""
    lines = np.zeros((451, 601, 3), np.uint8)
    lines[:, ::2] = 255
    out = io.BytesIO()
    Image.fromarray(lines).save(out, "AVIF", quality=100, subsampling="4:4:4", speed=10)
    for in_light, value in ((True, 180), (False, 128)):
        grey = np.asarray(smaller(out.getvalue(), (150, 112), in_light=in_light))[10:-10, 10:-10]
        assert abs(float(grey.mean()) - value) < 3, in_light


def test_the_recipe_chooses_light(render: Render) -> None:
    lines = np.zeros((400, 600, 3), np.uint8)
    lines[:, ::2] = 255
    out = io.BytesIO()
    Image.fromarray(lines).save(out, "AVIF", quality=100, subsampling="4:4:4", speed=10)
    lights: list[tuple[LinearLight, int]] = [("auto", 180), (False, 128), (True, 188)]
    for light, value in lights:
        grey = np.asarray(render(out.getvalue(), Resize(linear_light=light), (150, 100)))[10:-10, 10:-10]
        assert abs(float(grey.mean()) - value) < 3, light


@pytest.mark.parametrize("corner", [(0, 0), (301, 151), (77, 100)])
def test_a_part_stays_in_its_place(corner: tuple[int, int]) -> None:
    part = Part(*corner, 300, 300)
    box = (corner[0], corner[1], corner[0] + 300, corner[1] + 300)
    expected = pictures.scene(WIDTH, HEIGHT).resize((99, 99), Image.Resampling.LANCZOS, box)
    assert pictures.distance(smaller(source(), (99, 99), part), expected) < NEAR


@pytest.mark.parametrize("orientation", pictures.ORIENTATIONS)
@pytest.mark.parametrize("size", [(150, 112), (112, 150), (60, 112)])
def test_upright(render: Render, orientation: int, size: tuple[int, int]) -> None:
    scene = pictures.scene(WIDTH, HEIGHT)
    data = pictures.oriented(scene, orientation, "avif")
    expected = ImageOps.fit(scene, size, Image.Resampling.LANCZOS)
    assert pictures.distance(render(data, Resize(), size), expected) < NEAR
    as_stored = opened(render_bytes(data, Resize(), size, load=LoadOptions(orient=False)))
    expected = ImageOps.fit(pictures.stored(scene, orientation), size, Image.Resampling.LANCZOS)
    assert pictures.distance(as_stored, expected) < NEAR


@pytest.mark.parametrize("orientation", pictures.ORIENTATIONS)
def test_a_whole_one_is_upright(orientation: int) -> None:
    scene = pictures.scene(WIDTH, HEIGHT)
    picture = Picture(pictures.oriented(scene, orientation, "avif"), "avif")
    assert pictures.distance(shown(picture.pixels()), scene) < NEAR


def test_transparency(render: Render) -> None:
    scene = pictures.scene(WIDTH, HEIGHT, "RGBA")
    header = avifheader.read(source("RGBA"))
    assert header is not None
    assert header.has_alpha
    result = render(source("RGBA"), Resize(), (200, 150))
    assert result.mode == "RGBA"
    assert pictures.distance(result, scene.resize((200, 150), Image.Resampling.LANCZOS)) < NEAR


@pytest.mark.parametrize("alpha", [False, True])
def test_ten_bits_where_eight_are_enough(render: Render, alpha: bool) -> None:
    scene = pictures.scene(WIDTH, HEIGHT, "RGBA" if alpha else "RGB")
    image = pyvips.Image.new_from_memory(scene.tobytes(), WIDTH, HEIGHT, 4 if alpha else 3, "uchar")
    image = image.copy(interpretation="srgb")
    data = bytes(image.heifsave_buffer(compression="av1", Q=95, effort=0, bitdepth=10))
    header = avifheader.read(data)
    assert header == (Size(WIDTH, HEIGHT), 1, alpha, True)
    assert Picture(data, "avif").plain_avif == header
    assert Picture(data, "avif").pixels().format == "uchar"
    assert (
        pictures.distance(render(data, Resize(), (200, 150)), scene.resize((200, 150), Image.Resampling.LANCZOS)) < NEAR
    )


def test_ten_bits_where_they_count() -> None:
    """For steps that compute with them, and for colours that are converted: brighter ones are compressed."""
    data = by_libvips(bitdepth=10)
    assert Picture(data, "avif", is_deep=True).plain_avif is None
    assert Picture(data, "avif", is_deep=True).pixels().format == "ushort"
    image = pyvips.Image.heifload_buffer(data).copy()
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", pictures.wide_gamut_profile())
    wide = bytes(image.heifsave_buffer(compression="av1", effort=0, bitdepth=10, keep="icc"))
    assert Picture(wide, "avif").plain_avif is None


@pytest.mark.parametrize("depth", [10, 12])
@pytest.mark.parametrize("alpha", [False, True])
def test_white_is_white_at_every_depth(depth: int, alpha: bool) -> None:
    bands = 4 if alpha else 3
    white = (pyvips.Image.black(64, 48, bands=bands) + 65_535).cast("ushort").copy(interpretation="rgb16")
    data = bytes(white.heifsave_buffer(compression="av1", bitdepth=depth, lossless=True, effort=0))
    for output, most in ((Encode("png"), 255), (Encode("png", bit_depth=16), 65_535)):
        image = pyvips.Image.new_from_buffer(file_of(output, data, (64, 48)), "")
        assert [image.min(), image.max()] == [most, most]


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_ten_bits_keep_every_level_of_eight(mode: str) -> None:
    bands = len(mode)
    ramp = Image.fromarray(np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (16, 1, bands)))
    encode = Encode("avif", lossless=True, bit_depth=10)
    file = file_of(encode, pictures.encoded(ramp, "png"), ramp.size)
    assert pyvips.Image.new_from_buffer(file, "").get("bits-per-sample") == 10
    is_seen = np.asarray(ramp)[..., -1] > 0
    assert np.array_equal(np.asarray(opened(file).convert(mode))[is_seen], np.asarray(ramp)[is_seen])


def test_another_colour_space_is_converted(render: Render) -> None:
    """By the same numbers as libvips' pixels would be, before and now."""
    data = with_numbers(12, 13, 6)
    assert avif.scaled(Picture(data, "avif"), Part(0, 0, WIDTH, HEIGHT), Size(200, 150), is_in_light=True) is None
    profile = numbers.profile(data, "avif", 3)
    assert profile is not None
    image = pyvips.Image.heifload_buffer(data).copy()
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    theirs = shown(image.icc_transform("srgb", embedded=True)).resize((200, 150), Image.Resampling.LANCZOS)
    assert pictures.distance(render(data, Resize(), (200, 150)), theirs) < NEAR


def film() -> bytes:
    out = io.BytesIO()
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "green")]
    frames[0].save(out, "AVIF", save_all=True, append_images=frames[1:], speed=10)
    return out.getvalue()


def of_larger_pictures() -> bytes:
    """A file that says less than its picture."""
    return heif.changed(source(), b"ispe", 4, struct.pack(">II", WIDTH - 1, HEIGHT))


def with_a_second_header() -> bytes:
    """Two coded pictures one after the other, the second of another size."""
    other = io.BytesIO()
    pictures.scene(64, 48).save(other, "AVIF", speed=10)
    _, begin, end = heif.place(other.getvalue(), b"mdat")
    more = other.getvalue()[begin + 8 : end]
    data = source()
    _, iloc, stop = heif.place(data, b"iloc")
    _, mdat, whole = heif.place(data, b"mdat")
    length = struct.pack(">I", whole - mdat - 8)
    assert data.count(length, iloc, stop) == 1
    at = data.index(length, iloc)
    longer = data[:at] + struct.pack(">I", whole - mdat - 8 + len(more)) + data[at + 4 :]
    return longer[:mdat] + struct.pack(">I", whole - mdat + len(more)) + longer[mdat + 4 : whole] + more


ODD: dict[str, Callable[[], bytes]] = {
    "film": film,
    "larger than it says": of_larger_pictures,
    "two pictures in one": with_a_second_header,
    "cropped": lambda: heif.renamed(source(), b"pixi", b"clap"),
    "in layers": lambda: heif.renamed(source(), b"pixi", b"a1lx"),
    "without a size": lambda: heif.renamed(source(), b"ispe", b"free"),
    "multiplied": lambda: source("RGBA", alpha_premultiplied=True),
    "cut off": lambda: source()[:-100],
    "nothing": lambda: b"",
    "HEIC": lambda: heif.encoded(pictures.scene(64, 48)),
}  # fmt: skip


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_what_is_odd_is_left_to_libvips(make: Callable[[], bytes]) -> None:
    assert avifheader.read(make()) is None


@pytest.mark.parametrize("name", ["film", "multiplied"])
def test_what_is_odd_is_rendered(render: Render, name: str) -> None:
    assert render(ODD[name](), Resize(), (32, 24)).size == (32, 24)


@pytest.mark.parametrize("operation", [Resize(width=WIDTH), Resize(width=WIDTH // 2), Flop()])
def test_multiplied_colours_are_divided_by_their_alpha(operation: Operation) -> None:
    data = ODD["multiplied"]()
    result, expected = (picture(one, operation) for one in (data, pictures.encoded(opened(data), "png")))
    shown, straight = (np.asarray(one.convert("RGBA")).astype(int) for one in (result, expected))
    is_seen = straight[..., 3] > 128
    assert np.abs(shown - straight)[is_seen].mean() < 1  # the two decoders mix chroma in other ways
    assert np.abs(shown - straight)[..., 3].max() <= 1


def test_no_header_that_is_cut_anywhere_is_a_surprise() -> None:
    data = source()
    for end in range(0, heif.place(data, b"mdat")[1], 3):
        assert avifheader.read(data[:end]) is None


def test_what_dav1d_refuses_is_left_to_libvips() -> None:
    data = bytearray(source())
    header = avifheader.read(bytes(data))
    assert header is not None
    begin = heif.place(bytes(data), b"mdat")[1] + 8
    data[begin + 20 : begin + 400] = b"\xff" * 380
    assert dav1d.rgb(bytes(data), header) is None
    assert dav1d.planes(bytes(data), header) is None


@pytest.mark.parametrize("depth", [8, 10, 12])
def test_the_ends_of_each_range(depth: int) -> None:
    step = 1 << (depth - 8)
    full = dav1d._table(depth, True, 235)
    assert (len(full), full[0], full[-1], full[128 * step]) == (1 << depth, 0, 255, 128)
    luma, chroma = dav1d._table(depth, False, 235), dav1d._table(depth, False, 240)
    assert [luma[value * step] for value in (0, 16, 126, 235, 255)] == [0, 0, 128, 255, 255]
    assert [chroma[value * step] for value in (0, 16, 128, 240, 255)] == [0, 0, 128, 255, 255]


def test_another_size_than_the_header_says_is_refused() -> None:
    header = avifheader.Header(Size(WIDTH, HEIGHT - 1), 1, has_alpha=False, is_deep=False)
    assert dav1d.rgb(source(), header) is None
    assert dav1d.planes(source(), header) is None


def test_mapped_memory_is_read() -> None:
    data = source()
    descriptor = os.memfd_create("source")
    try:
        os.write(descriptor, data)
        with mmap.mmap(descriptor, len(data), prot=mmap.PROT_READ) as mapped:
            header = avifheader.read(mapped)
            assert header is not None
            assert dav1d.planes(mapped, header) == dav1d.planes(data, header) is not None
            assert dav1d.rgb(mapped, header) is not None
    finally:
        os.close(descriptor)


def test_lossless_files_stay_exact(render: Render) -> None:
    """Their colours are RGB in planes, which no luma has: another road."""
    result = render(by_libvips(lossless=True), Resize(), (WIDTH, HEIGHT))
    assert np.array_equal(np.asarray(result), np.asarray(pictures.scene(WIDTH, HEIGHT)))


@pytest.mark.skipif(not turbojpeg.is_there(), reason="needs libturbojpeg (Debian: libturbojpeg0)")
def test_both_ways_from_planes_to_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """libjpeg-turbo's, also behind the header of a CMYK file, and that by a matrix."""
    out = io.BytesIO()
    Image.new("CMYK", (64, 48)).save(out, "JPEG")
    turbojpeg.shape(out.getvalue())
    quick = smaller(source(), (200, 150))
    monkeypatch.setattr(turbojpeg, "_TURBO", None)
    assert np.abs(np.asarray(quick).astype(int) - np.asarray(smaller(source(), (200, 150)))).max() <= 1
