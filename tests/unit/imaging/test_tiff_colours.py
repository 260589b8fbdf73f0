"""TIFF in each colour model and depth, against the formulas of the specifications."""

import io

import numpy as np
import pytest
from PIL import Image

from imgserve.imaging.worker.probe import probe
from imgserve.spec.limits import Limits
from imgserve.spec.operations import Resize
from tests import profiles, rasters
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
    facts = probe(data, Limits(), is_complete=True)
    assert facts is not None
    assert (facts.width_px, facts.height_px) == (24, 24)
    pixel = render(data, Resize(), (12, 12)).convert("RGBA").getpixel((6, 6))
    assert isinstance(pixel, tuple)
    return pixel


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("coding", ["CIELAB 8", "CIELAB 16", "ICCLAB 8", "ICCLAB 16", "ITULAB 8", "CIELAB float"])
def test_lab(render: Render, coding: str, colour: tuple[float, float, float]) -> None:
    light, a, b = colour
    samples, dtype, photometric = {
        "CIELAB 8": ((light * 2.55, a, b), np.uint8, rasters.LAB),
        "CIELAB 16": ((light * 655.35, a * 256, b * 256), np.uint16, rasters.LAB),
        "ICCLAB 8": ((light * 2.55, a + 128, b + 128), np.uint8, ICCLAB),
        "ICCLAB 16": ((light * 652.8, (a + 128) * 256, (b + 128) * 256), np.uint16, ICCLAB),
        "ITULAB 8": ((light * 2.55, (a + 85) * 1.5, (b + 75) * 1.275), np.uint8, ITULAB),
        "CIELAB float": (colour, np.float32, rasters.LAB),
    }[coding]
    expected = profiles.from_lab(np.array(colour)) * 255
    got = shown(render, flat(samples, dtype, photometric))
    assert got[3] == 255
    assert got[:3] == pytest.approx(tuple(expected), abs=3)


def test_lab_with_alpha(render: Render) -> None:
    expected = profiles.from_lab(np.array((50.0, -30.0, 40.0))) * 255
    got = shown(render, flat((127.5, -30, 40, 255), np.uint8, rasters.LAB, alpha=2))
    assert got == pytest.approx((*expected, 255), abs=3)
    assert shown(render, flat((127.5, -30, 40, 0), np.uint8, rasters.LAB, alpha=2))[3] == 0


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
