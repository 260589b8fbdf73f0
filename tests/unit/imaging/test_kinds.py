"""Pictures as programs write them: palettes, single bits, interlaced, turned, thin, huge; against Pillow's reading."""

import io
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
from PIL import Image, ImageOps

from imgserve.imaging.faults import PictureTooLarge, SourceUnreadable
from imgserve.imaging.worker.probe import probe
from imgserve.request.encode import Format
from imgserve.request.geometry import Gravity
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.limits import Limits
from imgserve.request.operations.resize import Resize
from tests.support import pictures, rasters
from tests.unit.imaging.conftest import Render

FORMATS: tuple[Format, ...] = get_args(Format)
TURNED: tuple[Format, ...] = ("jpeg", "png", "webp", "tiff", "avif")


def saved(image: Image.Image, name: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, name, **options)
    return out.getvalue()


def with_hole(image: Image.Image) -> Image.Image:
    """Palette picture of sixteen colours; the last of them is transparent and fills the right third."""
    flat = image.quantize(15)
    flat.putpalette([*(flat.getpalette() or [])[:45], 0, 0, 0])
    flat.paste(15, (image.width * 2 // 3, 0, image.width, image.height))
    flat.info["transparency"] = 15
    return flat


@pytest.mark.parametrize("orientation", pictures.ORIENTATIONS)
@pytest.mark.parametrize("name", TURNED)
def test_every_orientation_of_every_format_once(render: Render, name: Format, orientation: int) -> None:
    upright = pictures.scene(120, 60)
    data = pictures.oriented(upright, orientation, name)
    if name == "avif":
        assert (b"irot" in data or b"imir" in data) == (orientation > 1), "turned by its boxes, not by EXIF"
    known = 1 if name == "avif" else orientation
    assert probe(data, Limits(), is_complete=True) == ImageInfo(name, 120, 60, 1, known)
    result = render(data, Resize(gravity="west"), (40, 40))
    expected = ImageOps.fit(upright, (40, 40), Image.Resampling.LANCZOS, centering=(0, 0.5))
    assert pictures.distance(result, expected) < 4
    assert result.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("gravity", ["attention", "entropy"])
@pytest.mark.parametrize("name", TURNED)
def test_a_turned_picture_is_cut_after_it_was_turned(render: Render, name: Format, gravity: Gravity) -> None:
    plain = Image.new("RGB", (300, 100), (120, 120, 120))
    noise = np.random.default_rng(3).integers(0, 255, (80, 80, 3), dtype=np.uint8)
    plain.paste(Image.fromarray(noise), (210, 10))
    result = np.asarray(render(pictures.oriented(plain, 6, name), Resize(gravity=gravity), (100, 100)))
    assert result[20:80].std() > 30


@pytest.mark.parametrize("name", ["png", "gif"])
def test_palettes_and_their_transparent_colour(render: Render, name: Format) -> None:
    source = with_hole(pictures.scene(120, 80))
    data = saved(source, name, transparency=15)
    shown = Image.open(io.BytesIO(data)).convert("RGBA")
    result = render(data, Resize(), (120, 80))
    assert result.mode == "RGBA"
    alpha = np.asarray(result)[:, :, 3]
    assert (alpha == np.asarray(shown)[:, :, 3]).all()
    assert (alpha[:, 80:].max(), alpha[:, :80].min()) == (0, 255)
    assert pictures.distance(result.crop((0, 0, 80, 80)), shown.crop((0, 0, 80, 80))) < 1
    on_blue = np.asarray(render(data, Resize(), (120, 80), "jpeg", background="#0000ff"))[40, 100].astype(int)
    assert np.abs(on_blue - (0, 0, 255)).max() < 6


@pytest.mark.parametrize(("mode", "hole"), [("L", 77), ("RGB", (77, 88, 99))])
def test_one_colour_of_a_png_may_mean_transparent(render: Render, mode: str, hole: int | tuple[int, ...]) -> None:
    source = Image.new(mode, (60, 40), 200 if mode == "L" else (200, 80, 60))
    source.paste(hole, (30, 0, 60, 40))
    result = np.asarray(render(saved(source, "PNG", transparency=hole), Resize(), (60, 40)).convert("RGBA"))
    assert (result[:, :30, 3].min(), result[:, 30:, 3].max()) == (255, 0)


@pytest.mark.parametrize("output", ["png", "webp", "tiff", "avif"])
def test_grey_with_alpha_stays_so(render: Render, output: Format) -> None:
    source = Image.merge("LA", (pictures.scene(120, 80, "L"), pictures.scene(120, 80, "RGBA").getchannel("A")))
    result = render(saved(source, "PNG"), Resize(), (60, 40), output)
    expected = source.convert("RGBA").resize((60, 40), Image.Resampling.LANCZOS)
    away = np.abs(np.asarray(result.convert("RGBA")).astype(int) - np.asarray(expected))
    assert away[:, :, 3].mean() < 2
    assert away[:, 30:, :3].mean() < 4, "where it is not nearly transparent"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("PNG", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "group4"}),
        ("TIFF", {"compression": "packbits"}),
        ("GIF", {}),
    ],
)
def test_single_bits(render: Render, name: str, options: dict[str, str]) -> None:
    """Black and white from a scanner: made smaller they are grey, not black and white again."""
    source = pictures.scene(200, 100, "1")
    result = render(saved(source, name, **options), Resize(), (50, 25)).convert("L")
    assert pictures.distance(result, source.convert("L").resize((50, 25), Image.Resampling.LANCZOS)) < 10
    assert len(np.unique(np.asarray(result))) > 20


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(120, 80), (1, 1), (3, 5), (1, 40), (40, 1)])
def test_interlaced_png(render: Render, size: tuple[int, int], dtype: type) -> None:
    scene = pictures.scene(*size)
    pixels: rasters.Samples = np.asarray(scene).astype(dtype) * (257 if dtype is np.uint16 else 1)
    assert pictures.distance(render(rasters.png(pixels, is_interlaced=True), Resize(), size), scene) < 1


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("JPEG", {"progressive": True}),
        ("JPEG", {"progressive": True, "subsampling": 2}),
        ("JPEG", {"subsampling": 0, "restart_marker_blocks": 3}),
        ("GIF", {"interlace": 1}),
        ("GIF", {"interlace": 0}),
        ("TIFF", {"compression": "jpeg"}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate", "big_tiff": True}),
        ("WEBP", {"lossless": True}),
        ("AVIF", {"subsampling": "4:4:4"}),
    ],
)
def test_how_it_was_saved_does_not_show(render: Render, name: str, options: dict[str, object]) -> None:
    data = saved(pictures.scene(160, 120), name, **options)
    shown = Image.open(io.BytesIO(data)).convert("RGB")
    expected = ImageOps.fit(shown, (60, 60), Image.Resampling.LANCZOS)
    assert pictures.distance(render(data, Resize(), (60, 60)).convert("RGB"), expected) < 3


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3)])
def test_thin_and_tiny_pictures(render: Render, name: Format, size: tuple[int, int]) -> None:
    source = Image.new("RGB", size, (200, 80, 60))
    for wanted in ((1, 1), (1, 9), (9, 1), (20, 30)):
        result = render(pictures.encoded(source, name), Resize(if_small="enlarge"), wanted)
        pixels = np.asarray(result.convert("RGB")).astype(int)
        assert np.abs(pixels - (200, 80, 60)).max() <= 6


def huge() -> Image.Image:
    """49 million pixels, quickly made: a small scene enlarged by squares."""
    return pictures.scene(70, 70).resize((7000, 7000), Image.Resampling.NEAREST)


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(lambda: saved(huge(), "JPEG", quality=80, progressive=True, subsampling=0), id="progressive"),
        pytest.param(lambda: rasters.png(np.asarray(huge()), is_interlaced=True), id="interlaced"),
    ],
)
def test_huge_but_legal(render: Render, file: Callable[[], bytes]) -> None:
    data = file()
    assert probe(data[:100_000], Limits(), is_complete=False) == probe(data, Limits(), is_complete=True)
    result = render(data, Resize(), (70, 70))
    assert pictures.distance(result, pictures.scene(70, 70)) < 2
    with pytest.raises(PictureTooLarge, match="frame_pixels = 48999999"):
        render(data, Resize(), (70, 70), limits=Limits(frame_pixels=48_999_999))


@pytest.mark.parametrize(
    ("name", "what"),
    [("JPEG2000", "JPEG 2000"), ("PDF", "PDF"), ("TGA", "known kind")],
)
def test_what_pillow_writes_and_we_cannot_read_is_named(name: str, what: str) -> None:
    data = saved(pictures.scene(40, 30), name)
    with pytest.raises(SourceUnreadable, match=what) as refusal:
        probe(data, Limits(), is_complete=True)
    assert "send JPEG, PNG" in refusal.value.hint
