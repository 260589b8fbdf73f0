"""Operations that keep the size, against arithmetic and published formulas: every kind of picture, 8 and 16 bits.

``SHARP`` holds results of sharp 0.35.5 (libvips 8.18.7) as base64, made once by this script for Node:

    import sharp from "sharp";
    const [width, height] = [8, 6], pixels = Buffer.alloc(width * height * 3);
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++)
      pixels.set([40 + 24 * x, 220 - 30 * y, 60 + (x * y * 37) % 120], 3 * (y * width + x));
    const of = () => sharp(pixels, { raw: { width, height, channels: 3 } });
    for (const result of [
      of().modulate({ brightness: 1.2, saturation: 0.6, hue: 70 }), of().modulate({ lightness: 12 }),
      of().tint({ r: 200, g: 90, b: 20 }), of().normalise({ lower: 0, upper: 100 }),
      of().sharpen({ sigma: 1.2, m1: 0.8, m2: 2.5 }), of().blur(1.5),
    ]) console.log((await result.raw().toBuffer()).toString("base64"));
"""

import io
from base64 import b64decode
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from imgserve.blob import Blob
from imgserve.imaging.worker import animation, load, pipeline
from imgserve.imaging.worker.canvas import Canvas
from imgserve.imaging.worker.picture import Picture
from imgserve.imaging.worker.steps.table import STEPS
from imgserve.request.encode import Encode, Format
from imgserve.request.imageinfo import Size
from imgserve.request.limits import Limits
from imgserve.request.operations.blur import Blur
from imgserve.request.operations.contrast import Contrast
from imgserve.request.operations.convolve import Convolve
from imgserve.request.operations.curve import Curve
from imgserve.request.operations.equalize import Equalize
from imgserve.request.operations.gamma import Gamma
from imgserve.request.operations.grayscale import Grayscale
from imgserve.request.operations.linear import Linear
from imgserve.request.operations.modulate import Modulate
from imgserve.request.operations.negate import Negate
from imgserve.request.operations.noise import Noise
from imgserve.request.operations.normalize import Normalize
from imgserve.request.operations.pixelate import Pixelate
from imgserve.request.operations.resize import Resize
from imgserve.request.operations.saturate import Saturate
from imgserve.request.operations.sharpen import Sharpen
from imgserve.request.operations.threshold import Threshold
from imgserve.request.operations.tint import Tint
from imgserve.request.recipe import Operation, Recipe
from imgserve.request.rendering import Rendering
from tests.support import colours, pictures, rasters
from tests.support.colours import Floats
from tests.unit.imaging.conftest import opened, render_bytes

Pixels = NDArray[Any]

WIDTH, HEIGHT = 31, 22
GREY, GREY_ALPHA, RGB, RGBA = 1, 2, 3, 4
MODES = {GREY: "L", GREY_ALPHA: "LA", RGB: "RGB", RGBA: "RGBA"}


def picture(bands: int, dtype: type = np.uint8, seed: int = 5) -> Pixels:
    """Smooth with noise and an edge; its alpha has all values, hidden colours too."""
    rng = np.random.default_rng(seed)
    x, y = np.linspace(0, 1, WIDTH)[None, :, None], np.linspace(0, 1, HEIGHT)[:, None, None]
    phase = rng.uniform(0, 6, bands)
    values = 0.5 + 0.35 * np.sin(5 * x + 3 * y + phase) + 0.15 * (x > 0.6) + rng.normal(0, 0.02, (HEIGHT, WIDTH, bands))
    if bands in (GREY_ALPHA, RGBA):
        values[:, :, -1:] = np.clip(1.4 * y - 0.2, 0, 1) + 0 * x
    return (np.clip(values, 0, 1) * np.iinfo(dtype).max).round().astype(dtype)


def canvas_of(pixels: Pixels) -> Canvas:
    """As the pipeline opens a PNG, with tones of 16 bits."""
    return Canvas(load.whole(Picture(rasters.png(pixels), "png", is_deep=True)), 1)


def pixels_of(canvas: Canvas) -> Pixels:
    image = canvas.image
    dtype = {"uchar": np.uint8, "ushort": np.uint16}[image.format]
    memory = np.frombuffer(bytes(image.write_to_memory()), dtype)
    return memory.reshape(image.height, image.width, image.bands)


def carried_out(pixels: Pixels, *operations: Operation) -> Pixels:
    canvas = canvas_of(pixels)
    for operation in operations:
        canvas = STEPS[type(operation)](canvas, operation, canvas.size)
    return pixels_of(canvas)


def split(pixels: Pixels) -> tuple[Floats, Floats | None]:
    """Colours and alpha, from 0 to 255."""
    values = pixels / np.iinfo(pixels.dtype).max * 255
    has_alpha = pixels.shape[2] in (GREY_ALPHA, RGBA)
    return (values[..., :-1], values[..., -1:]) if has_alpha else (values, None)


def of_colours(formula: Callable[[Floats], Floats]) -> Callable[[Pixels], Floats]:
    """The alpha left alone. A formula of three colours gets a grey three times, and one of the results is its."""

    def expected(pixels: Pixels) -> Floats:
        seen, alpha = split(pixels)
        result = formula(seen)
        return result if alpha is None else np.concatenate([result, alpha], axis=-1)

    return expected


def of_three(formula: Callable[[Floats], Floats]) -> Callable[[Pixels], Floats]:
    def of_any(seen: Floats) -> Floats:
        return formula(seen) if seen.shape[2] == RGB else formula(np.repeat(seen, 3, axis=-1))[..., :1]

    return of_colours(of_any)


def of_premultiplied(formula: Callable[[Floats], Floats]) -> Callable[[Pixels], Floats]:
    def expected(pixels: Pixels) -> Floats:
        seen, alpha = split(pixels)
        if alpha is None:
            return formula(seen)
        mixed, share = formula(seen * alpha / 255), formula(alpha)
        return np.concatenate([np.divide(mixed * 255, share, out=0 * mixed, where=share > 0), share], axis=-1)

    return expected


def normalized(pixels: Pixels, lower: float, upper: float) -> Floats:
    seen, alpha = split(pixels)
    is_seen = np.full(seen.shape[:2], True) if alpha is None else alpha[..., 0] > 0

    def stretched(three: Floats) -> Floats:
        lightness = np.sort(colours.lab_of(three)[..., 0][is_seen])
        low, high = (lightness[max(0, int(np.ceil(len(lightness) * part / 100)) - 1)] for part in (lower, upper))
        return colours.stretched(three, low, high)

    return of_three(stretched)(pixels)


def equalized(pixels: Pixels, counted: Pixels | None = None) -> Floats:
    """By the visible pixels of ``counted``."""
    counted = pixels if counted is None else counted
    most = np.iinfo(pixels.dtype).max
    seen, alpha = split(pixels)
    is_seen = np.full(counted.shape[:2], True) if alpha is None else counted[..., -1] > 0
    channels = []
    for channel in range(seen.shape[2]):
        values = np.sort(counted[..., channel][is_seen])
        above = np.searchsorted(values, pixels[..., channel], "right") - np.searchsorted(values, values[0], "right")
        channels.append(np.clip(above, 0, None) / (len(values) - np.searchsorted(values, values[0], "right")))
    result = (np.stack(channels, axis=-1) * most + 0.5).astype(int) / most * 255
    return result if alpha is None else np.concatenate([result, alpha], axis=-1)


def sharpened(pixels: Pixels, sigma: float, flat: float, jagged: float) -> Floats:
    """Colours that cannot be seen are those of their visible neighbours."""
    seen, alpha = split(pixels)
    if alpha is not None:
        mixed, share = (colours.gaussian(values, sigma, 0.1) for values in (seen * alpha, alpha))
        near = np.divide(mixed, share, out=0 * mixed, where=share > 0)
        pixels = np.concatenate([np.where(alpha == 0, near, seen), alpha], axis=-1) * np.iinfo(pixels.dtype).max / 255
        pixels = pixels.round().astype(np.uint16 if pixels.max() > 255 else np.uint8)
    return of_three(lambda v: colours.sharpened(v, sigma, flat, jagged))(pixels)


def on_grey(formula: Callable[[Floats], Floats]) -> Callable[[Pixels], Floats]:
    """Of the luminance, which is rounded to a level before."""

    def expected(pixels: Pixels) -> Floats:
        level = 255 / np.iinfo(pixels.dtype).max
        return of_colours(lambda seen: formula((luminance(seen) / level).round() * level))(pixels)

    return expected


def luminance(seen: Floats) -> Floats:
    return seen if seen.shape[2] == GREY else colours.luminance(seen)


def luma(seen: Floats) -> Floats:
    return seen if seen.shape[2] == GREY else (seen @ [0.299, 0.587, 0.114])[..., None]


def summed(pixels: Pixels, mask: Sequence[Sequence[float]], offset: float) -> Floats:
    """The alpha left alone. A transparent neighbour counts as the pixel itself."""
    seen, alpha = split(pixels)
    if alpha is None:
        return colours.convolved(seen, mask) + offset
    share = alpha / 255
    sums = colours.convolved(seen * share, mask) + seen * colours.convolved(1 - share, mask) + offset
    return np.concatenate([sums, alpha], axis=-1)


def brighter(pixels: Pixels, mask: Sequence[Sequence[float]]) -> Floats:
    """The colours, each by what the luma changes by. The alpha left alone."""
    seen, alpha = split(pixels)
    grey = (seen @ [0.299, 0.587, 0.114])[..., None] if seen.shape[-1] > 1 else seen
    share = np.ones_like(grey) if alpha is None else alpha / 255
    sums = colours.convolved(grey * share, mask) + grey * colours.convolved(1 - share, mask)
    changed = seen + sums - grey
    return changed if alpha is None else np.concatenate([changed, alpha], axis=-1)


def mirrored_cells(values: Floats, side: int) -> Floats:
    height, width = values.shape[:2]
    wide = np.pad(values, ((0, -height % side), (0, -width % side), (0, 0)), mode="symmetric")
    return colours.cells(wide, side)[:height, :width]


SOFT = ((1, 2, 0, 0, 3), (0, 0, 1, 0, 0), (4, 0, 0, 2, 0))
CRISP = ((0, -0.5, 0), (-0.5, 2.8, -0.2), (0, -0.6, 0))
EDGES = ((-1, -2, -1), (0, 0, 0), (1, 2, 1))
BENT = ((10, 40), (60, 30), (90.5, 250), (128, 130), (200, 135), (240, 0))


def saturated(three: Floats, factor: float) -> Floats:
    grey = np.sqrt(three**2 @ [0.299, 0.587, 0.114])[..., None]
    return grey + (three - grey) * factor


class Case(NamedTuple):
    """``mean`` and ``most``: of the distance to the expected value, beyond its rounding, in levels of 255.

    Of 16 bits a tenth of both is allowed.
    """

    operation: Operation
    expected: Callable[[Pixels], Floats]
    mean: float = 0
    most: float = 0
    bands: dict[int, int] = {}  # noqa: RUF012 - never changed


ONE_BAND = {RGB: GREY, RGBA: GREY_ALPHA}
COLOURED = {GREY: RGB, GREY_ALPHA: RGBA}
BY_CHANNEL = np.array([1.5, 0.7, -1]), np.array([-20, 0.25, 255])
CASES = {
    "blur": Case(Blur(sigma=1.5), of_premultiplied(lambda v: colours.gaussian(v, 1.5)), 0.1, 0.6),
    "blur by 6": Case(Blur(sigma=6), of_premultiplied(lambda v: colours.gaussian(v, 6)), 0.3, 1.2),
    "blur by nothing": Case(Blur(sigma=0.5), of_premultiplied(lambda v: v)),
    "blur to a radius": Case(
        Blur(sigma=3, radius=3), of_premultiplied(lambda v: colours.gaussian_to(v, 3, 3)), 0.001, 0.01
    ),
    "blur to a far radius": Case(
        Blur(sigma=1, radius=40), of_premultiplied(lambda v: colours.gaussian_to(v, 1, 40)), 0.001, 0.01
    ),
    "contrast": Case(Contrast(factor=1.7), of_colours(lambda v: 127.5 + 1.7 * (v - 127.5))),
    "no contrast": Case(Contrast(factor=0), of_colours(lambda v: 127.5 + 0 * v)),
    "convolve to a mean": Case(
        Convolve(mask=SOFT), of_premultiplied(lambda v: colours.convolved(v, SOFT) / 13), 0.001, 0.01
    ),
    "convolve to a crisp mean": Case(
        Convolve(mask=CRISP, normalize=False), of_premultiplied(lambda v: colours.convolved(v, CRISP)), 0.001, 0.02
    ),
    "convolve to edges": Case(
        Convolve(mask=EDGES, offset=100), lambda p: summed(p, EDGES, 100), 0.001, 0.01
    ),
    "convolve to a sum": Case(
        Convolve(mask=SOFT, normalize=False, offset=-70), lambda p: summed(p, SOFT, -70), 0.001, 0.01
    ),
    "convolve the luma": Case(
        Convolve(mask=CRISP, normalize=False, channels="luma"), lambda p: brighter(p, CRISP), 0.001, 0.02
    ),
    "convolve by one number": Case(Convolve(mask=((7.0,),)), of_colours(lambda v: v)),
    "curve": Case(Curve(all=BENT), of_colours(lambda v: colours.spline(BENT, v))),
    "straight curve": Case(Curve(all=((20, 0), (200, 240))), of_colours(lambda v: np.clip((v - 20) * 4 / 3, 0, 240))),
    "curve of a channel": Case(
        Curve(green=BENT), of_colours(lambda v: np.stack(
            [v[..., 0], colours.spline(BENT, v[..., v.shape[2] // 2]), v[..., -1]], axis=-1
        )), bands=COLOURED,
    ),
    "equalize": Case(Equalize(), equalized),
    "gamma": Case(Gamma(gamma=2.2), of_colours(lambda v: 255 * (v / 255) ** (1 / 2.2))),
    "dark gamma": Case(Gamma(gamma=0.4), of_colours(lambda v: 255 * (v / 255) ** 2.5)),
    "luminance": Case(Grayscale(), of_colours(luminance), 0.1, 0.6, ONE_BAND),
    "luma": Case(Grayscale(method="luma"), of_colours(luma), bands=ONE_BAND),
    "linear": Case(Linear(multiply=1.3, add=-12.5), of_colours(lambda v: 1.3 * v - 12.5)),
    "linear of each channel": Case(
        Linear(multiply=(1.5, 0.7, -1), add=(-20, 0.25, 255)),
        of_colours(lambda v: v * BY_CHANNEL[0] + BY_CHANNEL[1]),
        bands=COLOURED,
    ),
    "linear of equal channels": Case(Linear(multiply=(2, 2, 2), add=(-9,)), of_colours(lambda v: 2 * v - 9)),
    "modulate": Case(
        Modulate(brightness=1.2, saturation=0.6, hue=70, lightness=-4),
        of_three(lambda v: colours.modulated(v, 1.2, 0.6, 70, -4)), 0.1, 1,
    ),
    "modulate by nothing": Case(Modulate(), of_colours(lambda v: v)),
    "negate": Case(Negate(), of_colours(lambda v: 255 - v)),
    "normalize": Case(Normalize(lower=5, upper=80), lambda p: normalized(p, 5, 80), 0.1, 1),
    "normalize all": Case(Normalize(lower=0, upper=100), lambda p: normalized(p, 0, 100), 0.1, 1),
    "pixelate": Case(Pixelate(size=5), of_premultiplied(lambda v: colours.cells(v, 5)), 0, 0.001),
    "pixelate with mirrors": Case(
        Pixelate(size=9, mirror=True), of_premultiplied(lambda v: mirrored_cells(v, 9)), 0, 0.01
    ),
    "pixelate to one": Case(Pixelate(size=512), of_premultiplied(lambda v: colours.cells(v, 512)), 0, 0.001),
    "saturate": Case(Saturate(factor=1.7), of_three(lambda v: saturated(v, 1.7)), 0.001, 0.001),
    "no saturation": Case(Saturate(factor=0), of_three(lambda v: saturated(v, 0)), 0.001, 0.001),
    "the opposite hue": Case(Saturate(factor=-1), of_three(lambda v: saturated(v, -1)), 0.001, 0.001),
    "sharpen": Case(Sharpen(sigma=1.2, flat=0.8, jagged=2.5), lambda p: sharpened(p, 1.2, 0.8, 2.5), 0.1, 1),
    "threshold": Case(
        Threshold(value=116), on_grey(lambda v: np.where(abs(v - 116) < 1, np.nan, 255 * (v > 116))), bands=ONE_BAND
    ),
    "tint": Case(Tint(color="#c85a14"), on_grey(lambda v: colours.tinted(v, (200, 90, 20))), 0.2, 2.5, COLOURED),
}  # fmt: skip


def check(result: Pixels, source: Pixels, case: Case) -> None:
    expected = np.clip(case.expected(source), 0, 255)
    most = np.iinfo(source.dtype).max
    part = 1 if most == 255 else 0.1
    assert result.dtype == source.dtype
    assert result.shape == expected.shape
    assert result.shape[2] == case.bands.get(source.shape[2], source.shape[2])
    distance = np.clip(np.abs(result / most * 255 - expected) - 0.5 * 255 / most - 1e-9, 0, None)
    if result.shape[2] in (GREY_ALPHA, RGBA):
        assert distance[..., -1].max() <= case.most * part
        distance = distance[expected[..., -1] >= 1]
    distance = np.nan_to_num(distance)  # NaN: a matter of rounding
    assert distance.mean() <= case.mean * part
    assert distance.max() <= case.most * part


@pytest.mark.parametrize("name", CASES)
def test_files_of_8_bits(name: str) -> None:
    case = CASES[name]
    for bands in MODES:
        source = picture(bands)
        image = opened(render_bytes(rasters.png(source), case.operation, (WIDTH, HEIGHT)))
        assert image.mode == MODES[case.bands.get(bands, bands)]
        result = np.asarray(image)
        check(result[..., None] if image.mode == "L" else result, source, case)


@pytest.mark.parametrize("name", CASES)
def test_tones_of_16_bits(name: str) -> None:
    for bands in MODES:
        source = picture(bands, np.uint16)
        check(carried_out(source, CASES[name].operation), source, CASES[name])


def test_16_bits_in_a_file_of_8() -> None:
    """A dark picture made lighter: 8 bits from the start would leave steps."""
    source = (np.arange(16 * 16).reshape(16, 16, 1) * 8).astype(np.uint16)
    image = opened(render_bytes(rasters.png(source), Linear(multiply=32), (16, 16)))
    assert (np.asarray(image) == np.rint(source[..., 0] * 32 / 257)).all()


def test_16_bits_in_a_file_of_16() -> None:
    source = np.arange(1 << 16).reshape(256, 256, 1).astype(np.uint16)
    recipe = Recipe((Negate(), Linear(multiply=0.5)), Encode("png", bit_depth=16))
    result = np.asarray(written(rasters.png(source), recipe, Size(256, 256)))
    assert (result == (65_535 - source[..., 0].astype(int) + 1) // 2).all()


NOISE = [[148, 110, 108, 172], [83, 93, 93, 117]]
SHARP = [
    (
        Modulate(brightness=1.2, saturation=0.6, hue=70),
        "AP//AP//AP//AP//Nf//XP//d///jf/+AOH2Rt/3h932t9z0c+jppuno0evnovnXAL3QhLfRXb7KsLrLlcPEgM25xMy+sti0"
        "H5iop4+pp5OnqJijq5+fsKabtq+WvbmTN3OAX3N+gHV9nnd8u3x9io9uqJZxxZ52Pk9Yek1YXVlRk1pXe2pPrm5bmoFRzIZg",
    ),
    (
        Modulate(lightness=12),
        "XP9ea/9efv9flP9fq/9fw/9f2/9f9P5fVuBcZuCAeuCmkd/Mqd93wd+c2t/C9N9vUMFbYsGmeMF2kMDCqMCTwsBl2sCw88CB"
        "S6JZY6HMeKHDj6G5p6GwwKGn2qKd86KUR4JYXYJ2doKTj4KwqILNwoJt24OK9ISnRGNYX2KcdmJikGOnqWNtwmWx3GZ39Gm7",
    ),
    (
        Tint(color="#c85a14"),
        "/6p4/6p5/619/6+B/7SG/7eM/72U/8Od84lN9YxQ+JFW+5Vd+5Vd/ptl/6Rx/6d122wp4HEw4HEw6Ho76Xw8634/8ohM9o5U"
        "vVEIylwWzF4ZzmAb02Qg2Gkm4HEw5ng4mjoAoT0AqkMAs0oAvlIKvlIKy10X1mgkdCcAhC4AhC4AmDkAnDsAsEgAt0wCylwW",
    ),
    (
        Normalize(lower=0, upper=100),
        "WPxcaf1cff5dlP9frv9iyP9l5P9o//9sOchGTspsaM2UgtG9mtBpttSS1Nq97ttqF5YzOpqAUppTcJ+iiKB1o6NJwqqa3q1u"
        "AGUiJW2VRG6OX3GHeXSBlXd9sXx4z4F0ADcTFzswMz9OT0RubEqQgko3oVBZwld8AAwAABVDIxQUQBlWVhomeSBtkyM9uCyG",
    ),
    (
        Sharpen(sigma=1.2, flat=0.8, jagged=2.5),
        "RO1NVexMaetLf+pKlepKrelJxupK4+5PKr89Qr9iWsCIc8KviL5YosB/u8Kl0sBRJp87QaCGVp5WcaGjhp9ynZ5EuaGR0aFj"
        "JoA7RIWvWoOjcIKZh4GQn4GGt4F+0YN2JGA5PGBVVWFxbmOPiWWtmV5KtWJp0WWJEC4lNj1zQC8vZz5+cjM9m0KNqjpP0Eab",
    ),
    (
        Blur(sigma=1.5),
        "M85CQ85KWM5RcM5TiM5ToM5Rtc5Oxc5MM7pKQ7paWLplcLppiLpooLpktbpfxbpbM6BRQ6BlWKB2cKB8iKB5oKB0taBtxaBq"
        "M4JTQ4JpWIJ8cIKEiIKAoIJ7tYJ3xYJ2M2hRQ2hkWGh1cGh+iGh8oGh6tWh6xWh+M1ROQ1RfWFRscFR2iFR1oFR4tVR8xVSF",
    ),
]


@pytest.mark.parametrize(("operation", "pixels"), SHARP)
def test_the_same_as_sharp(operation: Operation, pixels: str) -> None:
    x, y = np.arange(8)[None, :] + np.zeros((6, 1)), np.arange(6)[:, None] + np.zeros((1, 8))
    source = np.stack([40 + 24 * x, 220 - 30 * y, 60 + (x * y * 37) % 120], axis=-1).astype(np.uint8)
    expected = np.frombuffer(b64decode(pixels), np.uint8).reshape(6, 8, 3)
    distance = np.abs(carried_out(source, operation).astype(int) - expected)
    assert np.abs(expected.astype(int) - source).mean() > 5, "it must change something"
    # sharp takes the ends of L as whole numbers.
    assert distance.max() <= (3 if isinstance(operation, Normalize) else 1)


def test_a_half_is_rounded_up() -> None:
    for dtype in (np.uint8, np.uint16):
        most = np.iinfo(dtype).max
        source = np.arange(most + 1).reshape(16, -1, 1).astype(dtype)
        values = source.astype(int)
        assert (carried_out(source, Linear(multiply=0.5)) == (values + 1) // 2).all()
        lower = np.clip(2 * values - most // 255 + 1, 0, None) // 2
        assert (carried_out(source, Linear(add=-0.5)) == lower).all()
        assert (carried_out(source, Contrast(factor=0.5)) == (2 * values + most + 2) // 4).all()
        assert (carried_out(source, Threshold(value=97)) == np.where(values >= 97 * most // 255, most, 0)).all()


def test_luma_is_exact() -> None:
    source = np.random.default_rng(3).integers(0, 256, (90, 90, 3)).astype(np.uint8)
    red, green, blue = np.moveaxis(source.astype(int), -1, 0)
    expected = (299 * red + 587 * green + 114 * blue + 500) // 1000
    assert (carried_out(source, Grayscale(method="luma"))[..., 0] == expected).all()


@pytest.mark.parametrize(
    "operation",
    [
        Blur(sigma=3),
        Blur(sigma=9, radius=9),
        Blur(sigma=20),
        Convolve(mask=((1,) * 9,) * 9),
        Pixelate(size=7),
        Sharpen(sigma=3),
    ],
)
@pytest.mark.parametrize("hidden", [(0, 0, 0, 0), (255, 255, 255, 0), (0, 255, 0, 0)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_hidden_colours_leave_no_fringe(operation: Operation, hidden: tuple[int, ...], dtype: type) -> None:
    """A disc of one colour with a soft edge stays of this colour wherever it can be seen."""
    colour = (180, 90, 40)
    y, x = np.mgrid[:40, :50]
    alpha = np.clip(14 - np.hypot(x - 24, y - 20), 0, 1)
    source = np.empty((40, 50, 4))
    source[:] = hidden
    source[alpha > 0] = (*colour, 0)
    source[..., 3] = alpha * 255
    result = carried_out((source * (np.iinfo(dtype).max / 255)).round().astype(dtype), operation)
    is_seen = result[..., 3] > 0
    assert is_seen.sum() > 500
    assert np.abs(result[is_seen][:, :3] / np.iinfo(dtype).max * 255 - colour).max() <= 1.1


@pytest.mark.parametrize(("bands", "dtype", "sigma"), [(3, np.uint8, 130), (4, np.uint8, 30), (1, np.uint16, 21)])
def test_a_large_blur_takes_the_detour(bands: int, dtype: type, sigma: float) -> None:
    by_detour(bands, dtype, Case(Blur(sigma=sigma), of_premultiplied(lambda v: colours.gaussian(v, sigma))))


@pytest.mark.parametrize(("bands", "sigma", "radius"), [(3, 150, 150), (4, 48, 48), (1, 30, 150), (3, 250, 71)])
def test_a_blur_to_a_large_radius_takes_the_detour(bands: int, sigma: float, radius: int) -> None:
    formula = of_premultiplied(lambda v: colours.gaussian_to(v, sigma, radius))
    by_detour(bands, np.uint8, Case(Blur(sigma=sigma, radius=radius), formula))


def by_detour(bands: int, dtype: type, case: Case) -> None:
    source = np.kron(picture(bands, dtype), np.ones((7, 7, 1), dtype))
    source[::3] = 0
    result, expected = carried_out(source, case.operation) / np.iinfo(dtype).max * 255, case.expected(source)
    distance = np.abs(result - expected)
    if bands == RGBA:
        distance = distance * expected[..., -1:] / 255  # as visible as the pixels are
    assert distance.mean() < 0.5
    assert distance.max() < 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("amount", [1, 2, 9, 100, 255])
def test_noise_is_uniform_and_grey(amount: int, dtype: type) -> None:
    """Each of so many levels as often as any other, independent of place, the same for each channel of a pixel."""
    level = np.iinfo(dtype).max // 255
    source = np.full((400, 500, RGBA), (100, 128, 127, 90), dtype) * dtype(level)
    added = carried_out(source, Noise(amount=amount, seed=7)).astype(int) - source
    assert (added % level == 0).all()
    assert (added[..., 3] == 0).all()
    grain = added[..., 0] // level
    is_within = np.abs(grain) < 90  # beyond, a channel may be clipped
    assert (added[is_within][:, :3] == added[is_within][:, :1]).all()
    values, counts = np.unique(grain, return_counts=True)
    assert values.tolist() == [v for v in range(-(amount // 2), amount - amount // 2) if v >= -100]
    if amount < 200:
        assert np.abs(counts / (grain.size / amount) - 1).max() < 5 * np.sqrt(amount / grain.size)
        for shifted in (grain[1:] * grain[:-1], grain[:, 1:] * grain[:, :-1]):
            assert abs(shifted.mean() - grain.mean() ** 2) < 5 * amount**2 / 12 / np.sqrt(grain.size) + 1e-9


def test_the_same_seed_gives_the_same_noise() -> None:
    """Anywhere and for ever: these values are stored."""
    source = np.full((2, 4, 1), 128, np.uint8)
    assert (carried_out(source, Noise(amount=100, seed=7))[..., 0] == NOISE).all()
    assert (carried_out(source, Noise(amount=100))[..., 0] != NOISE).any()
    wide = np.full((700, 1000, 3), 128, np.uint8)  # more than is drawn at once
    assert (carried_out(wide, Noise(amount=9, seed=1)) == carried_out(wide, Noise(amount=9, seed=1))).all()


def test_each_frame_has_a_noise_of_its_own() -> None:
    canvas, frames = film(RGB)
    result = frames_in(STEPS[Noise](canvas, Noise(amount=20), canvas.size)).astype(int)
    grains = [after - before for after, before in zip(result, frames, strict=True)]
    assert all(np.abs(grain).max() == 10 for grain in grains)
    assert (grains[0] != grains[1]).mean() > 0.5 < (grains[1] != grains[2]).mean()


def test_a_curve_of_three_points() -> None:
    """At the middle of a half the bend is a sixteenth of its square times the second derivative in the middle."""
    points = ((0, 0), (128, 192), (248, 240))
    bend = 3 * (48 / 120 - 192 / 128) / 248
    middles = (0 + 192) / 2 - 128**2 / 16 * bend, (192 + 240) / 2 - 120**2 / 16 * bend
    source = np.array([[0], [64], [128], [188], [248], [255]], np.uint8)[..., None]
    result = carried_out(source, Curve(all=points))[:, 0, 0]
    assert result.tolist() == [0, round(middles[0]), 192, round(middles[1]), 240, 240]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_curve_for_all_comes_last(dtype: type) -> None:
    source, after = picture(RGBA, dtype), Curve(all=((0, 30), (100, 90), (255, 200)))
    of_channels = Curve(red=BENT, green=((0, 255), (255, 0)), blue=((90, 0), (120, 200)))
    at_once = msgspec.structs.replace(of_channels, all=after.all)
    assert (carried_out(source, at_once) == carried_out(source, of_channels, after)).all()
    assert (carried_out(source, at_once) != carried_out(source, after, of_channels)).any()


def test_equal_curves_of_channels_leave_grey_grey() -> None:
    source = picture(GREY_ALPHA)
    result = carried_out(source, Curve(red=BENT, green=BENT, blue=BENT))
    assert (result == carried_out(source, Curve(all=BENT))).all()


def test_the_offset_of_a_mean_of_transparent_pixels() -> None:
    source = picture(RGBA)
    mask = ((1, 1, 1),)
    plain, moved = (carried_out(source, Convolve(mask=mask, offset=offset)).astype(int) for offset in (0, 30))
    is_seen = (plain[..., 3] > 20) & (plain[..., :3].max(axis=-1) < 225)
    assert is_seen.sum() > 100
    assert np.abs((moved - plain)[is_seen] - (30, 30, 30, 0)).max() <= 1
    assert (moved[..., 3] == plain[..., 3]).all()


def test_edges_of_a_flat_shape_are_those_of_its_colours() -> None:
    """Not of its outline: hidden pixels of another colour draw no line."""
    source = np.full((9, 9, 4), (200, 100, 50, 255), np.uint8)
    source[:, 5:] = (0, 0, 0, 0)
    result = carried_out(source, Convolve(mask=((-1, 0, 1),), offset=128))
    assert (result[:, :5] == (128, 128, 128, 255)).all()
    assert (result[:, 5:, 3] == 0).all()


def film(bands: int) -> tuple[Canvas, list[Pixels]]:
    """Three frames, as the pipeline opens them."""
    frames = [picture(bands, seed=seed) for seed in (1, 2, 3)]
    images = [Image.fromarray(frame) for frame in frames]
    out = io.BytesIO()
    images[0].save(out, "WEBP", save_all=True, append_images=images[1:], duration=50, lossless=True, exact=True)
    return Canvas(animation.as_it_is(Picture(out.getvalue(), "webp")), 3), frames


def frames_in(result: Canvas) -> Pixels:
    return pixels_of(result).reshape(3, HEIGHT, WIDTH, -1)


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith(("normalize", "equalize"))])
def test_each_frame_alone(name: str) -> None:
    case = CASES[name]
    for bands in (RGB, RGBA):
        canvas, frames = film(bands)
        result = STEPS[type(case.operation)](canvas, case.operation, canvas.size)
        assert (result.frames, result.size) == (3, canvas.size)
        assert result.image.get("delay") == [50, 50, 50]
        for after, before in zip(frames_in(result), frames, strict=True):
            check(after, before, case)


def test_one_stretch_for_all_frames() -> None:
    canvas, frames = film(RGB)
    result = frames_in(STEPS[Normalize](canvas, Normalize(lower=10, upper=90), canvas.size))
    lightness = np.sort(colours.lab_of(frames[0])[..., 0], axis=None)
    low, high = (lightness[int(np.ceil(len(lightness) * part)) - 1] for part in (0.1, 0.9))
    for after, before in zip(result, frames, strict=True):
        assert np.abs(after - colours.stretched(before, low, high)).max() <= 1.5


def test_one_table_for_all_frames() -> None:
    canvas, frames = film(RGBA)
    result = frames_in(STEPS[Equalize](canvas, Equalize(), canvas.size))
    for after, before in zip(result, frames, strict=True):
        assert np.abs(after - equalized(before, frames[0]))[before[..., 3] > 0].max() < 0.001


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_equalize_uses_the_whole_range_in_equal_parts(dtype: type) -> None:
    most = np.iinfo(dtype).max
    source: Pixels = (picture(RGB, dtype) // 5 + most // 3).astype(dtype)
    result = carried_out(source, Equalize())
    for channel in np.moveaxis(result, -1, 0):
        assert (channel.min(), channel.max()) == (0, most)
        parts, _ = np.histogram(channel, 4, (0, most + 1))
        assert np.abs(parts / channel.size - 0.25).max() < 0.04


def test_a_flat_picture_is_not_equalized() -> None:
    """Nor one without any visible pixel, and hidden pixels do not count."""
    flat = np.full((8, 8, 4), 120, np.uint8)
    assert (carried_out(flat, Equalize()) == flat).all()
    flat[:4, :] = (255, 0, 7, 0)
    assert (carried_out(flat, Equalize()) == flat)[4:].all()
    flat[..., 3] = 0
    assert (carried_out(flat, Equalize()) == flat).all()


def test_a_flat_picture_is_not_normalized() -> None:
    """Nor one without any visible pixel, and hidden pixels do not count."""
    flat = np.full((8, 8, 4), 120, np.uint8)
    flat[:4, :, :3] = 121
    assert (carried_out(flat, Normalize()) == flat).all()
    flat[:4, :] = (255, 255, 255, 0)
    flat[0, 0] = (0, 0, 0, 0)
    assert (carried_out(flat, Normalize(lower=0, upper=100)) == flat).all()
    flat[..., 3] = 0
    assert (carried_out(flat, Normalize()) == flat).all()


# Of a flat area a level decides, so its own test takes the same decoder's pixels.
@pytest.mark.parametrize("name", [name for name in CASES if name != "equalize"])
def test_behind_a_fused_resize(name: str) -> None:
    """The canvas is a decoder that can be read once, from the top."""
    case = CASES[name]
    scene = pictures.scene(WIDTH * 8, HEIGHT * 8)
    small = np.asarray(scene.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS))
    recipe = Recipe((Resize(width=WIDTH, height=HEIGHT), case.operation), Encode("png"))
    result = written(pictures.encoded(scene, "jpeg"), recipe, Size(WIDTH, HEIGHT))
    expected = np.clip(case.expected(small), 0, 255)
    seen = np.asarray(result).reshape(expected.shape)
    assert np.nanmean(np.abs(seen - expected)) < 4


def test_equalize_behind_a_fused_resize() -> None:
    data, size = pictures.encoded(pictures.scene(WIDTH * 8, HEIGHT * 8), "jpeg"), Size(WIDTH, HEIGHT)
    resized = np.asarray(written(data, Recipe((Resize(WIDTH, HEIGHT),), Encode("png")), size))
    result = np.asarray(written(data, Recipe((Resize(WIDTH, HEIGHT), Equalize()), Encode("png")), size))
    assert np.abs(result - equalized(resized)).max() < 0.001


@pytest.mark.parametrize("output_format", ["gif", "webp"])
@pytest.mark.parametrize("is_grey", [False, True])
def test_films_stay_films(output_format: Format, is_grey: bool) -> None:
    frames = [picture(RGB, seed=seed) for seed in (1, 2, 3)]
    data = pictures.film([Image.fromarray(frame) for frame in frames], "webp", [70, 90, 110])
    recipe = Recipe((Blur(sigma=2), Negate(), *((Grayscale(),) if is_grey else ())), Encode(output_format))
    result = written(data, recipe, Size(WIDTH, HEIGHT))
    assert getattr(result, "n_frames", 1) == 3
    for number, frame in enumerate(frames):
        result.seek(number)
        seen = np.asarray(result.convert("RGB"))
        assert result.info["duration"] == [70, 90, 110][number]
        expected = 255 - colours.gaussian(frame.astype(float), 2)
        assert np.abs(seen - (luminance(expected) if is_grey else expected)).mean() < 8


@pytest.mark.parametrize(("output_format", "mode"), [("jpeg", "L"), ("tiff", "L"), ("png", "L"), ("webp", "RGB")])
def test_a_grey_result_has_one_channel_in_its_file(output_format: Format, mode: str) -> None:
    for operations in ((Grayscale(),), (Threshold(),), (Grayscale(), Sharpen(), Gamma(gamma=2), Normalize())):
        recipe = Recipe(operations, Encode(output_format))
        assert written(rasters.png(picture(RGB)), recipe, Size(WIDTH, HEIGHT)).mode == mode


def written(data: bytes, recipe: Recipe, size: Size) -> Image.Image:
    assert recipe.encode.format is not None
    with Blob() as result:
        pipeline.render(data, Rendering(recipe, size, recipe.encode.format), Limits(), result.fd)
        with open(f"/proc/self/fd/{result.fd}", "rb") as file:
            return opened(file.read())


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (90, 1), (2, 3)])
def test_narrow_and_flat_pictures(size: tuple[int, int]) -> None:
    """Every operation takes any shape, and those that mix pixels change nothing of a single colour."""
    for bands, dtype in ((GREY, np.uint8), (RGB, np.uint8), (RGBA, np.uint16)):
        source = np.full((size[1], size[0], bands), 77 * (np.iinfo(dtype).max // 255), dtype)
        for case in CASES.values():
            result = carried_out(source, case.operation)
            assert result.shape == (size[1], size[0], case.bands.get(bands, bands))
        for sigma in (0.3, 5, 99, 250):
            assert (carried_out(source, Blur(sigma=sigma)) == source).all()
            assert (carried_out(source, Blur(sigma=sigma, radius=150)) == source).all()
        for operation in (Pixelate(size=2), Pixelate(size=512), Normalize(), Equalize()):
            assert (carried_out(source, operation) == source).all()
        sharp = carried_out(source, Sharpen(sigma=10)).astype(int)
        assert np.abs(sharp - source).max() <= np.iinfo(dtype).max / 255 * 0.1 + 0.5
