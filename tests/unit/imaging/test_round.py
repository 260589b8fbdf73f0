"""round, against shapes that numpy samples 32 times a pixel each way."""

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from imgserve.request.imageinfo import Size
from imgserve.request.operations.round import CORNERS, Corner, Round
from tests.support import pictures
from tests.support.recipes import carried_out, frames_of

Floats = npt.NDArray[np.float64]
SAMPLES = 32


def covered(width: int, height: int, rx: float, ry: float, corners: tuple[Corner, ...] = CORNERS) -> Floats:
    """The share of each pixel within the shape, 0 to 255."""
    y, x = (np.mgrid[: height * SAMPLES, : width * SAMPLES] + 0.5) / SAMPLES
    inside = np.ones(x.shape, bool)
    for corner in corners:
        across = (rx - x if "left" in corner else x - (width - rx)) / rx
        down = (ry - y if "top" in corner else y - (height - ry)) / ry
        inside &= ~((across > 0) & (down > 0) & (across**2 + down**2 > 1))
    share: Floats = inside.reshape(height, SAMPLES, width, SAMPLES).mean(axis=(1, 3)) * 255
    return share


def alpha_of(image: Image.Image) -> Floats:
    return np.asarray(image.getchannel("A")).astype(np.float64)


@pytest.mark.parametrize(
    ("operation", "radii"),
    [
        (Round(radius=12), (12, 12)),
        (Round(radius="25%"), (15, 15)),
        (Round(rx="10%", ry=20), (9, 20)),
        (Round(radius=500), (30, 30)),
        (Round(rx=90, ry=30), (45, 15)),
    ],
)
def test_corners_are_round(operation: Round, radii: tuple[float, float]) -> None:
    scene = pictures.scene(90, 60)
    result = carried_out(scene, operation)
    alpha, expected = alpha_of(result), covered(90, 60, *radii)
    assert result.mode == "RGBA"
    assert pictures.distance(result.convert("RGB"), scene) == 0
    assert np.abs(alpha - expected).mean() < 0.1
    assert np.abs(alpha - expected).max() <= 3.5
    assert ((alpha > 0) & (alpha < 255)).any(), "the edge must be soft"


@pytest.mark.parametrize("corners", [("top_left",), ("top_right", "bottom_left"), ("bottom_left", "bottom_right")])
def test_some_corners(corners: tuple[Corner, ...]) -> None:
    alpha = alpha_of(carried_out(pictures.scene(90, 60), Round(radius=14, corners=corners)))
    assert np.abs(alpha - covered(90, 60, 14, 14, corners)).mean() < 0.1


def test_a_lone_corner_may_have_the_whole_side() -> None:
    assert Round(radius=500, corners=("top_left",)).radii(Size(90, 60)) == (60, 60)
    assert Round(radius=500, corners=("top_left", "bottom_right")).radii(Size(90, 60)) == (60, 60)
    assert Round(radius=500, corners=("top_left", "bottom_left")).radii(Size(90, 60)) == (30, 30)


@pytest.mark.parametrize("size", [(90, 61), (61, 90), (7, 2)])
def test_a_circle_is_in_the_middle(size: tuple[int, int]) -> None:
    width, height = size
    alpha = alpha_of(carried_out(pictures.scene(*size), Round(circle=True)))
    y, x = (np.mgrid[: height * SAMPLES, : width * SAMPLES] + 0.5) / SAMPLES
    side = min(size)
    left, top = (width - side) // 2 + side / 2, (height - side) // 2 + side / 2
    inside = (x - left) ** 2 + (y - top) ** 2 <= (side / 2) ** 2
    expected = inside.reshape(height, SAMPLES, width, SAMPLES).mean(axis=(1, 3)) * 255
    assert np.abs(alpha - expected).max() <= 3.5


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_corners_of_a_colour(mode: str) -> None:
    scene = pictures.scene(90, 60, "RGBA").convert(mode)
    color = (250, 128, 10)
    result = carried_out(scene, Round(radius=14, background="#fa800a"))
    assert result.mode == ("RGBA" if "A" in mode else "RGB")
    inside = covered(90, 60, 14, 14)[..., None] / 255
    before = np.asarray(scene.convert("RGBA")).astype(float)
    after = np.asarray(result.convert("RGBA")).astype(float)
    assert np.abs(after[..., :3] - (before[..., :3] * inside + np.array(color) * (1 - inside))).max() <= 4
    assert np.array_equal(after[..., 3], before[..., 3])


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_multiplied(mode: str) -> None:
    scene = pictures.scene(90, 60, "RGBA").convert(mode)
    result = carried_out(scene, Round(radius=20))
    assert result.mode == mode
    expected = np.asarray(scene.getchannel("A")) * covered(90, 60, 20, 20) / 255
    assert np.abs(alpha_of(result) - expected).mean() < 0.2
    assert np.abs(alpha_of(result) - expected).max() <= 3.5


def test_grey_stays_grey() -> None:
    assert carried_out(pictures.scene(40, 30, "L"), Round(radius=9)).mode == "LA"


def test_a_radius_of_nothing_changes_nothing() -> None:
    assert alpha_of(carried_out(pictures.scene(20, 10), Round(radius=0))).min() == 255


def test_every_frame() -> None:
    frames = [Image.new("RGB", (60, 40), (250, number * 80, 0)) for number in range(3)]
    shown = frames_of(carried_out(pictures.film(frames, "webp", [50] * 3), Round(circle=True), output_format="webp"))
    assert len(shown) == 3
    for frame in shown:
        assert (frame[0, 0, 3], frame[20, 30, 3], frame[39, 59, 3]) == (0, 255, 0)
        assert (frame[..., 3] == shown[0][..., 3]).all()


@pytest.mark.parametrize(
    ("operation", "sentences"),
    [
        (Round(), ["radius: expected one of radius, both rx and ry, or circle"]),
        (Round(radius=3, circle=True), ["radius: expected one of radius, both rx and ry, or circle"]),
        (Round(rx=3), ["ry: expected both rx and ry"]),
        (Round(circle=True, corners=("top_left",)), ["corners: a circle has none, leave it out or use radius"]),
        (Round(radius=3, corners=("top_left",)), []),
        (Round(rx=3, ry=4), []),
    ],
)
def test_fields_that_contradict_each_other(operation: Round, sentences: list[str]) -> None:
    assert [fault.sentence() for fault in operation.faults()] == sentences
