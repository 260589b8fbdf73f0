"""A profile is told by what it says: the sRGB profiles of the world in their three spellings, and their neighbours."""

import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from imgserve.imaging.worker import load
from imgserve.imaging.worker.colour import profile
from imgserve.imaging.worker.picture import Picture
from imgserve.request.operations.resize import Resize
from tests.support import pictures, profiles
from tests.unit.imaging.conftest import Render

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PRIMARIES = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141))


def table(points: int, gamma: float | None = None) -> bytes:
    """A ``curv`` tag that samples sRGB's curve, or a power."""
    x = np.linspace(0, 1, points)
    y = np.where(x > 0.04045, ((x + 0.055) / 1.055) ** 2.4, x / 12.92) if gamma is None else x**gamma
    return b"curv\0\0\0\0" + struct.pack(">I", points) + (y * 65535).round().astype(">u2").tobytes()


def formula(*numbers: float) -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HH5i", 3, 0, *(round(number * 65536) for number in numbers))


THE_FORMULA = formula(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


@pytest.mark.parametrize("curve", [table(1024), table(4096), THE_FORMULA])
def test_srgb_in_its_spellings(curve: bytes) -> None:
    assert profile.is_srgb(profiles.matrix(PRIMARIES, curve))


def test_the_profile_of_littlecms() -> None:
    assert profile.is_srgb(SRGB)


@pytest.mark.parametrize(
    "other",
    [
        pictures.wide_gamut_profile(),
        profiles.matrix(PRIMARIES, table(1024, gamma=2.2)),
        profiles.matrix(PRIMARIES, table(2)),
        profiles.matrix(PRIMARIES, formula(2.2, 1, 0, 1, 0)),
        profiles.matrix((PRIMARIES[1], PRIMARIES[0], PRIMARIES[2]), THE_FORMULA),
        SRGB.replace(b"RGB XYZ ", b"RGB Lab "),
        SRGB[:200],
        b"",
        b"nonsense" * 40,
    ],
)
def test_what_is_not(other: bytes) -> None:
    assert not profile.is_srgb(other)


def test_a_picture_that_carries_it_is_left_as_it_is(render: Render) -> None:
    scene = pictures.scene(300, 200)
    data = pictures.encoded(scene, "png", profile=SRGB)
    assert not load.has_profile(Picture(data, "png"))
    result = render(data, Resize(), (300, 200))
    assert pictures.distance(result, scene) < 0.01
    assert "icc_profile" not in result.info
    assert load.has_profile(Picture(pictures.encoded(scene, "png", profile=pictures.wide_gamut_profile()), "png"))


def test_a_grey_picture_with_a_profile_is_no_case_for_this() -> None:
    grey = Image.new("L", (20, 20), 90)
    assert load.has_profile(Picture(pictures.encoded(grey, "jpeg", profile=b"nonsense" * 40), "jpeg"))
