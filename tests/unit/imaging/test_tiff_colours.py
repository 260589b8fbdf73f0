"""TIFF in each colour model and depth, against the formulas of the specifications."""

import io

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms

from imgserve.imaging.faults import SourceUnreadable
from imgserve.imaging.worker.probe import probe
from imgserve.request.limits import Limits
from imgserve.request.operations.resize import Resize
from tests.support import profiles, rasters
from tests.unit.imaging.conftest import Render

ICCLAB, ITULAB, YCBCR = 9, 10, 6
COLOURS = [
    (50.0, 0.0, 0.0),
    (0.0, 0.0, 0.0),
    (100.0, 0.0, 0.0),
    (53.7, 0.0, 0.0),
    (50.0, -30.0, 40.0),
    (60.0, 40.0, -40.0),
]


def flat(samples: tuple[float, ...], dtype: type, photometric: int, alpha: int | None = None) -> bytes:
    pixels: rasters.Samples = np.empty((24, 24, len(samples)), dtype)
    pixels[:] = np.array(samples).round().astype(np.int64).astype(dtype)  # two's complement where it is signed
    return rasters.tiff(pixels, photometric, alpha=alpha)


def shown(render: Render, data: bytes) -> tuple[int, ...]:
    info = probe(data, Limits(), is_complete=True)
    assert info is not None
    assert (info.width_px, info.height_px) == (24, 24)
    pixel = render(data, Resize(), (12, 12)).convert("RGBA").getpixel((6, 6))
    assert isinstance(pixel, tuple)
    return pixel


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(
    "coding",
    ["CIELAB 8", "CIELAB 16", "ICCLAB 8", "ICCLAB 16", "ITULAB 8", "ITULAB 16", "CIELAB 8, told to be signed",
     "CIELAB 16, told to be signed", "CIELAB float"],
)  # fmt: skip
def test_lab(render: Render, coding: str, colour: tuple[float, float, float]) -> None:
    light, a, b = colour
    samples, dtype, photometric = {
        "CIELAB 8": ((light * 2.55, a, b), np.uint8, rasters.LAB),
        "CIELAB 16": ((light * 655.35, a * 256, b * 256), np.uint16, rasters.LAB),
        "ICCLAB 8": ((light * 2.55, a + 128, b + 128), np.uint8, ICCLAB),
        "ICCLAB 16": ((light * 652.8, (a + 128) * 256, (b + 128) * 256), np.uint16, ICCLAB),
        "ITULAB 8": ((light * 2.55, a * 1.5 + 128, b * 1.275 + 96), np.uint8, ITULAB),
        "ITULAB 16": ((light * 655.35, a * 65535 / 170 + 32768, b * 65535 / 200 + 24576), np.uint16, ITULAB),
        "CIELAB 8, told to be signed": ((light * 2.55, a, b), np.int8, rasters.LAB),
        "CIELAB 16, told to be signed": ((light * 655.35, a * 256, b * 256), np.int16, rasters.LAB),
        "CIELAB float": (colour, np.float32, rasters.LAB),
    }[coding]
    expected = profiles.from_lab(np.array(colour)) * 255
    got = shown(render, flat(samples, dtype, photometric))
    assert got[3] == 255
    assert got[:3] == pytest.approx(tuple(expected), abs=3)


LAB_COLOUR = (50.0, -30.0, 40.0)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("photometric", [rasters.LAB, ICCLAB, ITULAB])
def test_lab_with_alpha(render: Render, photometric: int, bits: int) -> None:
    step = 256 if bits == 16 else 1
    whole = 2**bits - 1
    samples = {
        rasters.LAB: (whole / 2, -30 * step, 40 * step),
        ICCLAB: (127.5 * step, 98 * step, 168 * step),
        ITULAB: (whole / 2, 128 * step - 30 * whole / 170, 96 * step + 40 * whole / 200),
    }[photometric]
    dtype = np.uint16 if bits == 16 else np.uint8
    expected = profiles.from_lab(np.array(LAB_COLOUR)) * 255
    for share in (1.0, 0.5, 0.0):
        got = shown(render, flat((*samples, whole * share), dtype, photometric, alpha=2))
        assert got[3] == pytest.approx(255 * share, abs=1)
        assert not got[3] or got[:3] == pytest.approx(tuple(expected), abs=3)
    with_spare = flat((*samples, whole, whole / 3), dtype, photometric, alpha=2)
    assert shown(render, with_spare) == pytest.approx((*expected, 255), abs=3)


@pytest.mark.parametrize("light", [0.0, 20.0, 50.2, 100.0])
@pytest.mark.parametrize("coding", ["CIELAB 8", "CIELAB 16", "ICCLAB 8", "ICCLAB 16", "ITULAB 8", "CIELAB float"])
def test_lightness_alone(render: Render, coding: str, light: float) -> None:
    """TIFF 6.0, section 23: of one sample it is L*, which is no grey of sRGB's."""
    value, dtype, photometric = {
        "CIELAB 8": (light * 2.55, np.uint8, rasters.LAB),
        "CIELAB 16": (light * 655.35, np.uint16, rasters.LAB),
        "ICCLAB 8": (light * 2.55, np.uint8, ICCLAB),
        "ICCLAB 16": (light * 652.8, np.uint16, ICCLAB),
        "ITULAB 8": (light * 2.55, np.uint8, ITULAB),
        "CIELAB float": (light, np.float32, rasters.LAB),
    }[coding]
    grey = profiles.from_lab(np.array((light, 0.0, 0.0)))[0] * 255
    data = flat((value,), dtype, photometric)
    assert shown(render, data) == pytest.approx((grey, grey, grey, 255), abs=2)
    assert render(data, Resize(), (12, 12)).mode == "L"
    if dtype is not np.float32:
        half = 32768 if dtype is np.uint16 else 128
        assert shown(render, flat((value, half), dtype, photometric, alpha=2)) == pytest.approx(
            (grey, grey, grey, 128), abs=2
        )


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize(
    ("photometric", "kind"), [(rasters.LAB, np.uint32), (ICCLAB, np.float32), (ITULAB, np.float32), (ICCLAB, np.uint32)]
)
def test_lab_in_samples_that_no_rule_is_for(render: Render, photometric: int, kind: type, bands: int) -> None:
    for use in (shown, lambda render, data: render(data, Resize(), (12, 12))):
        with pytest.raises(SourceUnreadable, match="samples are of the kind"):
            use(render, flat((50.0,) * bands, kind, photometric))


def test_lab_as_libvips_and_pillow_write_it(render: Render) -> None:
    colour = (120, 160, 120)
    image = pyvips.Image.black(24, 24, bands=3) + list(colour)
    for space in ("lab", "labs", "labq"):
        data = image.cast("uchar").copy(interpretation="srgb").colourspace(space).tiffsave_buffer()
        assert shown(render, data) == pytest.approx((*colour, 255), abs=4)  # its white is D65
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    out = io.BytesIO()
    lab = ImageCms.applyTransform(Image.new("RGB", (24, 24), colour), to_lab)
    assert lab is not None
    lab.save(out, "TIFF")
    assert shown(render, out.getvalue()) == pytest.approx((*colour, 255), abs=2)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "jpeg"])
@pytest.mark.parametrize("colour", [(200, 100, 50), (0, 0, 255), (17, 250, 3), (128, 128, 128)])
def test_ycbcr(render: Render, compression: str | None, colour: tuple[int, int, int]) -> None:
    out = io.BytesIO()
    Image.new("RGB", (24, 24), colour).convert("YCbCr").save(out, "TIFF", compression=compression)
    assert shown(render, out.getvalue()) == pytest.approx((*colour, 255), abs=3)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("1", (24, 24), 1), (255, 255, 255)),
        (Image.new("L", (24, 24), 77), (77, 77, 77)),
        (Image.new("I;16", (24, 24), 30_000), (117, 117, 117)),
        (Image.new("RGB", (24, 24), (200, 100, 50)), (200, 100, 50)),
        (Image.new("RGB", (24, 24), (200, 100, 50)).quantize(2), (200, 100, 50)),
        (Image.new("L", (24, 24), 77).quantize(2), (77, 77, 77)),
    ],
    ids=["bits", "grey", "grey of 16 bits", "RGB", "palette", "grey palette"],
)
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_other_models(render: Render, image: Image.Image, expected: tuple[int, ...], compression: str | None) -> None:
    out = io.BytesIO()
    image.save(out, "TIFF", compression=compression)
    assert shown(render, out.getvalue()) == pytest.approx((*expected, 255), abs=1)


def test_grey_where_white_is_zero(render: Render) -> None:
    assert shown(render, flat((55,), np.uint8, rasters.WHITE_IS_ZERO)) == pytest.approx((200, 200, 200, 255), abs=1)
    assert shown(render, flat((55 * 257,), np.uint16, rasters.WHITE_IS_ZERO))[0] == pytest.approx(200, abs=1)
