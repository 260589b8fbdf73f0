"""Every field of ``encode``, for every format that has it, read by Pillow or from the file's own structure."""

import io
import struct
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageSequence

from imgserve.blob import Blob
from imgserve.imaging.faults import MaxBytesUnreachable
from imgserve.imaging.worker import pipeline
from imgserve.imaging.worker.formats import turbojpeg
from imgserve.request.encode import Effort, Encode, Format
from imgserve.request.imageinfo import Size
from imgserve.request.limits import Limits
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Recipe
from imgserve.request.rendering import Rendering
from tests.support import pictures, rasters
from tests.unit.imaging.conftest import opened

SIDES = 120, 90
SCENE = pictures.encoded(pictures.detailed(*SIDES), "png")
SMOOTH = pictures.encoded(pictures.scene(*SIDES), "png")


def encoded(encode: Encode, data: bytes = SCENE, size: tuple[int, int] = SIDES) -> tuple[bytes, int]:
    """The file, and the number of encodes."""
    assert encode.format is not None
    rendering = Rendering(Recipe((Resize(*size),), encode), Size(*size), encode.format)
    with Blob() as result:
        written = pipeline.render(data, rendering, Limits(), result.fd)
        with open(f"/proc/self/fd/{result.fd}", "rb") as file:
            return file.read(), written.encodes


def file_of(encode: Encode, data: bytes = SCENE, size: tuple[int, int] = SIDES) -> bytes:
    return encoded(encode, data, size)[0]


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(opened(data).convert("RGB")).astype(int)


def jpeg_frame(data: bytes) -> tuple[int, tuple[int, int]]:
    """The marker of the frame, and the first component's sampling factors (T.81, B.2.2)."""
    at = 2
    while data[at + 1] not in (0xC0, 0xC1, 0xC2):
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data[at + 1], (data[at + 11] >> 4, data[at + 11] & 15)


@pytest.mark.parametrize("effort", ["balanced", "best"])
@pytest.mark.parametrize("quick", [True, False])
def test_progressive_and_chroma_of_a_jpeg(effort: Effort, quick: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not quick:
        monkeypatch.setattr(turbojpeg, "_TURBO", None)
    for source in (SCENE, pictures.encoded(pictures.detailed(400, 300), "jpeg")):
        plain = file_of(Encode("jpeg", effort=effort), source)
        assert jpeg_frame(plain) == (0xC0, (2, 2))
        assert jpeg_frame(file_of(Encode("jpeg", 90, effort=effort), source)) == (0xC0, (1, 1))
        assert jpeg_frame(file_of(Encode("jpeg", 95, chroma="420", effort=effort), source)) == (0xC0, (2, 2))
        whole = file_of(Encode("jpeg", chroma="444", progressive=True, effort=effort), source)
        assert jpeg_frame(whole) == (0xC2, (1, 1))
        assert np.abs(pixels(whole) - pixels(plain)).mean() < 10


def test_progressive_of_a_png_and_a_gif() -> None:
    for name, at, bit in (("png", 28, 1), ("gif", None, 0x40)):
        flags = []
        for progressive in (False, True):
            data = file_of(Encode(name, progressive=progressive))  # type: ignore[arg-type]
            flags.append(data[at] & bit if at is not None else gif_image_flags(data) & bit)
        assert flags == [0, bit]


def gif_image_flags(data: bytes) -> int:
    """Of the first image descriptor (GIF89a, section 20)."""
    at = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    while data[at] == 0x21:
        at += 2
        while data[at]:
            at += data[at] + 1
        at += 1
    assert data[at] == 0x2C
    return data[at + 9]


def boxes(data: bytes, at: int = 0) -> Iterator[tuple[bytes, bytes]]:
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at + 8 : at + size]
        at += size


def av1_configuration(data: bytes) -> tuple[int, bool]:
    """Bits of a sample, and whether chroma is subsampled (AV1 in ISOBMFF, section 2.3.3)."""
    properties = dict(boxes(dict(boxes(dict(boxes(data))[b"meta"], 4))[b"iprp"]))[b"ipco"]
    flags = dict(boxes(properties))[b"av1C"][2]
    return 10 if flags & 0x40 else 8, bool(flags & 0x0C)


def test_chroma_and_depth_of_an_avif() -> None:
    for encode, expected in (
        (Encode("avif"), (8, True)),
        (Encode("avif", 95), (8, False)),
        (Encode("avif", chroma="444"), (8, False)),
        (Encode("avif", 95, chroma="420"), (8, True)),
        (Encode("avif", bit_depth=10), (10, True)),
        (Encode("avif", lossless=True), (8, False)),
    ):
        assert av1_configuration(file_of(encode)) == expected


@pytest.mark.parametrize("name", ["webp", "avif"])
def test_lossless_changes_no_pixel(name: Format) -> None:
    data = file_of(Encode(name, lossless=True))
    assert np.array_equal(pixels(data), pixels(SCENE))
    assert not np.array_equal(pixels(file_of(Encode(name))), pixels(SCENE))


def test_near_lossless_is_a_smaller_lossless_webp() -> None:
    exact, near = file_of(Encode("webp", lossless=True)), file_of(Encode("webp", near_lossless=20))
    assert near[12:16] == b"VP8L"
    assert len(near) < len(exact)
    assert 0 < np.abs(pixels(near) - pixels(SCENE)).max() <= 16
    assert np.array_equal(pixels(file_of(Encode("webp", near_lossless=100))), pixels(SCENE))


@pytest.mark.parametrize(("name", "offset"), [("png", 24), ("tiff", None)])
def test_sixteen_bits(name: Format, offset: int | None) -> None:
    data = file_of(Encode(name, bit_depth=16))
    if offset is not None:
        assert data[offset] == 16
    image = pictures_of_16_bits(data)
    assert np.array_equal(image, pixels(SCENE) * 257)


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_tones_of_sixteen_bits(bands: int) -> None:
    """Steps of a sixteenth of one of 8 bits; alpha is not 0, where colours would not matter."""
    ramp = 30_000 + 16 * np.arange(64)[None, :, None] + np.zeros((48, 64, bands))
    source = rasters.png(ramp.astype(np.uint16))
    for name in ("png", "tiff"):
        kept = pictures_of_16_bits(file_of(Encode(name, bit_depth=16), source, (64, 48)))
        assert np.array_equal(kept, ramp)
    for bits, tones in ((8, 6), (10, 20)):
        data = file_of(Encode("avif", 95, bit_depth=bits), source, (64, 48))  # type: ignore[arg-type]
        assert tones // 2 < len(np.unique(samples_of(data)[:, :, 0])) <= tones


def samples_of(data: bytes) -> np.ndarray:
    import pyvips

    image = pyvips.Image.new_from_buffer(data, "")
    dtype = np.uint16 if image.format == "ushort" else np.uint8
    return np.ndarray((image.height, image.width, image.bands), dtype, image.write_to_memory())


def pictures_of_16_bits(data: bytes) -> np.ndarray:
    """Pillow reads RGB of 16 bits as 8, so libvips' other loader reads it here."""
    import pyvips

    image = pyvips.Image.new_from_buffer(data, "")
    assert image.format == "ushort"
    return np.ndarray((image.height, image.width, image.bands), np.uint16, image.write_to_memory())


@pytest.mark.parametrize("name", ["png", "gif"])
@pytest.mark.parametrize("colors", [2, 3, 5, 16, 100, 256])
@pytest.mark.parametrize("alpha", [False, True])
def test_colors_are_the_most_that_a_file_has(name: Format, colors: int, alpha: bool) -> None:
    scene = pictures.detailed(*SIDES).convert("RGBA" if alpha else "RGB")
    if alpha:
        scene.putalpha(Image.linear_gradient("L").resize(SIDES))
    image = opened(file_of(Encode(name, colors=colors), pictures.encoded(scene, "png")))
    assert image.mode == "P"
    shown = np.asarray(image.convert("RGBA")).reshape(-1, 4)
    assert len(np.unique(shown, axis=0)) <= colors


@pytest.mark.parametrize("effort", ["fast", "balanced", "best"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_a_merged_palette_shows_the_picture(effort: Effort, progressive: bool, mode: str) -> None:
    scene = pictures.scene(*SIDES, "RGBA").convert(mode)
    encode = Encode("png", effort=effort, progressive=progressive, colors=60)
    shown = opened(file_of(encode, pictures.encoded(scene, "png"))).convert("RGBA")
    assert len(np.unique(np.asarray(shown).reshape(-1, 4), axis=0)) <= 60
    ground = Image.new("RGBA", SIDES, "white")
    expected = Image.alpha_composite(ground, scene.convert("RGBA"))
    assert pictures.distance(Image.alpha_composite(ground, shown), expected) < 8


@pytest.mark.parametrize(("name", "effort"), [("gif", "fast"), ("gif", "balanced"), ("png", "balanced")])
def test_few_colors_are_dithered_by_half(name: Format, effort: Effort) -> None:
    """Nearer to the picture than all of the dots, and its shades nearer than without dots."""
    image = pyvips.Image.new_from_buffer(SMOOTH, "")
    ours = file_of(Encode(name, colors=16, effort=effort), SMOOTH)
    saver = image.gifsave_buffer if name == "gif" else partial(image.pngsave_buffer, palette=True, filter="none")
    no_dots, all_dots = (bytes(saver(bitdepth=4, effort=3, dither=dither)) for dither in (0, 1))
    assert len(no_dots) < len(ours) < len(all_dots)
    assert np.abs(pixels(ours) - pixels(SMOOTH)).mean() < np.abs(pixels(all_dots) - pixels(SMOOTH)).mean()
    assert np.abs(shades(ours) - shades(SMOOTH)).mean() < np.abs(shades(no_dots) - shades(SMOOTH)).mean()


def shades(data: bytes) -> np.ndarray:
    """The means of blocks of 6 pixels."""
    width, height = SIDES
    means: np.ndarray = np.mean(pixels(data).reshape(height // 6, 6, width // 6, 6, 3), axis=(1, 3))
    return means


def test_few_colors_are_kept_as_they_are() -> None:
    flat = Image.new("RGB", SIDES, (10, 200, 30))
    flat.paste((250, 20, 99), (20, 20, 60, 60))
    for name in ("png", "gif"):
        for colors in (3, 16, 100, 256):
            data = file_of(Encode(name, colors=colors), pictures.encoded(flat, "png"))
            assert np.abs(pixels(data) - np.asarray(flat)).max() <= 1, (name, colors)


def test_loop_and_delay_of_animations() -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "green", "blue")]
    source = io.BytesIO()
    frames[0].save(source, "GIF", save_all=True, append_images=frames[1:], duration=100, loop=3)
    for name in ("gif", "webp"):
        kept = Image.open(io.BytesIO(file_of(Encode(name), source.getvalue(), (20, 15))))
        changed = Image.open(io.BytesIO(file_of(Encode(name, loop=7, delay_ms=250), source.getvalue(), (20, 15))))
        for_ever = Image.open(io.BytesIO(file_of(Encode(name, loop=0), source.getvalue(), (20, 15))))
        # A GIF's number is of the repeats behind the first showing (Netscape's extension).
        assert [image.info["loop"] for image in (kept, changed, for_ever)] == (
            [3, 6, 0] if name == "gif" else [4, 7, 0]
        )
        assert [delays(image) for image in (kept, changed)] == [[100] * 3, [250] * 3]


def delays(image: Image.Image) -> list[int]:
    durations = []
    for frame in ImageSequence.Iterator(image):
        frame.load()
        durations.append(frame.info["duration"])
    return durations


@pytest.mark.parametrize("name", ["jpeg", "webp", "avif"])
def test_max_bytes_finds_the_highest_quality_that_fits(name: Format) -> None:
    most = len(file_of(Encode(name, 40)))
    data, encodes = encoded(Encode(name, 90, max_bytes=most))
    assert len(data) <= most
    assert 1 < encodes <= 8
    files = [file_of(Encode(name, quality)) for quality in range(1, 91)]
    highest = max(at for at, file in enumerate(files) if file == data)
    assert len(files[highest + 1]) > most  # the next quality's, but for an encoder whose sizes go up and down
    assert encoded(Encode(name, 40, max_bytes=most)) == (file_of(Encode(name, 40)), 1)
    with pytest.raises(MaxBytesUnreachable, match=r"at quality 1, more than max_bytes \(100\)"):
        encoded(Encode(name, max_bytes=100))


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "gif", "tiff", "avif"])
def test_each_effort_shows_the_same(name: Format) -> None:
    files = {effort: file_of(Encode(name, effort=effort)) for effort in ("fast", "balanced", "best")}
    assert files["balanced"] == file_of(Encode(name))
    assert len(files["best"]) < len(files["balanced"]) <= len(files["fast"])
    for data in files.values():
        assert np.abs(pixels(data) - pixels(SCENE)).mean() < (0.01 if name in ("png", "tiff") else 9)


def test_a_big_endian_read_of_the_header() -> None:
    """IHDR is read by struct, so that no decoder's opinion counts."""
    assert struct.unpack(">IIBB", file_of(Encode("png"))[16:26]) == (*SIDES, 8, 2)
