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


def test_thumbor_trims_a_drawing_at_the_size_of_the_url(site: Gets) -> None:
    ground = '<rect width="40" height="20" fill="#fff"/>'
    site.put("framed.svg", svg(f'{ground}<rect x="10" y="5" width="20" height="5" fill="#f00"/>'))
    whole, left_half = (site.get(f"/thumbor/unsafe/{one}/framed.svg").picture for one in ("trim", "trim/0x0:40x40/80x"))
    assert (whole.size, whole.convert("RGB").getcolors()) == ((20, 5), [(100, (255, 0, 0))])
    # Twice as large when it is trimmed; the crop counts from the corner before that.
    assert (left_half.size, left_half.convert("RGB").getcolors()) == ((80, 40), [(3_200, (255, 0, 0))])


def test_thumbor_shows_what_it_can_read(site: Gets) -> None:
    whole = encoded(scene(320, 240), "jpeg")
    site.put("cut.jpg", whole[: len(whole) * 7 // 8])
    answer = site.get("/thumbor/unsafe/32x24/filters:format(png)/cut.jpg")
    assert answer.size == (32, 24)
    top = (0, 0, 32, 12)
    assert distance(answer.picture.convert("RGB").crop(top), scene(320, 240).resize((32, 24)).crop(top)) < 8
    assert [site.get(path).status for path in ("/imgproxy/_/plain/cut.jpg", "/iiif/3/cut.jpg/info.json")] == [422, 200]


# What is no picture, and the status of imgproxy, thumbor and IIIF for it.
REFUSED: dict[str, tuple[bytes, int, int, int]] = {
    "empty.jpg": (b"", 422, 400, 422),
    "words.png": (b"no picture" * 9, 422, 400, 422),
    "header.jpg": (encoded(scene(64, 48), "jpeg")[:20], 422, 400, 422),
    "broken.svg": (b"<svg><", 422, 400, 422),
    "nothing.svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', 422, 400, 422),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_picture(site: Gets, name: str) -> None:
    data, *expected = REFUSED[name]
    site.put(name, data)
    paths = (
        f"/imgproxy/_/w:9/plain/{name}@png",
        f"/thumbor/unsafe/9x9/{name}",
        f"/iiif/3/{name}/full/^9,/0/default.png",
    )
    answers = [site.get(path) for path in paths]
    assert [answer.status for answer in answers] == expected
    assert {answer["cache-control"] for answer in answers} == {"no-store"}


@pytest.mark.parametrize(
    ("path", "size"),
    [
        ("/imgproxy/_/rs:fill:7:5/rot:90/dpr:2/pd:1:2/plain/thin.png", (11, 5)),
        ("/imgproxy/_/c:0.00001:0.5/ex:1/w:9/h:9/plain/thin.png", (9, 9)),
        ("/imgproxy/_/rs:force:1:1/exar:1/plain/thin.png", (1, 1)),
        ("/imgproxy/_/wm:1/wmu:dGhpbi5wbmc/w:1/plain/thin.png", (1, 167)),
        ("/thumbor/unsafe/fit-in/0x7/filters:rotate(90)/thin.png", (7, 1)),
        ("/thumbor/unsafe/full-fit-in/-9x9/filters:fill(blur):round_corner(99,1,2,3,1)/thin.png", (9, 1500)),
        ("/thumbor/unsafe/2x499:9x9999/filters:sharpen(9,3,true)/thin.png", (1, 1)),
        ("/iiif/3/thin.png/pct:99,0,99,99/max/!90/bitonal.gif", None),
        ("/iiif/3/thin.png/0,499,9,9/^max/22.5/gray.webp", None),
        ("/iiif/2/thin.png/square/,1/359.9/default.jpg", (1, 1)),
    ],
)
def test_odd_urls_of_a_thin_picture(site: Gets, path: str, size: tuple[int, int] | None) -> None:
    """``size`` None: the URL is refused."""
    site.put("thin.png", encoded(scene(3, 500), "png"))
    answer = site.get(path)
    assert answer.status == (400 if size is None else 200)
    assert size is None or answer.size == size
