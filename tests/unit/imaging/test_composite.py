"""composite, against the formulas of W3C Compositing and Blending Level 1 in numpy, and against Pillow."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from imgserve.imaging.faults import PictureTooLarge, SourceUnreadable, SvgInvalid
from imgserve.request.imageref import ImageRef
from imgserve.request.limits import Limits
from imgserve.request.operations.composite import Composite
from imgserve.request.operations.resize import Resize
from tests.support import pictures
from tests.support.recipes import bytes_of, carried_out, frames_of

Floats = npt.NDArray[np.float64]
LOGO = ImageRef(name="logo")
OTHER = ImageRef(name="other")
BLENDS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "over": lambda _base, source: source,
    "multiply": lambda base, source: base * source,
    "screen": lambda base, source: base + source - base * source,
    "overlay": lambda base, source: np.where(base <= 0.5, 2 * base * source, 1 - 2 * (1 - base) * (1 - source)),
    "darken": np.minimum,
    "lighten": np.maximum,
}


def pixels(image: Image.Image) -> Floats:
    return np.asarray(image.convert("RGBA")).astype(np.float64)


def blended(base: Floats, source: Floats, blend: str, opacity: float = 1.0) -> Floats:
    """Sections 5.1 and 10.1, of RGBA in 0 to 255."""
    base, source = base / 255, source / 255
    below, above = base[..., 3:], source[..., 3:] * opacity
    colours = (1 - below) * source[..., :3] + below * BLENDS[blend](base[..., :3], source[..., :3])
    alpha = above + below * (1 - above)
    mixed = colours * above + base[..., :3] * below * (1 - above)
    result: Floats = np.concatenate([np.divide(mixed, alpha, out=mixed, where=alpha > 0), alpha], -1) * 255
    return result


def noise(width: int, height: int, mode: str, seed: int = 3) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 4)).astype(np.uint8)
    return Image.fromarray(values).convert(mode)


def off(result: Image.Image, expected: Floats) -> float:
    """The largest difference, where there is enough alpha for a colour."""
    visible = np.where(expected[..., 3:] > 12, 1.0, 0.0)
    return float(np.abs((pixels(result) - expected) * visible).max())


@pytest.mark.parametrize("blend", list(BLENDS))
@pytest.mark.parametrize(("below", "above"), [("RGBA", "RGBA"), ("RGB", "RGBA"), ("RGBA", "RGB"), ("RGB", "RGB")])
@pytest.mark.parametrize("opacity", [1.0, 0.4])
def test_blending_is_the_w3c_s(blend: str, below: str, above: str, opacity: float) -> None:
    base, logo = noise(40, 30, below), noise(40, 30, above, seed=4)
    operation = Composite(LOGO, blend=blend, opacity=opacity)  # type: ignore[arg-type]
    result = carried_out(base, operation, further=[logo])
    assert result.mode == below
    assert off(result, blended(pixels(base), pixels(logo), blend, opacity)) <= 1


@pytest.mark.parametrize("above", ["L", "LA", "RGB", "RGBA"])
def test_fading_takes_from_the_opacity(above: str) -> None:
    base, logo = noise(40, 30, "RGB"), noise(40, 30, above, seed=4)
    result = carried_out(base, Composite(LOGO, fade=0.4, opacity=0.5), further=[logo])
    source = pixels(logo)
    source[..., 3] = np.clip(source[..., 3] - 0.4 * source[..., 3].max(), 0, None)
    expected = blended(pixels(base), source, "over", 0.5)
    assert off(result, expected) <= 1
    assert off(result, blended(pixels(base), pixels(logo), "over", 0.5)) > 1


@pytest.mark.parametrize(("below", "above", "mode"), [
    ("L", "L", "L"), ("L", "LA", "L"), ("LA", "LA", "LA"), ("L", "RGB", "RGB"), ("L", "RGBA", "RGB"),
    ("LA", "RGBA", "RGBA"), ("RGB", "LA", "RGB"), ("RGBA", "L", "RGBA"),
])  # fmt: skip
@pytest.mark.parametrize("blend", ["over", "multiply"])
def test_grey_stays_grey_until_a_colour_comes(below: str, above: str, mode: str, blend: str) -> None:
    base, logo = noise(40, 30, below), noise(20, 10, above, seed=4)
    operation = Composite(LOGO, left=5, top=7, blend=blend)  # type: ignore[arg-type]
    result = carried_out(base, operation, further=[logo])
    expected = pixels(base)
    expected[7:17, 5:25] = blended(expected[7:17, 5:25], pixels(logo), blend)
    assert result.mode == mode
    assert off(result, expected) <= 1


@pytest.mark.parametrize(
    ("place", "left", "top"),
    [
        ({}, 34, 25),
        ({"gravity": "northwest"}, 0, 0),
        ({"gravity": "south"}, 34, 50),
        ({"gravity": "southeast"}, 69, 50),
        ({"left": 3, "top": 4}, 3, 4),
        ({"right": 3, "bottom": 4}, 66, 46),
        ({"left": "10%", "bottom": "5%"}, 9, 47),
        ({"right": 0}, 69, 25),
        ({"top": 1}, 34, 1),
        ({"left": -10, "top": -4}, -10, -4),
        ({"right": -10, "bottom": "-5%"}, 79, 53),
        ({"right": -30, "top": 0}, 99, 0),
        ({"offset_x": 5, "offset_y": -6}, 39, 19),
        ({"offset_x": "-10%", "gravity": "southeast"}, 60, 50),
        (
            {
                "offset_y": 20,
                "gravity": "south",
            },
            34,
            70,
        ),
        ({"offset_x": -40, "top": 3}, -6, 3),
        ({"left": -20, "top": 0}, -20, 0),
    ],
)
def test_places(place: dict[str, object], left: int, top: int) -> None:
    base, logo = noise(89, 60, "RGB"), noise(20, 10, "RGBA", seed=4)
    expected = base.convert("RGBA")
    layer = Image.new("RGBA", base.size)
    layer.paste(logo, (left, top))
    expected = Image.alpha_composite(expected, layer)
    result = carried_out(base, Composite(LOGO, **place), further=[logo])  # type: ignore[arg-type]
    assert off(result, pixels(expected)) <= 1


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({}, (40, 20)),
        ({"width": 30}, (30, 15)),
        ({"height": 50}, (100, 50)),
        ({"width": 90, "height": 10}, (20, 10)),
        ({"width": "20%", "height": "90%"}, (20, 10)),
        ({"scale": 0.35}, (35, 18)),
        ({"scale": 2.5}, (250, 125)),
    ],
)
def test_sizes(fields: dict[str, object], size: tuple[int, int]) -> None:
    base, red = Image.new("RGB", (100, 80), "white"), Image.new("RGB", (40, 20), "red")
    result = carried_out(base, Composite(LOGO, left=0, top=0, **fields), further=[red])  # type: ignore[arg-type]
    drawn = np.asarray(result)[..., 1] == 0
    height, width = min(size[1], 80), min(size[0], 100)
    assert drawn[:height, :width].all()
    assert drawn.sum() == width * height


def test_a_scaled_picture_has_no_fringes() -> None:
    """White under full transparency must not come through at the edges of a black disc."""
    y, x = np.mgrid[:200, :200]
    disc = np.full((200, 200, 4), 255, np.uint8)
    disc[..., 3] = 0
    disc[(x - 100) ** 2 + (y - 100) ** 2 < 80**2] = (0, 0, 0, 255)
    base = Image.new("RGB", (300, 300), (128, 128, 128))
    for fields in ({"width": 90}, {"width": 90, "angle": 30.0}, {"angle": 45.0}):
        result = carried_out(base, Composite(LOGO, **fields), further=[Image.fromarray(disc)])
        assert np.asarray(result).max() <= 129


@pytest.mark.parametrize("angle", [90, -90, 180, 270, 360])
def test_right_angles_are_exact(angle: float) -> None:
    base, logo = Image.new("RGB", (60, 60)), noise(30, 20, "RGB")
    result = carried_out(base, Composite(LOGO, left=4, top=5, angle=angle), further=[logo])
    expected = base.copy()
    expected.paste(logo.rotate(-angle, expand=True), (4, 5))
    assert off(result, pixels(expected)) == 0


@pytest.mark.parametrize("angle", [30, -45, 200])
def test_other_angles_turn_clockwise_around_the_middle(angle: float) -> None:
    base, logo = Image.new("RGB", (150, 150), "white"), pictures.scene(80, 50)
    result = carried_out(base, Composite(LOGO, angle=angle), further=[logo])
    layer = Image.new("RGBA", (150, 150))
    layer.paste(logo, (35, 50))
    expected = Image.alpha_composite(base.convert("RGBA"), layer.rotate(-angle, Image.Resampling.BICUBIC))
    assert np.abs(pixels(result) - pixels(expected)).mean() <= 1.5


@pytest.mark.parametrize(
    ("spacing", "angle", "left"), [((0, 0), 0, 0), ((7, 3), 0, 5), ((5, 11), 30, 0), ((2, 0), 90, 90)]
)
def test_tiles_repeat_by_their_period(spacing: tuple[int, int], angle: float, left: int) -> None:
    base, logo = Image.new("RGB", (200, 150), "white"), noise(30, 20, "RGBA")
    fields = {"tile": True, "spacing_x": spacing[0], "spacing_y": spacing[1], "angle": angle, "left": left, "top": 1}
    tiled = pixels(carried_out(base, Composite(LOGO, **fields), further=[logo]))  # type: ignore[arg-type]
    alone = pixels(carried_out(base, Composite(LOGO, angle=angle, left=left, top=1), further=[logo]))
    cos, sin = abs(np.cos(np.radians(angle))), abs(np.sin(np.radians(angle)))
    width, height = int(30 * cos + 20 * sin + 0.5), int(30 * sin + 20 * cos + 0.5)
    across, down = width + spacing[0], height + spacing[1]
    assert np.abs(tiled[:, across:] - tiled[:, :-across]).max() == 0
    assert np.abs(tiled[down:] - tiled[:-down]).max() == 0
    assert np.abs(tiled[1 : 1 + height, left : left + width] - alone[1 : 1 + height, left : left + width]).max() == 0
    gap = tiled[1 : 1 + height, left + width : left + across]
    assert (gap == 255).all()


def pasted(base: Image.Image, logo: Image.Image, lefts: list[int], tops: list[int]) -> Floats:
    layer = Image.new("RGBA", base.size)
    for left in lefts:
        for top in tops:
            layer.paste(logo, (left, top))
    return pixels(Image.alpha_composite(base.convert("RGBA"), layer))


@pytest.mark.parametrize(
    ("fields", "lefts", "tops"),
    [
        ({"tile": "x"}, [-25, 5, 35, 65, 95], [25]),
        ({"tile": "x", "spacing_x": 4, "left": 3, "bottom": 2}, [-31, 3, 37, 71], [48]),
        ({"tile": "y", "spacing_y": 5, "right": 7, "top": 0}, [63], [0, 25, 50]),
        ({"tile": "y", "gravity": "northeast", "offset_y": 3}, [70], [-17, 3, 23, 43, 63]),
        ({"tile": "x", "spacing_x": "even", "left": 9, "top": 6}, [0, 35, 70], [6]),
        ({"tile": "y", "spacing_y": "even", "left": 80, "top": 6}, [80], [0, 25, 50]),
        ({"tile": True, "spacing_x": "even", "spacing_y": "even"}, [0, 35, 70], [0, 25, 50]),
        ({"tile": True, "spacing_x": "even", "top": 1}, [0, 35, 70], [-19, 1, 21, 41, 61]),
        ({"tile": "x", "top": -12}, [-25, 5, 35, 65, 95], [-12]),
        ({"tile": "x", "top": -20}, [], []),
    ],
)
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_tiles_of_one_axis_and_even_ones(
    fields: dict[str, object], lefts: list[int], tops: list[int], mode: str
) -> None:
    base, logo = noise(100, 70, "RGB"), noise(30, 20, mode, seed=4)
    result = carried_out(base, Composite(LOGO, **fields), further=[logo])  # type: ignore[arg-type]
    assert off(result, pasted(base, logo, lefts, tops)) <= 1


def test_a_single_even_one_stays_at_its_place() -> None:
    base = noise(100, 70, "RGB")
    for logo in (noise(60, 20, "RGB", seed=4), noise(120, 20, "RGB", seed=4)):
        operation = Composite(LOGO, tile="x", spacing_x="even", left=10, top=3)
        assert off(carried_out(base, operation, further=[logo]), pasted(base, logo, [10], [3])) == 0


def test_tiny_tiles_are_as_many_as_asked_for() -> None:
    base, logo = Image.new("RGB", (1000, 9), "white"), Image.new("RGB", (3, 9))
    result = carried_out(base, Composite(LOGO, tile="x", spacing_x="even"), further=[logo])
    black = np.asarray(result)[:, :, 0] == 0
    assert black.sum() == 333 * 3 * 9


def test_a_spacing_wider_than_the_picture_leaves_one() -> None:
    base, logo = Image.new("RGB", (50, 40), "white"), Image.new("RGB", (4, 4))
    result = carried_out(base, Composite(LOGO, tile=True, spacing_x=16_384, spacing_y="9999%"), further=[logo])
    assert (np.asarray(result)[..., 0] == 0).sum() == 16


def test_a_svg_is_drawn_at_the_size_that_is_asked_for() -> None:
    data = pictures.svg('<rect width="20" height="20" fill="red"/><rect x="20" width="20" height="20" fill="blue"/>')
    result = carried_out(Image.new("RGB", (400, 200)), Composite(LOGO, width=400), further=[data])
    seen = np.asarray(result)
    assert (seen[:, :200] == (255, 0, 0)).all()
    assert (seen[:, 200:] == (0, 0, 255)).all(), "an edge without a soft pixel"


@pytest.mark.parametrize("orientation", pictures.ORIENTATIONS)
def test_it_is_upright(orientation: int) -> None:
    upright = pictures.scene(60, 40)
    logo = pictures.oriented_jpeg(upright, orientation)
    own = carried_out(Image.new("RGB", (60, 40)), Composite(LOGO), further=[logo])
    half = carried_out(Image.new("RGB", (30, 20)), Composite(LOGO, width=30), further=[logo])
    assert pictures.distance(own, upright) < 3
    assert pictures.distance(half, upright.resize((30, 20), Image.Resampling.LANCZOS)) < 3


def test_a_profile_is_converted() -> None:
    logo = pictures.encoded(Image.new("RGB", (20, 20), (200, 30, 30)), "png", profile=pictures.wide_gamut_profile())
    alone = carried_out(logo)
    drawn = carried_out(Image.new("RGB", (20, 20)), Composite(LOGO), further=[logo])
    assert pictures.distance(drawn, alone) <= 1
    assert np.asarray(drawn)[5, 5, 0] > 205


def test_16_bits_stay_16_and_8_become_16() -> None:
    deep = np.full((20, 30), 40_000, np.uint16)
    on_deep = carried_out(pictures.encoded(Image.fromarray(deep), "png"), Composite(LOGO, left=0, top=0), further=[
        Image.new("L", (10, 10), 100)])  # fmt: skip
    on_flat = carried_out(Image.new("L", (30, 20), 7), Composite(LOGO, left=0, top=0, width=10), further=[
        pictures.encoded(Image.fromarray(deep), "png")])  # fmt: skip
    assert (np.asarray(on_deep.convert("L"))[:10, :10] == 100).all()
    assert (np.asarray(on_deep.convert("L"))[10:] == round(40_000 / 257)).all()
    assert abs(int(np.asarray(on_flat)[2, 2]) - 40_000 / 257) < 1


@pytest.mark.parametrize("blend", ["over", "multiply", "screen"])
def test_tones_of_16_bits_reach_the_file(blend: str) -> None:
    below = np.linspace(0, 65_535, 600).astype(np.uint16).reshape(20, 30)
    above = np.full((20, 30), 40_001, np.uint16)
    base, logo = (pictures.encoded(Image.fromarray(values), "png") for values in (below, above))
    operation = Composite(LOGO, opacity=0.5, blend=blend)  # type: ignore[arg-type]
    result = np.asarray(carried_out(base, operation, further=[logo], bits=16)).astype(float)
    mixed = BLENDS[blend](below / 65_535, above / 65_535) * 65_535
    assert np.abs(result - (below + mixed) / 2).max() <= 1


@pytest.mark.parametrize("name", ["gif", "webp"])
@pytest.mark.parametrize("tile", [False, True])
def test_every_frame_gets_it_and_its_first_frame_counts(name: str, tile: bool) -> None:
    frames = [Image.new("RGB", (60, 40), (0, number * 80, 0)) for number in range(3)]
    film = pictures.film(frames, name, [50] * 3)
    logo = pictures.film([Image.new("RGB", (10, 10), colour) for colour in ("red", "blue")], name, [50] * 2)
    operation = Composite(LOGO, left=0, top=0, tile=tile, spacing_x=50 if tile else None)
    shown = frames_of(carried_out(film, operation, output_format=name, further=[logo]))  # type: ignore[arg-type]
    assert len(shown) == 3
    for number, frame in enumerate(shown):
        assert np.abs(frame[2:8, 2:8, :3] - (254, 0, 0)).max() < 20
        assert np.abs(frame[20, 50, :3] - (0, number * 80, 0)).max() < 8
        assert (np.abs(frame[35, 5, :3] - (254, 0, 0)).max() < 20) == tile


def test_several_and_one_twice() -> None:
    base, red, blue = (Image.new("RGB", (60, 40), colour) for colour in ("white", "red", "blue"))
    result = carried_out(
        base,
        Composite(OTHER, left=0, top=0, width=20),
        Resize(width=30, height=20),
        Composite(LOGO, right=0, bottom=0, width=6),
        Composite(OTHER, right=0, top=0, width=6),
        size=(30, 20),
        further=[red, blue],
    )
    seen = np.asarray(result)
    assert [tuple(seen[y, x]) for y, x in ((2, 2), (18, 27), (1, 27), (10, 20))] == [
        (255, 0, 0), (0, 0, 255), (255, 0, 0), (255, 255, 255),
    ]  # fmt: skip


WRONG = bytes_of(pictures.scene(40, 30))


@pytest.mark.parametrize(
    ("logo", "operation", "limits", "fault", "words"),
    [
        (b"no picture at all", Composite(LOGO), Limits(), SourceUnreadable, "not a picture of a known kind"),
        (WRONG[:300], Composite(LOGO), Limits(), SourceUnreadable, "cannot be decoded"),
        (pictures.svg("<rect"), Composite(LOGO, width=10), Limits(), SvgInvalid, "SVG"),
        (WRONG, Composite(LOGO), Limits(frame_pixels=1100), PictureTooLarge, "frame_pixels"),
        (WRONG, Composite(LOGO, scale=10), Limits(output_pixels=10_000), PictureTooLarge, "output_pixels"),
        (WRONG, Composite(LOGO, width=110), Limits(output_side_px=100), PictureTooLarge, "output_side_px"),
        (pictures.svg(""), Composite(LOGO, angle=45, width=90), Limits(output_side_px=90), PictureTooLarge, "side_px"),
    ],
)
def test_a_faulty_picture_is_named_by_its_field(
    logo: bytes, operation: Composite, limits: Limits, fault: type[Exception], words: str
) -> None:
    base = Image.new("RGB", (20, 20))
    with pytest.raises(fault, match=words) as caught:
        carried_out(base, Composite(OTHER, width=1), operation, limits=limits, further=[Image.new("L", (1, 1)), logo])
    assert caught.value.sentence().startswith("operations[1].image: ")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("operation", "sentences"),
    [
        (Composite(LOGO, gravity="north", left=3), ["gravity: contradicts left, give one of the two"]),
        (Composite(LOGO, left=3, right=3), ["left: contradicts right, give one of the two"]),
        (Composite(LOGO, top=3, bottom=3), ["top: contradicts bottom, give one of the two"]),
        (Composite(LOGO, scale=0.5, height=3), ["scale: contradicts height, give one of the two"]),
        (Composite(LOGO, spacing_y=3), ["spacing_y: belongs to tile = true"]),
        (Composite(LOGO, spacing_y="even", tile="x"), ["spacing_y: belongs to tile = true"]),
        (Composite(LOGO, spacing_y=3, tile="y", offset_x=2, bottom=3), []),
        (Composite(LOGO, offset_x=3, right=3), ["offset_x: contradicts right, give one of the two"]),
        (Composite(LOGO, offset_y=3, top=3), ["offset_y: contradicts top, give one of the two"]),
        (Composite(LOGO, offset_x=3, offset_y=3, gravity="north"), []),
        (Composite(LOGO, left=3, bottom=3, width=2, height=3, tile=True, spacing_x=1), []),
    ],
)
def test_fields_that_contradict_each_other(operation: Composite, sentences: list[str]) -> None:
    assert [fault.sentence() for fault in operation.faults()] == sentences
