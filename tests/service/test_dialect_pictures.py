"""Pictures of the three dialects from one server: what each makes of the same odd source."""

from collections.abc import Iterator

import pytest

from tests.support.getting import Gets, gets
from tests.support.pictures import distance, encoded, scene, svg

MOUNTS = "".join(
    f"""
[get.{name}]
path = "/{name}"
allow_unsigned = true
sources = ["file://DIR/"]
base_url = "file://DIR/"
"""
    for name in ("imgproxy", "thumbor", "iiif")
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gets]:
    with gets(tmp_path_factory.mktemp("dialects"), MOUNTS) as site:
        yield site


@pytest.mark.parametrize(
    ("path", "size"),
    [
        ("/imgproxy/_/plain/inch.svg@png", (96, 48)),
        ("/thumbor/unsafe/inch.svg", (150, 75)),
        ("/thumbor/unsafe/300x200/inch.svg", (300, 200)),
        ("/iiif/3/inch.svg/full/max/0/default.png", (72, 36)),
    ],
)
def test_an_inch_has_the_pixels_of_the_original(site: Gets, path: str, size: tuple[int, int]) -> None:
    site.put(
        "inch.svg", svg('<rect width="9" height="9" fill="#f00"/>', 'width="1in" height="0.5in" viewBox="0 0 18 9"')
    )
    answer = site.get(path)
    assert (answer["content-type"], answer.size) == ("image/png", size)
    # CairoSVG places the drawing in the middle of a box of another shape.
    picture = answer.picture.convert("RGBA").getchannel("A").getbbox()
    left, width, height = 0, size[0], size[1]
    top = (height - width // 2) // 2
    assert picture == (left, top, width // 2, height - top)


def test_thumbor_shows_what_it_can_read(site: Gets) -> None:
    whole = encoded(scene(320, 240), "jpeg")
    site.put("cut.jpg", whole[: len(whole) * 7 // 8])
    answer = site.get("/thumbor/unsafe/32x24/filters:format(png)/cut.jpg")
    assert answer.size == (32, 24)
    top = (0, 0, 32, 12)
    assert distance(answer.picture.convert("RGB").crop(top), scene(320, 240).resize((32, 24)).crop(top)) < 8
    assert [site.get(path).status for path in ("/imgproxy/_/plain/cut.jpg", "/iiif/3/cut.jpg/info.json")] == [422, 200]
