"""The short way for JPEG against libvips, which judges, and Pillow, which knows neither."""

import functools
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import get_sampling

from imgserve.imaging.faults import SourceUnreadable
from imgserve.imaging.worker import cover, load
from imgserve.imaging.worker.formats import jpeg, turbojpeg
from imgserve.imaging.worker.picture import Picture
from imgserve.imaging.worker.steps import resize
from imgserve.request.encode import Format
from imgserve.request.geometry import Focal, Place, Shape, corner
from imgserve.request.imageinfo import Size
from imgserve.request.operations.resize import Resize, covering
from tests.support import pictures
from tests.unit.imaging.conftest import Render, opened
from tests.unit.imaging.conftest import picture as rendered

pytestmark = pytest.mark.skipif(not turbojpeg.is_there(), reason="needs libturbojpeg (Debian: libturbojpeg0)")

SIZES = [(200, 120), (120, 200), (1, 1), (1, 50), (333, 77), (77, 333), (640, 480), (1999, 1501)]
NEAR = 2.0


@functools.cache
def photo(width: int = 1999, height: int = 1501, mode: str = "RGB", **options: Any) -> bytes:
    out = io.BytesIO()
    pictures.scene(width, height).convert(mode).save(out, "JPEG", quality=92, **options)
    return out.getvalue()


def quickly(data: bytes, size: tuple[int, int], place: Place = "center") -> Image.Image | None:
    picture, wanted = Picture(data, "jpeg"), Size(*size)
    before = sides(picture)
    part = cover.part(before, covering(Shape(before.width_px, before.height_px), wanted), wanted, place)
    image = None if part is None else jpeg.scaled(picture, part, wanted)
    return None if image is None else shown(image)


def by_libvips(data: bytes, size: tuple[int, int], place: Place = "center") -> Image.Image:
    picture, wanted = Picture(data, "jpeg"), Size(*size)
    before = sides(picture)
    whole = covering(Shape(before.width_px, before.height_px), wanted)
    left, top = corner(place, wanted, whole)
    return shown(load.scaled(picture, whole).crop(left, top, *size))


def sides(picture: Picture) -> Size:
    info = load.info(picture)
    return Size(int(info.width_px), int(info.height_px))


def shown(image: pyvips.Image) -> Image.Image:
    pixels = np.asarray(image.numpy())
    return Image.fromarray(pixels[:, :, 0] if image.bands == 1 and pixels.ndim == 3 else pixels)


@pytest.mark.parametrize("size", SIZES)
def test_as_pillow_and_libvips_would(size: tuple[int, int]) -> None:
    data = photo()
    result = quickly(data, size)
    assert result is not None
    expected = ImageOps.fit(pictures.scene(1999, 1501), size, Image.Resampling.LANCZOS)
    assert pictures.distance(result, expected) < NEAR
    if min(size) > 1:  # of a single row or column libvips keeps another one
        assert pictures.distance(result, by_libvips(data, size)) < NEAR


@pytest.mark.parametrize("place", ["northwest", "center", "southeast", Focal(0.2, 0.7)])
@pytest.mark.parametrize("size", [(300, 60), (60, 300)])
def test_what_hangs_over_goes_on_the_right_side(size: tuple[int, int], place: Place) -> None:
    data = photo()
    result = quickly(data, size, place)
    assert result is not None
    assert pictures.distance(result, by_libvips(data, size, place)) < NEAR


@pytest.mark.parametrize("options", [{"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}, {"progressive": True}])
def test_every_usual_jpeg(options: dict[str, Any]) -> None:
    data = photo(**options)
    result = quickly(data, (200, 150))
    assert result is not None
    assert pictures.distance(result, by_libvips(data, (200, 150))) < NEAR


def test_grey_stays_grey() -> None:
    data = photo(mode="L")
    result = quickly(data, (200, 150))
    assert result is not None
    assert result.mode == "L"
    assert pictures.distance(result, by_libvips(data, (200, 150))) < NEAR


@pytest.mark.parametrize("orientation", pictures.ORIENTATIONS)
def test_upright(orientation: int) -> None:
    upright = pictures.scene(1200, 901)
    result = quickly(pictures.oriented_jpeg(upright, orientation), (160, 90))
    assert result is not None
    assert pictures.distance(result, ImageOps.fit(upright, (160, 90), Image.Resampling.LANCZOS)) < NEAR


@pytest.mark.parametrize("place", ["northwest", "north", "center", "southeast", Focal(0.83, 0.21)])
@pytest.mark.parametrize("size", [(200, 201), (301, 140)])
@pytest.mark.parametrize("name", ["jpeg", "webp", "avif"])
def test_each_part_lies_where_that_of_other_roads_does(name: Format, size: tuple[int, int], place: Place) -> None:
    """To a fraction of a pixel, whichever way the picture is stored, though the middle of the rest may be none."""
    scene = Image.new("RGB", (1331, 877), (230, 230, 230))
    for left, top in ((200, 150), (560, 340), (1000, 600)):
        scene.paste((20, 20, 20), (left, top, left + 160, top + 160))
    chosen: dict[str, Any] = {"focal": place} if isinstance(place, Focal) else {"gravity": place}
    operation = Resize(*size, linear_light=False, **chosen)
    expected = np.asarray(rendered(pictures.encoded(scene, "png"), operation)).astype(int)
    for orientation in pictures.ORIENTATIONS:
        result = np.asarray(rendered(pictures.oriented(scene, orientation, name), operation, output_format="jpeg"))
        assert np.abs(result - expected).max() < 50  # an edge that lies half a pixel aside differs by 90


@pytest.mark.parametrize(
    ("make", "size", "place"),
    [
        (lambda: photo(mode="CMYK"), (200, 150), "center"),
        (lambda: photo(icc_profile=pictures.wide_gamut_profile()), (200, 150), "center"),
        (photo, (200, 150), "attention"),
        (lambda: photo(100, 80), (200, 150), "center"),
        (lambda: photo(5000, 3000), (4000, 2500), "center"),
        (lambda: photo()[:-2], (200, 150), "center"),
    ],
    ids=["cmyk", "profile", "attention", "enlarged", "large", "cut off"],
)
def test_what_is_odd_is_left_to_libvips(make: Callable[[], bytes], size: tuple[int, int], place: Place) -> None:
    assert quickly(make(), size, place) is None


def test_what_is_broken_is_left_to_libvips(render: Render) -> None:
    data = bytearray(pictures.encoded(pictures.detailed(800, 600), "jpeg"))
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    assert quickly(bytes(data), (200, 150)) is None
    del data[middle:]
    with pytest.raises(SourceUnreadable):
        render(bytes(data), Resize(), (200, 150))


@pytest.mark.parametrize(("mode", "quality", "sampling"), [("RGB", 80, 2), ("RGB", 95, 0), ("L", 80, -1)])
def test_written_as_libvips_would(mode: str, quality: int, sampling: int) -> None:
    scene = pictures.scene(301, 201).convert(mode)
    pixels = turbojpeg.Decoded(scene.width, scene.height, len(scene.getbands()), scene.tobytes())
    data = turbojpeg.encode(pixels, turbojpeg.Settings(quality))
    assert data is not None
    written = Image.open(io.BytesIO(data))
    assert (written.size, written.mode) == (scene.size, mode)
    assert get_sampling(written) == sampling
    assert pictures.distance(written, scene) < NEAR
    image = pyvips.Image.new_from_memory(scene.tobytes(), scene.width, scene.height, pixels.bands, "uchar")
    theirs = image.copy(interpretation="srgb" if pixels.bands == 3 else "b-w").jpegsave_buffer(Q=quality, keep="none")
    assert get_sampling(Image.open(io.BytesIO(theirs))) == sampling
    assert abs(len(data) - len(theirs)) < len(theirs) / 20


@pytest.mark.parametrize(
    ("operation", "size"),
    [
        (Resize(200, 120), (200, 120)),
        (Resize(200), (200, 150)),
        (Resize(200, 120, focal=Focal(0.1, 0.9)), (200, 120)),
        (Resize(200, 120, fit="fill"), (200, 120)),
        (Resize(200, 120, fit="inside"), (160, 120)),
        (Resize(200, 120, fit="outside"), (200, 150)),
        (Resize(1999, 900, gravity="south"), (1999, 900)),
        (Resize(3000, 900, if_small="keep"), (1999, 900)),
    ],
)
def test_every_fit_that_adds_no_space_takes_the_short_way(operation: Resize, size: tuple[int, int]) -> None:
    """To the file, and as the same pixels that libvips' way gives."""
    picture, shape = Picture(photo(), "jpeg"), Shape(1999, 1501, "jpeg")
    file = resize.in_planes(picture, operation, shape, Size(*size), turbojpeg.Settings(95))
    assert file is not None
    shown_here = opened(file)
    assert shown_here.size == size
    scene = pictures.encoded(pictures.scene(1999, 1501), "png")
    assert pictures.distance(shown_here, rendered(scene, operation)) < NEAR


@pytest.mark.parametrize(
    "operation",
    [Resize(200, 200, fit="contain"), Resize(200, kernel="cubic"), Resize(200, linear_light=True)],
    ids=["space", "kernel", "light"],
)
def test_other_resizes_go_by_libvips(operation: Resize) -> None:
    picture, shape = Picture(photo(), "jpeg"), Shape(1999, 1501, "jpeg")
    size = operation.plan(shape).size
    assert resize.in_planes(picture, operation, shape, size, turbojpeg.Settings(95)) is None
