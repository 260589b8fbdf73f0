"""trim: against a model in numpy, over random pictures, and what a viewer expects."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from imgserve.imaging.faults import PictureTooLarge
from imgserve.request.encode import Format
from imgserve.request.geometry import NothingLeft, SourceTooSmall
from imgserve.request.operations.crop import Crop
from imgserve.request.operations.extend import Extend
from imgserve.request.operations.flip import Flip
from imgserve.request.operations.resize import Resize
from imgserve.request.operations.trim import Trim
from tests.support import pictures, rasters
from tests.unit.imaging.conftest import carried_out, frames, opened, picture, pixels


def sheet(mode: str = "RGB", ground: Any = (250, 250, 250), mark: Any = (10, 20, 30)) -> Image.Image:
    """60 x 40, with a mark from 15, 8 to 40, 29."""
    image = Image.new(mode, (60, 40), ground)
    image.paste(mark, (15, 8, 40, 29))
    return image


def model(source: NDArray[np.uint8], operation: Trim) -> tuple[int, int, int, int]:
    """Left, top, right and bottom, pixel by pixel."""
    height, width, _ = source.shape
    compared = on_matte(source, operation.matte)
    at = (0, 0) if operation.corner == "top_left" else (height - 1, width - 1)
    corner = compared[at]
    if operation.median:
        wide = np.pad(compared, ((1, 1), (1, 1), (0, 0)), mode="edge")
        near = [wide[y : y + height, x : x + width] for y in range(3) for x in range(3)]
        compared = np.median(near, axis=0).astype(np.uint8)
    content = differs(compared, corner, operation)
    if min(width, height) < 3 or not content.any():
        return 0, 0, width, height
    columns, rows = np.flatnonzero(content.any(axis=0)), np.flatnonzero(content.any(axis=1))
    left, right, top, bottom = columns[0], width - 1 - columns[-1], rows[0], height - 1 - rows[-1]
    if operation.even_x:
        left = right = min(left, right)
    if operation.even_y:
        top = bottom = min(top, bottom)
    return int(left), int(top), int(width - right), int(height - bottom)


def on_matte(source: NDArray[np.uint8], matte: str | None) -> NDArray[np.uint8]:
    if matte is None or source.shape[2] in (1, 3):
        return source
    colours, alpha = source[:, :, :-1].astype(int), source[:, :, -1:].astype(int)
    ink = np.array([*bytes.fromhex(matte[1:])])[: colours.shape[2]]
    return np.asarray((colours * alpha + ink * (255 - alpha)) // 255, np.uint8)


def differs(source: NDArray[np.uint8], corner: NDArray[np.uint8], operation: Trim) -> NDArray[np.bool]:
    """Whether each pixel is content."""
    height, width, bands = source.shape
    colours = bands if bands in (1, 3) else bands - 1
    alpha = np.full((height, width), 255.0) if colours == bands else source[:, :, -1].astype(float)
    if operation.background == "corner":
        ground, ground_alpha = corner[:colours].astype(float), 255 if colours == bands else int(corner[-1])
    else:
        ink = [*bytes.fromhex(operation.background[1:]), 255][:4]
        ground, ground_alpha = np.array(ink[:3] if colours == 3 else ink[:1], float), ink[3]
    if operation.distance == "euclidean":
        squares = ((source[:, :, :colours] - ground) ** 2).sum(axis=2) + (alpha - ground_alpha) ** 2
        return np.asarray(squares > operation.threshold**2)
    difference = np.abs(source[:, :, :colours] - ground).max(axis=2) * alpha / 255
    return np.asarray((alpha if ground_alpha == 0 else difference) > operation.threshold)


@st.composite
def sparse(draw: st.DrawFn) -> NDArray[np.uint8]:
    """A flat picture with a few marks."""
    height, width, bands = draw(st.integers(1, 12)), draw(st.integers(1, 12)), draw(st.integers(1, 4))
    levels = st.sampled_from([0, 5, 10, 11, 128, 200, 255])
    source = np.empty((height, width, bands), np.uint8)
    source[:] = draw(st.lists(levels, min_size=bands, max_size=bands))
    for _ in range(draw(st.integers(0, 3))):
        y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        source[y, x] = draw(st.lists(levels, min_size=bands, max_size=bands))
    return source


@settings(max_examples=300, deadline=None)
@given(
    source=sparse(),
    operation=st.builds(
        Trim, threshold=st.sampled_from([0.0, 5.0, 10.0, 100.0, 254.5]), even_x=st.booleans(), even_y=st.booleans(),
        background=st.sampled_from(["corner", "#ffffff", "#00000000", "#0a0a0a"]),
        corner=st.sampled_from(["top_left", "bottom_right"]), median=st.booleans(),
        distance=st.sampled_from(["channel", "euclidean"]), matte=st.sampled_from([None, "#ffffff", "#808080"]),
    ),
)  # fmt: skip
def test_as_the_model_says(source: NDArray[np.uint8], operation: Trim) -> None:
    left, top, right, bottom = model(source, operation)
    result = pixels(rasters.png(source), operation)
    assert np.array_equal(result, source[top:bottom, left:right])


def test_a_mark_on_paper() -> None:
    assert picture(pictures.encoded(sheet(), "png"), Trim()).size == (25, 21)
    assert picture(pictures.encoded(sheet(), "png"), Trim(even_x=True)).size == (30, 21)
    assert picture(pictures.encoded(sheet(), "png"), Trim(even_x=True, even_y=True)).size == (30, 24)
    assert picture(pictures.encoded(sheet(), "jpeg"), Trim(threshold=40)).size == (25, 21)


@pytest.mark.parametrize(("corner", "size"), [("top_left", (60, 40)), ("bottom_right", (40, 29))])
def test_the_corner_chooses_the_background(corner: Any, size: tuple[int, int]) -> None:
    image = sheet()
    image.putpixel((0, 0), (250, 0, 250))
    assert picture(pictures.encoded(image, "png"), Trim(corner=corner)).size == size


def test_hidden_colours_are_background() -> None:
    image = sheet("RGBA", (255, 0, 0, 0), (10, 20, 30, 255))
    for x in range(60):
        image.putpixel((x, 2), (x * 4, 200, 10, 0))
    for background in ("corner", "#00000000", "#ff00ff"):
        assert picture(pictures.encoded(image, "png"), Trim(background=background)).size == (25, 21)
    faint = sheet("RGBA", (255, 0, 0, 0), (10, 20, 30, 9))
    assert picture(pictures.encoded(faint, "png"), Trim()).size == (60, 40)
    assert picture(pictures.encoded(faint, "png"), Trim(threshold=8)).size == (25, 21)


def test_a_coloured_matte() -> None:
    """Behind it nothing is transparent: what was hidden is content beside a white corner, and none beside its own."""
    image = sheet("LA", (255, 255), (255, 0))
    data = pictures.encoded(image, "png")
    assert picture(data, Trim()).size == (60, 40)
    assert picture(data, Trim(matte="#ff00ff")).size == (25, 21)
    assert picture(data, Trim(matte="#ff00ff")).mode == "LA"
    assert picture(data, Trim(matte="#ff00ff", background="#ffffff")).size == (25, 21)
    clear = sheet("RGBA", (9, 9, 9, 0), (255, 0, 255, 255))
    assert picture(pictures.encoded(clear, "png"), Trim()).size == (25, 21)
    assert picture(pictures.encoded(clear, "png"), Trim(matte="#ff00ff")).size == (60, 40)


def test_a_median_passes_over_a_thin_line() -> None:
    image = sheet()
    image.paste((0, 0, 0), (3, 0, 4, 40))
    data = pictures.encoded(image, "png")
    assert picture(data, Trim()).size == (37, 40)
    # The median of 3 x 3 takes the corners of the mark away, and no side.
    assert picture(data, Trim(median=True)).size == (25, 21)


def test_the_median_of_a_frame_is_its_own() -> None:
    """A line along an edge counts, since its pixels go on; the next frame, which has none, does not thin it out."""
    shots = [Image.new("RGB", (30, 20), (255, 255, 255)) for _ in range(2)]
    shots[0].paste((0, 0, 0), (0, 19, 30, 20))
    for shot in shots:
        shot.paste((0, 0, 0), (10, 8, 16, 12))
    film = pictures.film(shots, "webp", [40, 50])
    result = frames(carried_out(film, Trim(median=True, background="#ffffff"), output_format="webp"))
    assert [frame.size for frame in result] == [(30, 12)] * 2


def test_the_distance_of_thumbor() -> None:
    image = sheet("RGB", (100, 100, 100), (104, 97, 112))
    for threshold, size in ((13, (60, 40)), (12.9, (25, 21))):
        assert picture(pictures.encoded(image, "png"), Trim(threshold=threshold, distance="euclidean")).size == size
    opposite = pictures.encoded(sheet("RGB", (0, 0, 0), (255, 255, 255)), "png")
    assert picture(opposite, Trim(threshold=441, distance="euclidean")).size == (25, 21)
    assert picture(opposite, Trim(threshold=442, distance="euclidean")).size == (60, 40)
    [fault] = Trim(threshold=256).faults()
    assert fault.sentence() == 'threshold: above 255 it needs distance = "euclidean"'
    assert Trim(threshold=255).faults() == Trim(threshold=256, distance="euclidean").faults() == ()


def test_sixteen_bits_differ_by_ratio() -> None:
    deep = np.full((20, 30, 3), 40_000, np.uint16)
    deep[5:9, 7:12] = 40_000 + 10 * 257
    assert pixels(rasters.png(deep), Trim(threshold=10)).shape == (20, 30, 3)
    assert pixels(rasters.png(deep), Trim(threshold=17.4, distance="euclidean")).shape == (20, 30, 3)
    assert pixels(rasters.png(deep), Trim(threshold=17.3, distance="euclidean")).shape == (4, 5, 3)
    deep[5:9, 7:12] += 1
    assert pixels(rasters.png(deep), Trim(threshold=10)).shape == (4, 5, 3)


@pytest.mark.parametrize("name", ["gif", "webp"])
def test_the_box_that_holds_every_frame(name: Format) -> None:
    shots = []
    for left, top in ((30, 5), (10, 20), (30, 5)):
        shot = Image.new("RGB", (60, 40), (255, 255, 255))
        shot.paste((0, 0, 0), (left, top, left + 8, top + 6))
        shots.append(shot)
    film = pictures.film(shots, name, [40, 50, 60])
    result = frames(carried_out(film, Trim(threshold=60), output_format="gif"))
    assert [frame.size for frame in result] == [(28, 21)] * 3
    for shot, frame in zip(shots, result, strict=True):
        assert pictures.distance(frame.convert("RGB"), shot.crop((10, 5, 38, 26))) < 3


def test_each_step_behind_it_sees_the_pixels() -> None:
    data = pictures.encoded(sheet(), "png")
    assert picture(data, Trim(), Resize(50, if_small="enlarge")).size == (50, 42)
    assert picture(data, Trim(), Extend(left="100%"), Flip()).size == (50, 21)
    assert picture(data, Trim(), Crop(width="50%")).size == (13, 21)
    assert picture(data, Trim(), Resize(100, 100)).size == (25, 21)
    assert picture(data, Trim(), Resize(9, 100, if_small="enlarge")).size == (9, 100)
    assert picture(data, Flip(), Trim(), Trim(), Resize(20, 10, fit="inside")).size == (12, 10)


def test_what_shows_only_in_the_pixels_fails_in_the_worker() -> None:
    data = pictures.encoded(sheet(), "png")
    with pytest.raises(NothingLeft, match="25 x 21 px"):
        carried_out(data, Trim(), Crop(left=30))
    with pytest.raises(SourceTooSmall, match="25 x 21 px"):
        carried_out(data, Trim(), Resize(30, 20, if_small="refuse"))


def test_what_only_seems_to_leave_nothing_is_not_refused() -> None:
    """By the size before the trim, 60 x 40, the resize would give 100 x 67, of which the crop leaves nothing."""
    data = pictures.encoded(sheet(), "png")
    operations = (Trim(), Resize(100, if_small="enlarge"), Crop(top=70))
    assert picture(data, *operations).size == (100, 14)  # of 100 x 84


def test_the_limits_hold_for_what_a_trim_leaves() -> None:
    line = Image.new("RGB", (200, 2000), "white")
    line.paste("black", (100, 0, 101, 2000))
    data = pictures.encoded(line, "png")
    assert opened(carried_out(data, Trim())).size == (1, 2000)
    with pytest.raises(PictureTooLarge, match="output_side_px"):
        carried_out(data, Trim(), Resize(200, if_small="enlarge"))
    with pytest.raises(PictureTooLarge, match="total_pixels"):
        carried_out(data, Trim(), Resize(1500, 1500, if_small="enlarge"))
