"""flatten, against the formula of W3C Compositing and Blending Level 1, section 5.1."""

import numpy as np
import pytest
from PIL import Image

from imgserve.request.operations.flatten import Flatten
from tests.support import pictures
from tests.support.recipes import carried_out, frames_of


def expected(image: Image.Image, ground: tuple[int, int, int]) -> Image.Image:
    pixels = np.asarray(image.convert("RGBA")).astype(float)
    alpha = pixels[..., 3:] / 255
    return Image.fromarray((pixels[..., :3] * alpha + np.array(ground) * (1 - alpha)).round().astype(np.uint8))


@pytest.mark.parametrize(("background", "ground"), [("#ffffff", (255, 255, 255)), ("#c0107f", (192, 16, 127))])
def test_it_lies_on_its_background(background: str, ground: tuple[int, int, int]) -> None:
    scene = pictures.scene(90, 60, "RGBA")
    result = carried_out(scene, Flatten(background))
    assert result.mode == "RGB"
    assert pictures.distance(result, expected(scene, ground)) < 0.01


def test_grey_stays_grey_on_grey_and_takes_colour_on_colour() -> None:
    scene = pictures.scene(90, 60, "RGBA").convert("LA")
    on_grey, on_red = carried_out(scene, Flatten("#303030")), carried_out(scene, Flatten("#ff0000"))
    assert (on_grey.mode, on_red.mode) == ("L", "RGB")
    assert pictures.distance(on_grey.convert("RGB"), expected(scene, (48, 48, 48))) < 0.01
    assert pictures.distance(on_red, expected(scene, (255, 0, 0))) < 0.01


def test_an_opaque_picture_stays_as_it_is() -> None:
    scene = pictures.scene(90, 60)
    assert pictures.distance(carried_out(scene, Flatten("#000000")), scene) == 0


@pytest.mark.parametrize("name", ["gif", "webp"])
def test_every_frame(name: str) -> None:
    frames = [Image.new("RGBA", (40, 30), (200, 0, number * 90, 255)) for number in range(3)]
    for frame in frames:
        frame.paste((0, 0, 0, 0), (0, 0, 20, 30))
    film = pictures.film(frames, name, [50] * 3, lossless=True)
    shown = frames_of(carried_out(film, Flatten("#00ff00"), output_format=name))  # type: ignore[arg-type]
    assert len(shown) == 3
    for number, pixels in enumerate(shown):
        assert np.abs(pixels[10, 10] - (0, 255, 0, 255)).max() < 8
        assert np.abs(pixels[10, 30] - (200, 0, number * 90, 255)).max() < 8
