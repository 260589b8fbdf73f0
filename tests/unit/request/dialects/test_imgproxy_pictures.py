"""Pictures of imgproxy's URLs, planned here and drawn by the worker's own functions, against Pillow's."""

from collections.abc import Callable

import msgspec
import pytest
from PIL import Image, ImageOps

from imgserve.blob import Blob
from imgserve.imaging.worker import pipeline, probe, vips
from imgserve.imaging.worker.detect import detect
from imgserve.imaging.worker.picture import Picture
from imgserve.request.dialects.dialect import Negotiable
from imgserve.request.dialects.imgproxy.config import Config
from imgserve.request.dialects.imgproxy.dialect import Imgproxy
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.limits import Limits
from imgserve.request.rendering import resolve
from tests.support import pictures
from tests.unit.imaging.conftest import opened

DIALECT = Imgproxy(Config(), allow_unsigned=True)
LIMITS = Limits()
SCENE = pictures.detailed(180, 120)


@pytest.fixture(scope="module", autouse=True)
def _vips() -> None:
    vips.configure()


def info_of(data: bytes) -> ImageInfo:
    source_format = detect(data)
    assert source_format is not None
    info = probe.measure(Picture(data, source_format), LIMITS)
    assert info is not None
    return info


def shown(options: str, data: bytes) -> Image.Image:
    info = info_of(data)
    picture = DIALECT.parse(f"/_/{options}/plain/http://example.com/a", Negotiable(), 0.0).parameters
    resolved = resolve(DIALECT.plan(picture, info).recipe, info, LIMITS)
    # The worker would bring any picture to a size that it is given, so the steps alone must come to it.
    with Blob() as result:
        written = pipeline.render(data, msgspec.structs.replace(resolved, size=None), LIMITS, result.fd)
        with open(f"/proc/self/fd/{result.fd}", "rb") as file:
            image = opened(file.read())
    assert written.size == resolved.size
    return image


def _shrunk(image: Image.Image, side: int, largest: Callable[[int, int], int]) -> Image.Image:
    """``side``: of the longer or the shorter one."""
    whole = largest(*image.size)
    size = (round(image.width * side / whole), round(image.height * side / whole))
    return image.resize(size, Image.Resampling.LANCZOS)


def _from_southeast(image: Image.Image) -> Image.Image:
    return image.crop((image.width - 60, image.height - 45, image.width - 10, image.height - 5))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("rs:fit:60:60", lambda image: _shrunk(image, 60, max)),
        ("rs:fill:50:50/g:nowe", lambda image: _shrunk(image, 50, min).crop((0, 0, 50, 50))),
        ("c:50:40:nowe:10:20", lambda image: image.crop((10, 20, 60, 60))),
        ("rot:90/c:50:40:soea:10:5", lambda image: _from_southeast(image.transpose(Image.Transpose.ROTATE_270))),
        ("rot:-90/w:40", lambda image: _across(image.transpose(Image.Transpose.ROTATE_90), 40)),
        ("fl:1/c:50:40:nowe:10:5", lambda image: ImageOps.mirror(image).crop((10, 5, 60, 45))),
        ("pd:5:10/bg:ff0000", lambda image: ImageOps.expand(image, (10, 5, 10, 5), fill=(255, 0, 0))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_as_pillow_draws_it(options: str, expected: Callable[[Image.Image], Image.Image], orientation: int) -> None:
    data = pictures.oriented(SCENE, orientation, "png")
    result = shown(f"f:png/{options}", data)
    wanted = expected(SCENE)
    assert result.size == wanted.size
    assert pictures.distance(result.convert("RGB"), wanted) < 2


def _across(image: Image.Image, width: int) -> Image.Image:
    return image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)


def test_without_orientation_it_is_shown_as_stored() -> None:
    data = pictures.oriented(SCENE, 6, "png")
    result = shown("f:png/ar:0/c:50:40:nowe:3:4", data)
    wanted = pictures.stored(SCENE, 6).crop((3, 4, 53, 44))
    assert result.size == wanted.size
    assert pictures.distance(result.convert("RGB"), wanted) < 1


def test_what_is_transparent_stays_so_or_is_laid_on_a_colour() -> None:
    image = Image.new("RGBA", (40, 20), (0, 0, 255, 0))
    image.paste((0, 0, 255, 255), (0, 0, 20, 20))
    data = pictures.encoded(image, "png")
    assert shown("pd:1", data).getpixel((0, 0)) == (0, 0, 0, 0)
    assert shown("pd:1/bg:0f0", data).convert("RGB").getpixel((39, 10)) == (0, 255, 0)
    assert shown("pd:1/bg:0f0", data).convert("RGB").getpixel((0, 0)) == (0, 255, 0)
    for place in ((39, 10), (0, 0)):
        jpeg = shown("f:jpg/pd:1", data).getpixel(place)
        assert isinstance(jpeg, tuple)
        assert min(jpeg) > 240


def test_a_drawing_is_cut_at_its_final_scale() -> None:
    left = '<rect width="20" height="20" fill="#ff0000"/>'
    right = '<rect x="20" width="20" height="20" fill="#0000ff"/>'
    result = shown("f:png/c:20:20:ea/w:200", pictures.svg(left + right))
    assert result.size == (200, 200)
    assert result.convert("RGB").getcolors() == [(40_000, (0, 0, 255))]
