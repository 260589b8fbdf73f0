"""Recipes of several operations, against Pillow doing the same one after the other."""

import contextlib
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from imgserve.blob import Blob
from imgserve.imaging.faults import PictureTooLarge, RenderFailed, SourceUnreadable
from imgserve.imaging.worker import pipeline
from imgserve.imaging.worker.steps.table import STEPS
from imgserve.request.encode import Encode, Format
from imgserve.request.geometry import Focal, NothingLeft
from imgserve.request.imageinfo import Size
from imgserve.request.limits import Limits
from imgserve.request.operations.blur import Blur
from imgserve.request.operations.composite import Composite
from imgserve.request.operations.crop import Crop
from imgserve.request.operations.extend import Extend
from imgserve.request.operations.flatten import Flatten
from imgserve.request.operations.flip import Flip
from imgserve.request.operations.flop import Flop
from imgserve.request.operations.grayscale import Grayscale
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from imgserve.request.operations.rotate import Rotate
from imgserve.request.operations.trim import Trim
from imgserve.request.recipe import Operation, Recipe
from imgserve.request.rendering import Rendering
from tests.support import pictures, rasters
from tests.unit.imaging.conftest import carried_out, opened

WIDE, LOW = Resize(width=300, height=60, gravity="north"), Resize(width=50, height=60, gravity="east")


def rendered(
    data: bytes,
    *operations: Operation,
    size: tuple[int, int],
    output_format: Format = "png",
    limits: Limits | None = None,
) -> Image.Image:
    task = Rendering(Recipe(operations, Encode(format=output_format)), Size(*size), output_format)
    with Blob() as result:
        written = pipeline.render(data, task, limits or Limits(), result.fd)
        assert (written.size, written.format) == (task.size, output_format)
        with open(f"/proc/self/fd/{result.fd}", "rb") as file:
            return opened(file.read())


def fitted(image: Image.Image, size: tuple[int, int], centering: tuple[float, float] = (0.5, 0.5)) -> Image.Image:
    return ImageOps.fit(image, size, Image.Resampling.LANCZOS, centering=centering)


@pytest.mark.parametrize("source", ["jpeg", "png", "webp", "gif", "tiff", "avif"])
@pytest.mark.parametrize("output", ["jpeg", "png", "webp"])
def test_two_resizes_cut_one_after_the_other(source: Format, output: Format) -> None:
    """Sky first, then the right end of it: no single resize gives this part."""
    scene = pictures.scene(640, 480)
    result = rendered(pictures.encoded(scene, source), WIDE, LOW, size=(50, 60), output_format=output)
    expected = fitted(fitted(scene, (300, 60), (0.5, 0.0)), (50, 60), (1.0, 0.5))
    assert result.size == (50, 60)
    assert pictures.distance(result.convert("RGB"), expected) < 8
    assert pictures.distance(expected, fitted(scene, (50, 60), (1.0, 0.0))) > 16, "the first one must matter"


@pytest.mark.parametrize("orientation", pictures.ORIENTATIONS)
def test_the_picture_is_upright_from_the_first_operation_on(orientation: int) -> None:
    upright = pictures.scene(400, 300)
    result = rendered(pictures.oriented_jpeg(upright, orientation), WIDE, LOW, size=(50, 60))
    assert pictures.distance(result, fitted(fitted(upright, (300, 60), (0.5, 0.0)), (50, 60), (1.0, 0.5))) < 4


def test_small_and_large_again_is_soft() -> None:
    """The pixels go through the small size: nothing is put together into one resize."""
    scene = pictures.detailed(300, 300)
    small, large = Resize(width=10), Resize(width=200, if_small="enlarge")
    result = rendered(pictures.encoded(scene, "png"), small, large, size=(200, 200))
    sharp = rendered(pictures.encoded(scene, "png"), large, size=(200, 200))
    step = np.abs(np.diff(np.asarray(result).astype(int), axis=1)).max()
    assert step * 2 < np.abs(np.diff(np.asarray(sharp).astype(int), axis=1)).max()


def test_transparency_goes_through() -> None:
    scene = pictures.scene(256, 128, "RGBA")
    operations = (Resize(width=128, height=64), Resize(width=32, height=32, gravity="east"))
    result = rendered(pictures.encoded(scene, "png"), *operations, size=(32, 32))
    expected = fitted(fitted(scene, (128, 64)), (32, 32), (1.0, 0.5))
    difference = np.asarray(result.getchannel("A")).astype(int) - np.asarray(expected.getchannel("A"))
    assert np.abs(difference).mean() < 3


@pytest.mark.parametrize("name", ["gif", "webp"])
@pytest.mark.parametrize("gravity", ["east", "attention"])
def test_every_frame_goes_through_all_operations(name: Format, gravity: str) -> None:
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    frames = []
    for number, colour in enumerate(colours):
        frame = Image.new("RGB", (120, 80), (90, 90, 90))
        frame.paste(colour, (90, 20, 110, 60))
        frame.putpixel((0, 0), (number, 0, 0))
        frames.append(frame)
    film = pictures.film(frames, name, [70, 90, 110])
    operations = (Resize(width=60, height=40), Resize(width=20, height=40, gravity=gravity))  # type: ignore[arg-type]
    result = rendered(film, *operations, size=(20, 40), output_format=name)
    assert getattr(result, "n_frames", 1) == 3
    lefts = []
    for number, colour in enumerate(colours):
        result.seek(number)
        shown = np.asarray(result.convert("RGB")).astype(int)
        assert result.info["duration"] == [70, 90, 110][number]
        assert shown.shape == (40, 20, 3)
        hits = np.abs(shown - colour).sum(axis=2) < 120
        assert hits.any(), number
        lefts.append(int(np.flatnonzero(hits.any(axis=0))[0]))
    assert max(lefts) - min(lefts) <= 1, "one place for all frames"


@pytest.mark.parametrize("first", [Rasterize(width=80, height=40), Resize(width=80, height=40)])
def test_an_svg_is_drawn_once_and_is_pixels_from_then_on(first: Operation) -> None:
    data = pictures.svg('<rect width="10" height="20" fill="red"/><rect x="30" width="10" height="20" fill="lime"/>')
    result = rendered(data, first, Resize(width=40, height=40, gravity="west"), size=(40, 40))
    pixels = np.asarray(result.convert("RGBA"))
    assert (pixels[:, :19, 0].min(), pixels[:, 21:, 3].max()) == (255, 0)


def test_a_source_that_has_become_smaller_keeps_the_promise() -> None:
    """The last size is promised; those before it are what the source now gives."""
    scene = pictures.scene(50, 40)
    result = rendered(pictures.encoded(scene, "jpeg"), Resize(width=100), Resize(width=60), size=(60, 45))
    assert pictures.distance(result, fitted(scene, (60, 45))) < 6


@pytest.mark.parametrize(
    ("limits", "name"),
    [(Limits(output_pixels=39_999), "output_pixels"), (Limits(output_side_px=199), "output_side_px")],
)
def test_limits_hold_for_every_picture_on_the_way(limits: Limits, name: str) -> None:
    data = pictures.encoded(pictures.scene(100, 100), "png")
    operations = (Resize(width=200, height=200, if_small="enlarge"), Resize(width=10))
    assert rendered(data, *operations, size=(10, 10)).size == (10, 10)
    with pytest.raises(PictureTooLarge, match=name):
        rendered(data, *operations, size=(10, 10), limits=limits)


def test_a_narrow_picture_on_the_way_is_not_blown_up() -> None:
    data = pictures.encoded(pictures.scene(1, 4000), "png")
    operations = (Resize(width=1, height=4000), Resize(width=3000, height=2000, if_small="enlarge"))
    with pytest.raises(PictureTooLarge, match="a picture of 1 x 4000 pixels would have to be enlarged"):
        rendered(data, *operations, size=(3000, 2000))


def test_frames_on_the_way_count_together() -> None:
    film = pictures.animation(5)
    operations = (Resize(width=160, height=120, if_small="enlarge"), Resize(width=10))
    assert rendered(film, *operations, size=(10, 8), output_format="gif").size == (10, 8)
    with pytest.raises(PictureTooLarge, match="160 x 120 pixels in 5 frames"):
        rendered(film, *operations, size=(10, 8), output_format="gif", limits=Limits(output_pixels=95_999))


def test_a_cut_off_source_is_refused_behind_several_operations_too() -> None:
    data = pictures.encoded(pictures.detailed(300, 200), "png")
    assert rendered(data, WIDE, LOW, size=(50, 60)).size == (50, 60)
    with pytest.raises(SourceUnreadable):
        rendered(data[: len(data) // 2], WIDE, LOW, size=(50, 60))


def test_a_rasterize_behind_another_operation_never_draws() -> None:
    with pytest.raises(RenderFailed, match="behind another operation"):
        rendered(pictures.svg(""), Resize(width=20), Rasterize(width=10), size=(10, 5))


def test_every_operation_has_a_step() -> None:
    """But rasterize, which draws the source, and composite, which takes a further picture."""
    assert set(STEPS) == set(get_args(Operation)) - {Rasterize, Composite}


ANY: list[Operation] = [
    Crop(left=3, top="20%", width="60%"), Crop(aspect="3:2", gravity="attention"), Crop(width=9, focal=Focal(0.9, 0.1)),
    Extend(left=4, bottom="50%", background="#204080"), Extend(width=40, height=40, mode="blur"),
    Extend(top=3, background="mean"), Extend(right="120%", mode="mirror"), Flip(), Flop(), Rotate(90), Rotate(-33.3),
    Rotate(10, "#ffffff"), Trim(), Trim(threshold=0, background="#00000000", even_x=True),
    Resize(20, 30, if_small="enlarge"), Resize(25, 15, fit="contain"), Resize(45, 9, fit="fill", if_small="keep_shape"),
    Resize(30, fit="inside", if_small="enlarge"), Resize(30, 30, fit="outside"), Resize(11, kernel="nearest"),
    Resize(17, 17, linear_light=True, dpr=1.5), Resize(12, 12, gravity="entropy"), Blur(2.0), Grayscale(), Flatten(),
]  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(
    kind=st.sampled_from(["8 bits", "16 bits", "film", "drawing"]),
    bands=st.integers(1, 4),
    sides=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    operations=st.lists(st.sampled_from(ANY), min_size=1, max_size=5),
    output_format=st.sampled_from(["png", "jpeg", "gif"]),
)
def test_any_recipe_keeps_its_promise(
    kind: str, bands: int, sides: tuple[int, int], operations: list[Operation], output_format: Format
) -> None:
    """The size that the header tells is the one that the pixels come to: ``carried_out`` compares them."""
    width, height = sides
    scene = pictures.scene(width, height)
    samples = np.random.default_rng(width).integers(0, 256, (height, width, bands), dtype=np.uint8)
    data = {
        "8 bits": lambda: rasters.png(samples),
        "16 bits": lambda: rasters.png(samples.astype(np.uint16) * 257),
        "film": lambda: pictures.film([scene, scene.transpose(Image.Transpose.FLIP_TOP_BOTTOM)], "gif", [40, 40]),
        "drawing": lambda: pictures.svg('<rect width="9" height="9"/>', f'width="{width}.5" height="{height}"'),
    }[kind]()
    with contextlib.suppress(NothingLeft):
        carried_out(data, *operations, output_format=output_format)
