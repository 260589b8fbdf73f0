"""Animated GIF and WebP: frames, delays, loops and disposal after a resize, against Pillow working frame by frame."""

import io
from typing import get_args

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageDraw, ImageOps

from imgserve.imaging.faults import PictureTooLarge
from imgserve.imaging.worker.probe import probe
from imgserve.request.encode import Format
from imgserve.request.geometry import Gravity
from imgserve.request.imageinfo import ImageInfo, SourceFormat
from imgserve.request.limits import Limits
from imgserve.request.operations.resize import Resize
from tests.support import pictures
from tests.unit.imaging.conftest import Render, opened, render_bytes

FORMATS: tuple[Format, ...] = get_args(Format)
MOVING: tuple[Format, ...] = ("gif", "webp")
STILL: tuple[Format, ...] = ("jpeg", "png", "tiff", "avif")
DELAYS_MS = [50, 120, 70, 200]


def walk(width: int = 120, height: int = 80, frames: int = 4) -> list[Image.Image]:
    """A scene that moves to the right: each frame differs from the one before nearly everywhere."""
    scene = np.asarray(pictures.scene(width, height))
    return [Image.fromarray(np.roll(scene, n * width // frames, axis=1)) for n in range(frames)]


def shown(data: bytes) -> list[Image.Image]:
    """Each frame as a viewer shows it."""
    film = Image.open(io.BytesIO(data))
    frames = []
    for n in range(getattr(film, "n_frames", 1)):
        film.seek(n)
        frames.append(film.convert("RGBA"))
    return frames


def delays_ms(data: bytes) -> list[int]:
    film = Image.open(io.BytesIO(data))
    delays = []
    for n in range(getattr(film, "n_frames", 1)):
        film.seek(n)
        film.load()
        delays.append(int(film.info.get("duration", 0)))
    return delays


def fitted(image: Image.Image, size: tuple[int, int], centering: tuple[float, float] = (0.5, 0.5)) -> Image.Image:
    return ImageOps.fit(image.convert("RGB"), size, Image.Resampling.LANCZOS, centering=centering)


@pytest.mark.parametrize("source", MOVING)
@pytest.mark.parametrize("output", MOVING)
@pytest.mark.parametrize("size", [(60, 40), (50, 50), (120, 30), (31, 57), (240, 200), (1, 1)])
def test_every_frame_is_scaled_and_cut_like_a_still(source: Format, output: Format, size: tuple[int, int]) -> None:
    data = pictures.film(walk(), source, DELAYS_MS)
    originals = shown(data)  # what the source's own coding has left of the scene
    result = render_bytes(data, Resize(if_small="enlarge"), size, output)
    frames = shown(result)
    assert delays_ms(result) == DELAYS_MS
    for frame, original in zip(frames, originals, strict=True):
        assert frame.size == size
        if min(size) > 1:
            assert pictures.distance(frame.convert("RGB"), fitted(original, size)) < 6


@pytest.mark.parametrize("output", MOVING)
def test_frames_that_have_become_alike_may_be_one_but_last_as_long(output: Format) -> None:
    frames = [Image.new("RGB", (40, 20), (200, 0, 0)) for _ in range(4)]
    for frame, left in zip(frames, (0, 36, 38, 39), strict=True):
        frame.putpixel((left, 0), (0, 0, 255))  # only the first dot is inside the cut
    result = render_bytes(pictures.film(frames, "gif", DELAYS_MS), Resize(gravity="west"), (20, 20), output)
    assert sum(delays_ms(result)) == sum(DELAYS_MS)
    assert delays_ms(result)[0] == DELAYS_MS[0]


@pytest.mark.parametrize("source", MOVING)
@pytest.mark.parametrize("output", STILL)
def test_a_format_without_frames_gets_the_first(render: Render, source: Format, output: Format) -> None:
    data = pictures.film(walk(), source, DELAYS_MS)
    result = render(data, Resize(), (60, 40), output)
    assert getattr(result, "n_frames", 1) == 1
    assert pictures.distance(result.convert("RGB"), fitted(shown(data)[0], (60, 40))) < 6


@pytest.mark.parametrize("output", FORMATS)
def test_a_still_stays_a_still(output: Format) -> None:
    result = render_bytes(pictures.encoded(pictures.scene(120, 80), "gif"), Resize(), (60, 40), output)
    assert len(shown(result)) == 1
    assert b"NETSCAPE" not in result


# A GIF counts repeats after the first showing, or says nothing for one showing; WebP counts showings; 0 is for ever.
@pytest.mark.parametrize(
    ("source", "loop", "gif", "webp"),
    [("gif", None, None, 1), ("gif", 0, 0, 0), ("gif", 1, 1, 2), ("gif", 3, 3, 4),
     ("webp", 0, 0, 0), ("webp", 1, None, 1), ("webp", 3, 2, 3)],
)  # fmt: skip
def test_it_is_shown_as_often_as_before(source: Format, loop: int | None, gif: int | None, webp: int) -> None:
    data = pictures.film(walk(), source, DELAYS_MS, loop=loop)
    assert opened(render_bytes(data, Resize(), (60, 40), "gif")).info.get("loop") == gif
    assert opened(render_bytes(data, Resize(), (60, 40), "webp")).info.get("loop") == webp


@pytest.mark.parametrize("disposal", [0, 1, 2, 3])
@pytest.mark.parametrize("output", MOVING)
def test_disposal_leaves_what_a_viewer_would_have_seen(disposal: int, output: Format) -> None:
    """Small boxes on a transparent ground: what becomes of the last one is for each frame's disposal to say."""
    frames = []
    for n in range(4):
        frame = Image.new("RGBA", (80, 40), (0, 0, 0, 0))
        ImageDraw.Draw(frame).rectangle((n * 20, 8, n * 20 + 15, 31), fill=(250, 60, 20, 255))
        frames.append(frame)
    data = pictures.film(frames, "gif", DELAYS_MS, disposal=disposal)
    expected = shown(data)
    boxes = [np.asarray(frame)[:, :, 3].astype(bool).sum() for frame in expected]
    assert len(set(boxes)) == (1 if disposal == 2 else len(boxes)) or disposal == 3
    for frame, original in zip(shown(render_bytes(data, Resize(), (40, 20), output)), expected, strict=True):
        wanted = original.resize((40, 20), Image.Resampling.BOX)
        alpha = np.asarray(frame)[:, :, 3].astype(int), np.asarray(wanted)[:, :, 3].astype(int)
        assert np.abs(alpha[0] - alpha[1]).mean() < 8
        solid = (alpha[0] > 250) & (alpha[1] > 250)
        assert solid.any() == (alpha[1] > 250).any()
        assert np.abs(np.asarray(frame)[solid][:, :3].astype(int) - (250, 60, 20)).max(initial=0) < 40


def test_no_frame_bleeds_into_its_neighbour(render: Render) -> None:
    """Black and white in turn, enlarged: a filter that looked over the edge would leave grey or overshoot there."""
    frames = [Image.new("RGB", (16, 16), (255 * (n % 2),) * 3) for n in range(6)]
    result = shown(render_bytes(pictures.film(frames, "gif", [100] * 6), Resize(if_small="enlarge"), (64, 64), "gif"))
    assert [sorted({int(value) for value in np.unique(np.asarray(f)[:, :, :3])}) for f in result] == [[0], [255]] * 3


@pytest.mark.parametrize(
    ("gravity", "centering"),
    [("west", (0.0, 0.5)), ("east", (1.0, 0.5)), ("northwest", (0.0, 0.0)), ("center", (0.5, 0.5))],
)
def test_gravity_holds_for_each_frame(gravity: Gravity, centering: tuple[float, float]) -> None:
    data = pictures.film(walk(160, 40), "webp", DELAYS_MS)
    frames = shown(render_bytes(data, Resize(gravity=gravity), (40, 40), "webp"))
    for frame, original in zip(frames, shown(data), strict=True):
        assert pictures.distance(frame.convert("RGB"), fitted(original, (40, 40), centering)) < 5


@pytest.mark.parametrize("gravity", ["attention", "entropy"])
def test_one_cut_for_all_frames(gravity: Gravity) -> None:
    """Noise stands at the right in the first frame and wanders off: the cut stays where the first frame wants it."""
    rng = np.random.default_rng(3)
    noise = Image.fromarray(rng.integers(0, 255, (60, 60, 3), dtype=np.uint8))
    frames = [Image.new("RGB", (300, 80), (120, 120, 120)) for _ in range(3)]
    for frame, left in zip(frames, (230, 120, 10), strict=True):
        frame.paste(noise, (left, 10))
        ImageDraw.Draw(frame).rectangle((280, 0, 299, 5), fill=(0, 200, 0))  # a mark that moves with the cut only
    result = [np.asarray(f)[:, :, :3].astype(int) for f in shown(render_bytes(
        pictures.film(frames, "webp", [100] * 3), Resize(gravity=gravity), (80, 80), "webp"))]  # fmt: skip
    marks = [(f[2, :, 1] - f[2, :, 0] > 100) for f in result]
    assert marks[0].any(), "the noise of the first frame lies beside the mark"
    assert all((mark == marks[0]).mean() > 0.95 for mark in marks)
    assert result[0][20:60].std() > 30
    assert result[-1][20:60].std() < 10


@pytest.mark.parametrize("orientation", pictures.ORIENTATIONS)
def test_a_turned_webp_film_comes_out_upright(orientation: int) -> None:
    upright = walk(120, 60)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored = [pictures.stored(frame, orientation) for frame in upright]
    data = pictures.film(stored, "webp", DELAYS_MS, exif=exif.tobytes())
    assert probe(data, Limits(), is_complete=True) == ImageInfo("webp", 120, 60, 4, orientation)
    frames = shown(render_bytes(data, Resize(), (60, 20), "webp"))
    for frame, original in zip(frames, upright, strict=True):
        assert pictures.distance(frame.convert("RGB"), fitted(original, (60, 20))) < 6


@pytest.mark.parametrize("name", ["gif", "webp", "png"])
def test_opaque_frames_with_an_alpha_keep_their_timing(name: str) -> None:
    data = pictures.film([frame.convert("RGBA") for frame in walk()], name, DELAYS_MS)
    assert delays_ms(render_bytes(data, Resize(), (60, 40), "webp")) == DELAYS_MS


def test_a_profile_counts_for_every_frame() -> None:
    stored = [Image.new("RGB", (40, 30), color) for color in ((200, 80, 60), (60, 200, 80))]
    data = pictures.film(stored, "webp", [100, 100], icc_profile=pictures.wide_gamut_profile())
    result = shown(render_bytes(data, Resize(), (20, 15), "webp"))
    assert np.abs(np.asarray(result[0])[5, 5, :3].astype(int) - (218, 67, 47)).max() < 5
    assert np.asarray(result[1])[5, 5, 0] < 40, "the profile must matter in the second frame too"


def test_a_film_that_has_become_a_still_and_back(render: Render) -> None:
    """The size was fixed at the probe; how many frames there are is the source's own affair."""
    still = pictures.encoded(pictures.scene(33, 21), "webp")
    assert len(shown(render_bytes(still, Resize(), (60, 40), "gif"))) == 1
    film = pictures.film(walk(33, 21), "gif", DELAYS_MS)
    result = shown(render_bytes(film, Resize(), (60, 40), "webp"))
    assert [frame.size for frame in result] == [(60, 40)] * 4


def test_the_frames_of_a_result_count_together() -> None:
    data = pictures.film(walk(), "gif", DELAYS_MS)
    limits = Limits(output_pixels=4 * 60 * 40)
    assert len(shown(render_bytes(data, Resize(), (60, 40), "webp", limits=limits))) == 4
    with pytest.raises(PictureTooLarge, match=r"60 x 41 pixels in 4 frames is beyond output_pixels = 9600"):
        render_bytes(data, Resize(), (60, 41), "webp", limits=limits)
    assert len(shown(render_bytes(data, Resize(), (60, 41), "png", limits=limits))) == 1


def test_a_film_of_thin_frames() -> None:
    frames = [Image.new("RGB", (1, 50), (n * 60, 0, 0)) for n in range(3)]
    assert [f.size for f in shown(render_bytes(pictures.film(frames, "gif", [90] * 3), Resize(), (1, 7), "gif"))] == [
        (1, 7)
    ] * 3


def test_a_film_of_avif_and_the_pages_of_a_tiff_are_read_as_their_first_picture(render: Render) -> None:
    first, *others = walk()
    names: tuple[SourceFormat, ...] = ("avif", "tiff")
    for name in names:
        out = io.BytesIO()
        first.save(out, pictures.PILLOW_NAME[name], save_all=True, append_images=others)
        assert getattr(Image.open(out), "n_frames", 1) == 4
        assert probe(out.getvalue(), Limits(frames=1), is_complete=True) == ImageInfo(name, 120, 80, 1)
        result = render(out.getvalue(), Resize(), (60, 40), "gif")
        assert getattr(result, "n_frames", 1) == 1
        assert pictures.distance(result.convert("RGB"), fitted(first, (60, 40))) < 8
