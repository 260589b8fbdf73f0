"""redact: what is hidden cannot be seen, against Pillow and numpy."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from imgserve.request.geometry import Length
from imgserve.request.imageinfo import Size
from imgserve.request.operations.redact import Box, Redact, Region
from tests.support import pictures
from tests.support.recipes import carried_out, frames_of

Floats = npt.NDArray[np.float64]
PLATE = Region(60, 40, 96, 48)
BOX = np.s_[40:88, 60:156]


def plate(ink: tuple[int, ...], mode: str = "RGB") -> Image.Image:
    """Stripes of three pixels that no viewer of the result may tell from others."""
    image = pictures.scene(240, 160).convert(mode)
    draw = ImageDraw.Draw(image)
    for x in range(60, 156, 6):
        draw.rectangle((x, 40, x + 2, 87), fill=ink)
    return image


def pixels(image: Image.Image) -> Floats:
    return np.asarray(image).astype(np.float64)


def outside(image: Image.Image) -> Floats:
    rest = pixels(image)
    rest[BOX] = 0
    return rest


@pytest.mark.parametrize("mode", ["blur", "pixelate", "color"])
def test_only_the_region_changes(mode: str) -> None:
    image = plate((255, 255, 255))
    result = carried_out(image, Redact((PLATE,), mode))  # type: ignore[arg-type]
    assert (outside(result) == outside(image)).all()
    across = np.abs(np.diff(pixels(result)[BOX], axis=1))
    assert across.max() < (6 if mode == "blur" else 256)
    changes = (across.max(axis=(0, 2)) > 0).sum()
    assert {"blur": changes > 10, "pixelate": 0 < changes <= 7, "color": changes == 0}[mode]


def test_blur_is_a_gaussian_of_an_eighth() -> None:
    image = plate((255, 255, 255))
    alone = image.crop((60, 40, 156, 88)).filter(ImageFilter.GaussianBlur(96 / 8))
    result = carried_out(image, Redact((PLATE,)))
    assert np.abs(pixels(result)[BOX] - pixels(alone)).mean() < 3
    assert np.abs(pixels(result)[BOX] - pixels(image)[BOX]).mean() > 20


def test_cells_are_means_of_squares() -> None:
    image = plate((255, 255, 255))
    cells = pixels(image)[BOX].reshape(4, 12, 8, 12, 3).mean(axis=(1, 3))
    expected = np.kron(cells, np.ones((12, 12, 1)))
    assert np.abs(pixels(carried_out(image, Redact((PLATE,), "pixelate")))[BOX] - expected).max() <= 0.51


@pytest.mark.parametrize(("color", "expected"), [(None, (0, 0, 0)), ("#ff8000", (255, 128, 0))])
def test_color_fills(color: str | None, expected: tuple[int, ...]) -> None:
    result = carried_out(plate((255, 255, 255)), Redact((PLATE,), "color", color))
    assert (pixels(result)[BOX] == expected).all()


def test_color_may_cut_a_hole_and_make_grey_coloured() -> None:
    hole = carried_out(plate((255,), "L"), Redact((PLATE,), "color", "#00000000"))
    red = carried_out(plate((255,), "L"), Redact((PLATE,), "color", "#ff0000"))
    assert (hole.mode, red.mode) == ("LA", "RGB")
    assert (pixels(hole)[BOX] == (0, 0)).all()
    assert (pixels(red)[BOX] == (255, 0, 0)).all()


@pytest.mark.parametrize("mode", ["blur", "pixelate"])
@pytest.mark.parametrize("samples", ["RGB", "L", "RGBA", "LA"])
def test_what_is_hidden_leaves_no_trace(mode: str, samples: str) -> None:
    """Two texts whose blocks of 3 x 3 have equal means: their detail is gone, in colours and alpha."""
    first = pixels(pictures.scene(240, 160).convert(samples))
    first[BOX] = 0
    second = first.copy()
    first[40:88, 60:156:3] = 255
    second[40:88, 62:156:3] = 255
    results = [
        pixels(carried_out(Image.fromarray(image.astype(np.uint8), samples), Redact((PLATE,), mode)))  # type: ignore[arg-type]
        for image in (first, second)
    ]
    assert np.abs(results[0] - results[1]).max() <= 1


@pytest.mark.parametrize("mode", ["blur", "pixelate"])
def test_colours_under_full_transparency_are_gone(mode: str) -> None:
    invisible = plate((255, 0, 0, 0), "RGBA")
    hidden = pixels(carried_out(invisible, Redact((PLATE,), mode)))[BOX]  # type: ignore[arg-type]
    clean = pixels(carried_out(plate((0, 0, 255, 0), "RGBA"), Redact((PLATE,), mode)))[BOX]  # type: ignore[arg-type]
    assert (hidden == clean).all()


def test_regions_follow_each_other_and_hang_over() -> None:
    image = plate((255, 255, 255))
    regions = (
        Region(200, 130, 500, 500),
        Region("90%", "0%", "50%", "10%"),
        Region(240, 0, 5, 5),
        Region(0, 0, 10, 10),
    )
    result = pixels(carried_out(image, Redact(regions, "color")))
    black = np.zeros((160, 240), bool)
    black[130:, 200:] = black[:16, 216:] = black[:10, :10] = True
    assert (result[black] == 0).all()
    assert (result[~black] == pixels(image)[~black]).all()
    assert (pixels(carried_out(image, Redact((Region(300, 300, 9, 9),)))) == pixels(image)).all()


@pytest.mark.parametrize("mode", ["blur", "pixelate"])
def test_a_corner_of_a_large_region_is_hidden_as_a_part_of_it(mode: str) -> None:
    image = plate((255, 255, 255))
    result = carried_out(image, Redact((Region(140, 70, "9999%", "9999%"),), mode))  # type: ignore[arg-type]
    assert np.abs(np.diff(pixels(result)[72:, 142:, :], axis=1)).max() < 50


def test_16_bits_stay_16() -> None:
    values = np.full((80, 80), 30_001, np.uint16)
    values[20:52, 20:52:4] = 31_001
    data = pictures.encoded(Image.fromarray(values), "png")
    result = pixels(carried_out(data, Redact((Region(20, 20, 32, 32),), "pixelate"), bits=16))
    assert (result[20:52, 20:52] == 30_251).all()
    assert (result[:20] == 30_001).all()


@pytest.mark.parametrize("mode", ["blur", "pixelate", "color"])
def test_every_frame(mode: str) -> None:
    frames = [plate((255, 255, 255)).crop((0, 0, 200, 120)) for _ in range(3)]
    for number, frame in enumerate(frames):
        frame.paste((0, 0, 80 * number), (0, 0, 50, 30))
    film = pictures.film(frames, "webp", [50] * 3, lossless=True)
    shown = frames_of(carried_out(film, Redact((PLATE,), mode), output_format="webp"))  # type: ignore[arg-type]
    assert len(shown) == 3
    for image in shown:
        assert np.abs(np.diff(image[64, 60:156, 0])).max() < 40


@given(
    size=st.tuples(st.integers(1, 500), st.integers(1, 500)),
    sides=st.tuples(*[st.integers(0, 16_384) | st.floats(0, 9999).map(lambda part: f"{part:.4f}%")] * 4),
)
def test_a_region_lies_within_its_picture(size: tuple[int, int], sides: tuple[Length, Length, Length, Length]) -> None:
    box = Region(*sides).within(Size(*size))
    if box is not None:
        assert min(box) >= 0
        assert min(box.width, box.height) >= 1
        assert box.left + box.width <= size[0]
        assert box.top + box.height <= size[1]


def test_lengths_of_a_region_are_of_its_own_side() -> None:
    assert Region("50%", "50%", "25%", 0).within(Size(200, 100)) == Box(100, 50, 50, 1)


def test_color_belongs_to_its_mode() -> None:
    (fault,) = Redact((PLATE,), "blur", "#ffffff").faults()
    assert fault.sentence() == 'color: belongs to mode = "color"'
    assert not Redact((PLATE,), "color", "#ffffff").faults()
