"""load.page, load.frames and load.orient: what is taken of a file, by header and pixels."""

import io
from itertools import accumulate

import numpy as np
import pytest
from PIL import ExifTags, Image

from imgserve.imaging.faults import PageMissing, PictureTooLarge
from imgserve.imaging.worker.probe import probe
from imgserve.request.encode import Format
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.limits import Limits
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Frames, LoadOptions
from tests.support import heif, pictures
from tests.unit.imaging.conftest import facts, opened, render_bytes
from tests.unit.imaging.test_bmp_ico import icon

LIMITS = Limits()
SIZE = (40, 30)
SCENES = [pictures.scene(*SIZE).transpose(way) for way in (Image.Transpose.ROTATE_180, Image.Transpose.FLIP_LEFT_RIGHT)]
FRAMES = [pictures.scene(*SIZE), *SCENES, Image.new("RGB", SIZE, (200, 30, 60))]
DELAYS = [40, 60, 80, 120]
FILMS = {name: pictures.film(FRAMES, name, DELAYS) for name in ("gif", "webp", "png")}


def taken(
    data: bytes, load: LoadOptions, size: tuple[int, int] = SIZE, name: Format = "png", gravity: str = "center"
) -> Image.Image:
    return opened(render_bytes(data, Resize(gravity=gravity), size, name, load=load))  # type: ignore[arg-type]


def info_of(data: bytes, load: LoadOptions, limits: Limits = LIMITS) -> ImageInfo:
    info = probe(data, limits, is_complete=True, options=load)
    assert info is not None
    return info


def shown(film: Image.Image) -> tuple[list[Image.Image], list[int]]:
    """Frames and delays."""
    frames, delays = [], []
    for number in range(getattr(film, "n_frames", 1)):
        film.seek(number)
        film.load()
        frames.append(film.convert("RGB"))
        delays.append(int(film.info["duration"]))
    return frames, delays


@pytest.mark.parametrize("name", FILMS)
@pytest.mark.parametrize(
    ("page", "most", "expected"),
    [
        (0, "auto", [0, 1, 2, 3]), (1, "auto", [1, 2, 3]), (0, 2, [0, 1]), (1, 2, [1, 2]), (2, 99, [2, 3]),
        (0, "first", [0]), (3, "auto", [3]), (2, "first", [2]),
    ],
)  # fmt: skip
def test_frames_from_a_page_on(name: str, page: int, most: Frames, expected: list[int]) -> None:
    load = LoadOptions(page=page, frames=most)
    assert facts(info_of(FILMS[name], load)) == (name, *SIZE, len(expected))
    film = taken(FILMS[name], load, name="webp")
    assert getattr(film, "n_frames", 1) == len(expected)
    for number, frame in enumerate(expected):
        film.seek(number)
        assert pictures.distance(film.convert("RGB"), FRAMES[frame]) < 8
    if len(expected) > 1:
        assert shown(film)[1] == [DELAYS[number] for number in expected]


@pytest.mark.parametrize("name", FILMS)
@pytest.mark.parametrize("page", range(4))
def test_a_still_result_is_the_page(name: str, page: int) -> None:
    still = taken(FILMS[name], LoadOptions(page=page)).convert("RGB")
    distances = [pictures.distance(still, frame) for frame in FRAMES]
    assert distances.index(min(distances)) == page
    assert min(distances) < 8


@pytest.mark.parametrize("name", FILMS)
def test_frames_that_are_not_taken_do_not_count(name: str) -> None:
    three = Limits(frames=3)
    with pytest.raises(PictureTooLarge, match="limit frames"):
        info_of(FILMS[name], LoadOptions(), three)
    assert info_of(FILMS[name], LoadOptions(frames=3), three).frames == 3
    with pytest.raises(PictureTooLarge, match="limit frames"):  # it is decoded behind three others
        info_of(FILMS[name], LoadOptions(page=3), three)


def test_the_first_frame_taken_chooses_the_crop() -> None:
    """A red spot moves from left to right; the crop follows where it is in the page's frame."""
    frames = []
    for left in (10, 70):
        frame = np.full((40, 100, 3), 128, np.uint8)
        frame[10:30, left : left + 20] = (255, 0, 0)
        frames.append(Image.fromarray(frame))
    data = pictures.film([*frames, frames[0]], "png", [50, 50, 50])
    for page, has_spot in ((0, [True, False, True]), (1, [True, False])):
        film = taken(data, LoadOptions(page=page), (40, 40), "webp", "attention")
        seen = [bool((np.asarray(frame)[:, :, 1] < 60).any()) for frame in shown(film)[0]]
        assert seen == has_spot


def tiff_of_pages() -> bytes:
    out = io.BytesIO()
    pages = [pictures.scene(40 + 10 * number, 30) for number in range(3)]
    pages[0].save(out, "TIFF", save_all=True, append_images=pages[1:])
    return out.getvalue()


@pytest.mark.parametrize("page", range(3))
def test_pages_of_a_tiff(page: int) -> None:
    width = 40 + 10 * page
    load = LoadOptions(page=page)
    assert facts(info_of(tiff_of_pages(), load)) == ("tiff", width, 30, 1)
    assert pictures.distance(taken(tiff_of_pages(), load, (width, 30)), pictures.scene(width, 30)) == 0


def test_pages_of_an_icon_are_its_pictures_from_the_largest() -> None:
    data = icon(*((pictures.encoded(pictures.scene(side, side), "png"), 32) for side in (16, 48, 32)))
    assert [info_of(data, LoadOptions(page=page)).width_px for page in range(3)] == [48, 32, 16]
    small = taken(data, LoadOptions(page=2), (16, 16)).convert("RGB")
    assert pictures.distance(small, pictures.scene(16, 16)) == 0


@pytest.mark.parametrize(
    ("data", "pages", "noun"),
    [
        *((film, 4, "frames") for film in FILMS.values()), (tiff_of_pages(), 3, "pages"),
        (icon((pictures.encoded(SCENES[0], "png"), 32)), 1, "page"),
        *((pictures.encoded(SCENES[0], name), 1, "page") for name in ("jpeg", "avif", "heic", "bmp")),
        (pictures.encoded(SCENES[0], "png"), 1, "frame"), (pictures.encoded(SCENES[0], "gif"), 1, "frame"),
        (pictures.svg("<rect/>"), 1, "page"),
    ],
)  # fmt: skip
def test_beyond_the_last_page_is_a_fault(data: bytes, pages: int, noun: str) -> None:
    with pytest.raises(PageMissing, match=f"the source has {pages} {noun}, and"):
        info_of(data, LoadOptions(page=pages))
    assert probe(data[:600], LIMITS, is_complete=False, options=LoadOptions(page=pages)) is None
    info_of(data, LoadOptions(page=pages - 1))


def test_a_tiff_that_never_ends_has_every_page() -> None:
    """The second page's successor is the first one."""
    data = bytearray(tiff_of_pages())
    first = int.from_bytes(data[4:8], "little")
    entries = int.from_bytes(data[first : first + 2], "little")
    at = first + 2 + 12 * entries
    data[at : at + 4] = data[4:8]
    assert facts(info_of(bytes(data), LoadOptions(page=9999))) == ("tiff", 40, 30, 1)


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "tiff", "avif", "heic"])
@pytest.mark.parametrize("orientation", pictures.ORIENTATIONS)
def test_without_orient_pixels_and_size_are_as_stored(name: str, orientation: int) -> None:
    upright = pictures.scene(80, 48)
    data, stored = pictures.oriented(upright, orientation, name), pictures.stored(upright, orientation)
    as_stored = LoadOptions(orient=False)
    info = info_of(data, as_stored)
    assert (info.width_px, info.height_px) == stored.size
    assert pictures.distance(taken(data, as_stored, stored.size), stored) < 4
    info = info_of(data, LoadOptions())
    assert (info.width_px, info.height_px) == upright.size
    assert pictures.distance(taken(data, LoadOptions(), upright.size), upright) < 4


def test_without_orient_a_smaller_jpeg_is_as_stored() -> None:
    """By both ways: the fast one, and libvips', which reads a JPEG of four colours."""
    stored = pictures.scene(400, 240)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    for image in (stored, stored.convert("CMYK")):
        data = pictures.encoded(image, "jpeg", exif=exif)
        for name in ("png", "jpeg"):
            result = taken(data, LoadOptions(orient=False), (100, 60), name)
            result = result.convert("RGB")
            turned = stored.transpose(Image.Transpose.ROTATE_180).resize((100, 60))
            assert pictures.distance(result, stored.resize((100, 60))) < pictures.distance(result, turned) / 3


@pytest.mark.parametrize("name", ["webp", "png"])
def test_each_frame_is_as_stored(name: str) -> None:
    """An animation with an orientation; and one of its frames alone."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    data = pictures.film(FRAMES, name, DELAYS, exif=exif.tobytes())
    for orient, size in ((True, SIZE[::-1]), (False, SIZE)):
        expected = FRAMES[1].transpose(Image.Transpose.ROTATE_270) if orient else FRAMES[1]
        load = LoadOptions(orient=orient)
        assert facts(info_of(data, load)) == (name, *size, 4)
        frames, _ = shown(taken(data, load, size, "webp"))
        assert pictures.distance(frames[1], expected) < 8
        load = LoadOptions(orient=orient, page=1, frames="first")
        assert facts(info_of(data, load)) == (name, *size, 1)
        assert pictures.distance(taken(data, load, size).convert("RGB"), expected) < 8


def test_a_mirrored_avif_is_as_stored() -> None:
    """Its mirror becomes a turn by nothing, in place."""
    scene = pictures.scene(64, 48)
    data = pictures.oriented(scene, 2, "avif")
    assert b"imir" in data
    assert pictures.distance(taken(data, LoadOptions(orient=False), (64, 48)), pictures.stored(scene, 2)) < 3


def test_a_cropped_heic_stays_cropped_as_stored() -> None:
    data = heif.with_property(heif.encoded(pictures.scene(101, 75)), b"irot", b"\1")
    assert facts(info_of(data, LoadOptions())) == ("heic", 75, 101, 1)
    assert facts(info_of(data, LoadOptions(orient=False))) == ("heic", 101, 75, 1)
    assert pictures.distance(taken(data, LoadOptions(orient=False), (101, 75)), pictures.scene(101, 75)) < 2


def test_dots_per_inch_are_of_absolute_units() -> None:
    drawing = pictures.svg("<rect width='100%' height='100%' fill='red'/>", 'width="1in" height="0.5in"')
    for dpi in (72, 96, 300):
        info = info_of(drawing, LoadOptions(dpi=dpi))
        assert (info.width_px, info.height_px) == pytest.approx((dpi, dpi / 2), abs=0.01)


def test_delays_run_from_the_page_on() -> None:
    """A caller that seeks by time finds the same frames."""
    film = taken(FILMS["gif"], LoadOptions(page=1, frames=2), name="gif")
    assert list(accumulate(shown(film)[1])) == list(accumulate(DELAYS[1:3]))
