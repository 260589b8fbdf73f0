"""crop, flip and flop: exactly these pixels, by numpy's slices."""

import io

import numpy as np
import pytest
from PIL import Image

from imgserve.blob import Blob
from imgserve.imaging.worker import pipeline
from imgserve.request.encode import Encode, Format
from imgserve.request.faults import RequestInvalid
from imgserve.request.geometry import Focal, NothingLeft
from imgserve.request.imageinfo import Size
from imgserve.request.limits import Limits
from imgserve.request.operations.crop import Crop
from imgserve.request.operations.flip import Flip
from imgserve.request.operations.flop import Flop
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Operation, Recipe
from imgserve.request.rendering import Rendering
from tests.support import pictures, rasters
from tests.unit.imaging.conftest import carried_out, frames, opened, picture, pixels

NOISE = np.random.default_rng(11).integers(0, 256, (37, 53, 4), dtype=np.uint8)
RGB = NOISE[:, :, :3]
PNG = rasters.png(RGB)


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (Crop(left=5, top=7, width=20, height=11), lambda p: p[7:18, 5:25]),
        (Crop(left=40, top=30, width=20, height=11), lambda p: p[30:, 40:]),
        (Crop(left="50%"), lambda p: p[:, 27:]),  # 26.5, half up
        (Crop(width="10%", height=36), lambda p: p[:36, :5]),
        (Crop(width=10, height=10, gravity="southeast"), lambda p: p[27:, 43:]),
        (Crop(width=10, height=10, gravity="center"), lambda p: p[13:23, 21:31]),
        (Crop(width=10, focal=Focal(0.25, 0.9)), lambda p: p[:, 8:18]),  # 13.25 - 5, half up
        (Crop(aspect="1:1"), lambda p: p[:, 8:45]),
        (Crop(aspect="2:1", gravity="north"), lambda p: p[:27]),  # 26.5, half up
        (Flip(), lambda p: p[::-1]),
        (Flop(), lambda p: p[:, ::-1]),
    ],
    ids=lambda value: str(value) if isinstance(value, Crop | Flip | Flop) else "",
)
def test_exactly_these_pixels(operation: Operation, expected, bands: int) -> None:  # type: ignore[no-untyped-def]
    source = NOISE[:, :, :bands]
    assert np.array_equal(pixels(rasters.png(source), operation), expected(source))


@pytest.mark.parametrize("source", ["png", "tiff", "gif", "webp", "jpeg"])
def test_of_each_format_after_and_before_others(source: Format) -> None:
    image = pictures.detailed(90, 60).quantize(64).convert("RGB")
    data = pictures.encoded(image, source)
    shown = np.asarray(opened(data).convert("RGB"))
    result = pixels(data, Flip(), Crop(left=10, top=5, width=40, height=30), Flop())
    difference = np.abs(result.astype(int) - shown[::-1][5:35, 10:50][:, ::-1])
    assert difference.mean() < 1  # decoders of JPEG differ by a level


@pytest.mark.parametrize("orientation", pictures.ORIENTATIONS)
def test_of_the_upright_picture(orientation: int) -> None:
    upright = pictures.scene(80, 50)
    for name in ("png", "jpeg"):
        result = picture(pictures.oriented(upright, orientation, name), Crop(left=40, top=10, width=30, height=30))
        assert pictures.distance(result, upright.crop((40, 10, 70, 40))) < 1


def test_sixteen_bits_keep_their_tones_until_the_end() -> None:
    """Of 257 and 16 bits a level is a 257th of an 8-bit one: rounded once, at the end."""
    deep = np.arange(0, 65536, 5, dtype=np.uint16)[: 100 * 130].reshape(100, 130, 1)
    result = pixels(rasters.png(deep), Crop(left=3, top=4), Flop())
    assert np.array_equal(result, np.round(deep[4:, 3:][:, ::-1] / 257).astype(np.uint8))


@pytest.mark.parametrize("name", ["gif", "webp"])
def test_each_frame_alone_at_the_same_place(name: Format) -> None:
    shots = [Image.fromarray(np.roll(RGB, n, 1) // 32 * 32).quantize(200).convert("RGB") for n in range(3)]
    options = {"lossless": True} if name == "webp" else {}
    film = pictures.film(shots, name, [40, 50, 60], **options)
    before = frames(film)
    for operation, box in ((Crop(left=9, top=2, width=30, height=20), None), (Flip(), 0), (Flop(), 1)):
        result = carried_out(film, operation, output_format="gif")
        assert len(frames(result)) == 3
        for was, now in zip(before, frames(result), strict=True):
            expected = was.crop((9, 2, 39, 22)) if box is None else was.transpose(Image.Transpose(1 - box))
            assert pictures.distance(now.convert("RGB"), expected.convert("RGB")) < 3  # the palette of a GIF
        assert Image.open(io.BytesIO(result)).info["duration"] == 40


@pytest.mark.parametrize("place", ["attention", "entropy"])
def test_the_content_of_the_first_frame_chooses_the_place(place: str) -> None:
    shots = []
    for at in (60, 5):
        shot = Image.new("RGB", (100, 40), (90, 90, 90))
        shot.paste(Image.fromarray(RGB[:30, :30]).quantize(60).convert("RGB"), (at, 5))
        shots.append(shot)
    operation = Crop(width=40, height=40, gravity=place)  # type: ignore[arg-type]
    still = np.asarray(picture(pictures.encoded(shots[0], "png"), operation).convert("RGB"))
    film = frames(carried_out(pictures.film(shots, "gif", [50, 50]), operation, output_format="gif"))
    assert still.std() > 30
    assert np.asarray(film[0].convert("RGB")).std() > 30
    assert np.asarray(film[1].convert("RGB")).std() < 10, "the second frame's content is elsewhere"


@pytest.mark.parametrize("operation", [Crop(left=53, width=5), Crop(top="100%"), Crop(left=60, top=90)])
def test_nothing_left_is_refused_before_the_work(operation: Crop) -> None:
    with pytest.raises(NothingLeft, match="53 x 37 px"):
        carried_out(PNG, operation)


def test_nothing_left_of_a_source_that_has_become_smaller() -> None:
    task = Rendering(Recipe((Crop(left=100),), Encode(format="png")), Size(10, 37), "png")
    with Blob() as result, pytest.raises(NothingLeft):
        pipeline.render(PNG, task, Limits(), result.fd)


def test_an_svg_is_drawn_and_then_cut() -> None:
    data = pictures.svg('<rect width="20" height="20" fill="red"/>', 'width="40.5" height="20" viewBox="0 0 40.5 20"')
    result = np.asarray(picture(data, Crop(left=10)).convert("RGBA"))
    assert result.shape == (20, 31, 4)  # 40.5, half up, less 10
    assert (result[:, :9, 0].min(), result[:, 12:, 3].max()) == (255, 0)


def test_a_still_of_another_height_is_one_picture() -> None:
    """A saver takes a picture that is twice a page's height for two frames."""
    data = pictures.encoded(Image.fromarray(RGB), "gif")
    enlarged = picture(data, Resize(height=74, if_small="enlarge"), output_format="gif")
    assert (enlarged.size, getattr(enlarged, "n_frames", 1)) == ((106, 74), 1)


@pytest.mark.parametrize(
    ("operation", "names"),
    [
        (Crop(), ["width"]),
        (Crop(gravity="north"), ["width"]),
        (Crop(width=5, gravity="north", focal=Focal(0, 0)), ["focal"]),
        (Crop(width=5, left=1, gravity="north"), ["gravity"]),
        (Crop(aspect="1:1", width=3), ["aspect"]),
        (Crop(aspect="1:0"), ["aspect"]),
    ],
)
def test_fields_that_contradict_each_other(operation: Crop, names: list[str]) -> None:
    with pytest.raises(RequestInvalid) as caught:
        carried_out(PNG, operation)
    assert [fault.path for fault in caught.value.faults] == [(0, name) for name in names]
