"""resize: its fits, kernels and light, against numpy's arithmetic, written down from the formulas here.

A kernel's picture is the sum of all pixels by its weights, one axis after the other: Turkowski, "Filters for Common
Resampling Tasks"; Mitchell and Netravali, "Reconstruction Filters in Computer Graphics"; Keys for the cubic one.
"""

import io
import time
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from imgserve.blob import Blob
from imgserve.imaging.faults import PictureTooLarge
from imgserve.imaging.worker import pipeline
from imgserve.imaging.worker.formats import resizer
from imgserve.request.encode import Encode, Format
from imgserve.request.geometry import Focal
from imgserve.request.imageinfo import Size
from imgserve.request.limits import Limits
from imgserve.request.operations.crop import Crop
from imgserve.request.operations.flip import Flip
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Fit, Kernel, Resize
from imgserve.request.recipe import Recipe
from imgserve.request.rendering import Rendering
from tests.support import pictures, rasters
from tests.unit.imaging.conftest import carried_out, frames, picture, pixels

Floats = NDArray[np.float64]
Weights = Callable[[Floats], Floats]


def _lanczos(a: int) -> Weights:
    return lambda x: np.asarray(np.where(np.abs(x) < a, np.sinc(x) * np.sinc(x / a), 0))


def _cubic(b: float, c: float) -> Weights:
    def weights(x: Floats) -> Floats:
        x = np.abs(x)
        near = (12 - 9 * b - 6 * c) * x**3 + (-18 + 12 * b + 6 * c) * x**2 + (6 - 2 * b)
        far = (-b - 6 * c) * x**3 + (6 * b + 30 * c) * x**2 + (-12 * b - 48 * c) * x + (8 * b + 24 * c)
        return np.asarray(np.where(x < 1, near, np.where(x < 2, far, 0)) / 6)

    return weights


def _linear(x: Floats) -> Floats:
    return np.asarray(np.maximum(0, 1 - np.abs(x)))


KERNELS: dict[Kernel, Weights] = {
    "lanczos3": _lanczos(3), "lanczos2": _lanczos(2), "cubic": _cubic(0, 0.5), "mitchell": _cubic(1 / 3, 1 / 3),
    "linear": _linear,
}  # fmt: skip


def _matrix(before: int, after: int, kernel: Kernel) -> Floats:
    """What each pixel before gives to each one after. Enlarging takes the cubic one for all but linear."""
    factor = before / after
    weights = KERNELS[kernel] if factor > 1 or kernel == "linear" else KERNELS["cubic"]
    reach = int(4 * max(factor, 1)) + 2
    at = np.arange(-reach, before + reach)
    middles = (np.arange(after) + 0.5) * factor - 0.5
    every = weights((at[None] - middles[:, None]) / max(factor, 1))
    every /= every.sum(axis=1, keepdims=True)
    matrix = np.zeros((after, before))
    for column, place in enumerate(at.clip(0, before - 1)):
        matrix[:, place] += every[:, column]
    return matrix


def model(source: NDArray[Any], size: tuple[int, int], kernel: Kernel = "lanczos3") -> Floats:
    """Of floats: height x width x bands."""
    result = source.astype(float)
    if size[1] != source.shape[0]:
        result = np.einsum("yj,jxc->yxc", _matrix(source.shape[0], size[1], kernel), result)
    if size[0] != source.shape[1]:
        result = np.einsum("xi,yic->yxc", _matrix(source.shape[1], size[0], kernel), result)
    return result


def distance(result: NDArray[Any], expected: Floats) -> float:
    assert result.shape == expected.shape
    return float(np.abs(result.astype(float) - expected.clip(0, 255)).mean())


def premultiplied(source: NDArray[Any]) -> Floats:
    alpha = source[:, :, 3:] / 255
    return np.concatenate([source[:, :, :3] * alpha, source[:, :, 3:]], axis=2)


DETAILED = np.asarray(pictures.detailed(120, 90))
PNG = rasters.png(DETAILED)
SEEN_THROUGH = np.dstack([DETAILED, np.asarray(pictures.scene(120, 90, "RGBA"))[:, :, 3]])


@pytest.mark.parametrize("kernel", list(KERNELS))
@pytest.mark.parametrize("size", [(60, 45), (41, 80), (120, 31), (200, 150), (133, 60), (60, 133)])
def test_each_kernel_is_its_formula(kernel: Kernel, size: tuple[int, int]) -> None:
    operation = Resize(*size, fit="fill", if_small="enlarge", kernel=kernel)
    assert distance(pixels(PNG, operation), model(DETAILED, size, kernel)) < 1
    assert distance(pixels(PNG, Flip(), operation), model(DETAILED[::-1], size, kernel)) < 1


@pytest.mark.parametrize("size", [(200, 60), (120, 30), (230, 96)])
def test_each_axis_shrinks_by_its_own_factor(size: tuple[int, int]) -> None:
    """The means of blocks that come first would turn fine lines into moire, were they as large as the axis allows."""
    operation = Resize(*size, fit="fill")
    source = np.asarray(pictures.detailed(240, 960))
    assert distance(pixels(rasters.png(source), operation), model(source, size)) < 1
    lines = np.zeros((960, 240, 3), np.uint8)
    lines[::3] = 255
    assert pixels(rasters.png(lines), operation).std() < 4


def test_kernels_differ() -> None:
    every = [pixels(PNG, Resize(50, 40, fit="fill", kernel=kernel)) for kernel in get_args(Kernel)]
    assert len({result.tobytes() for result in every}) == len(get_args(Kernel))


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(120, 90), (240, 180), (360, 90), (40, 30), (57, 133), (121, 1), (1, 1), (999, 7)])
def test_nearest_takes_the_pixel_below_the_middle(size: tuple[int, int], bands: int) -> None:
    source = SEEN_THROUGH[:, :, :bands]
    result = pixels(rasters.png(source), Resize(*size, fit="fill", kernel="nearest", if_small="enlarge"))
    across = (2 * np.arange(size[0]) + 1) * 120 // (2 * size[0])
    down = (2 * np.arange(size[1]) + 1) * 90 // (2 * size[1])
    assert np.array_equal(result, source[down][:, across])


@pytest.mark.parametrize("factor", [2, 3, 7])
def test_exact_blocks_stay_exact_blocks(factor: int) -> None:
    blocks = np.kron(DETAILED[:20, :30], np.ones((factor, factor, 1), np.uint8))
    small = Resize(30, 20, fit="fill", kernel="nearest")
    assert np.array_equal(pixels(rasters.png(blocks), small), DETAILED[:20, :30])
    large = Resize(30 * factor, 20 * factor, fit="fill", kernel="nearest", if_small="enlarge")
    assert np.array_equal(pixels(rasters.png(DETAILED[:20, :30]), large), blocks)


@pytest.mark.parametrize("source", ["png", "jpeg", "webp", "tiff", "avif"])
@pytest.mark.parametrize("fit", get_args(Fit))
@pytest.mark.parametrize("box", [(96, 40), (40, 96)])
def test_each_fit_of_each_format(source: Format, fit: Fit, box: tuple[int, int]) -> None:
    """A scene without fine detail, so that decoders' own scaling and losses stay within a level or two."""
    scene = pictures.scene(321, 203)
    result = picture(pictures.encoded(scene, source), Resize(*box, fit=fit))
    scale = (min if fit in ("inside", "contain") else max)(box[0] / 321, box[1] / 203)
    size = (round(321 * scale), round(203 * scale))
    if fit in ("inside", "outside"):
        expected = scene.resize(size, Image.Resampling.LANCZOS)
    elif fit == "fill":
        expected = scene.resize(box, Image.Resampling.LANCZOS)
    else:
        expected = Image.new("RGBA" if fit == "contain" else "RGB", box)
        place = int((box[0] - size[0]) / 2), int((box[1] - size[1]) / 2)  # towards 0
        expected.paste(scene.resize(size, Image.Resampling.LANCZOS), place)
    limit = 1.0 if source in ("png", "tiff") else 3.0
    assert pictures.distance(result, expected) < limit


@pytest.mark.parametrize("orientation", pictures.ORIENTATIONS)
@pytest.mark.parametrize("name", ["jpeg", "png"])
@pytest.mark.parametrize("operation", [
    Resize(90, 50, fit="fill"), Resize(90, 50, fit="contain"), Resize(60), Resize(90, 50, focal=Focal(0.2, 0.9)),
    Resize(90, 50, gravity="north"), Resize(90, 50, fit="fill", kernel="cubic"),
])  # fmt: skip
def test_of_the_upright_picture(orientation: int, name: str, operation: Resize) -> None:
    upright = pictures.scene(300, 201)
    result = picture(pictures.oriented(upright, orientation, name), operation)
    assert pictures.distance(result, picture(pictures.encoded(upright, "png"), operation)) < 1.5


@pytest.mark.parametrize("name", ["png", "jpeg"])
@pytest.mark.parametrize(
    ("operation", "box"),
    [
        (Resize(200, 60, if_small="keep"), (0, 15, 120, 75)),
        (Resize(200, 60, if_small="keep", gravity="south"), (0, 30, 120, 90)),
        (Resize(300, 150, if_small="keep_shape"), (0, 15, 120, 75)),
        (Resize(200, 40, if_small="keep", focal=Focal(0.5, 0.8)), (0, 50, 120, 90)),
        (Resize(200, 300, fit="inside", if_small="keep"), (0, 0, 120, 90)),
        (Resize(120, 90), (0, 0, 120, 90)),
    ],
)
def test_a_small_picture_that_is_kept_is_cut_but_not_scaled(name: str, operation: Resize, box: Any) -> None:
    image = pictures.detailed(120, 90)
    data = pictures.encoded(image, name)
    shown = Image.open(io.BytesIO(data)).convert("RGB").crop(box)
    result = picture(data, operation)
    assert pictures.distance(result, shown) < (0.5 if name == "jpeg" else 1e-9)


@pytest.mark.parametrize("background", ["#00000000", "#ff8000", "#ff800080"])
@pytest.mark.parametrize(("gravity", "left"), [("center", 35), ("west", 0), ("southeast", 70)])
def test_contain_puts_the_picture_into_its_box(background: str, gravity: Any, left: int) -> None:
    operation = Resize(100, 60, fit="contain", gravity=gravity, background=background)
    source = np.asarray(pictures.detailed(100, 200))
    result = np.asarray(picture(rasters.png(source), operation).convert("RGBA"))
    colour = [*bytes.fromhex(background[1:]), 255][:4]
    inside = result[:, left : left + 30]
    assert distance(inside[:, :, :3], model(source, (30, 60))) < 2  # means of blocks come before the kernel
    outside = np.concatenate([result[:, :left], result[:, left + 30 :]], axis=1)
    assert np.array_equal(outside, np.broadcast_to(np.array(colour), outside.shape))


@pytest.mark.parametrize(("background", "mode"), [("#00000000", "LA"), ("#808080", "L"), ("#ff0000", "RGB")])
def test_grey_stays_grey_where_the_new_space_allows(background: str, mode: str) -> None:
    data = pictures.encoded(pictures.scene(40, 40).convert("L"), "png")
    result = picture(data, Resize(80, 40, fit="contain", background=background))
    assert (result.mode, result.size) == (mode, (80, 40))
    corner = result.convert("RGBA").getpixel((0, 0))
    assert corner == tuple([*bytes.fromhex(background[1:]), 255][:4])


def test_an_unscaled_picture_in_a_box_is_exact_in_sixteen_bits_too() -> None:
    deep = np.random.default_rng(2).integers(0, 65536, (20, 30, 3), dtype=np.uint16)
    result = pixels(rasters.png(deep), Flip(), Resize(50, 40, fit="contain", background="#0a141e"))
    expected = np.broadcast_to(np.array([10, 20, 30], np.uint8), (40, 50, 3)).copy()
    expected[10:30, 10:40] = np.round(deep[::-1] / 257)
    assert np.array_equal(result, expected)


@pytest.mark.parametrize("size", [(60, 45), (200, 150), (50, 140)])
@pytest.mark.parametrize("kernel", ["lanczos3", "mitchell"])
def test_colours_count_by_their_alpha(size: tuple[int, int], kernel: Kernel) -> None:
    operation = Resize(*size, fit="fill", if_small="enlarge", kernel=kernel)
    result = pixels(rasters.png(SEEN_THROUGH), operation)
    expected = model(premultiplied(SEEN_THROUGH), size, kernel)
    assert distance(premultiplied(result), expected) < 1


def to_light(stored: Floats) -> Floats:
    return np.where(stored > 0.04045, ((stored + 0.055) / 1.055) ** 2.4, stored / 12.92)


def from_light(light: Floats) -> Floats:
    light = light.clip(0, 1)
    return np.where(light > 0.0031308, 1.055 * light ** (1 / 2.4) - 0.055, light * 12.92)


@pytest.mark.parametrize("size", [(60, 45), (200, 150), (99, 31)])
@pytest.mark.parametrize("levels", [255, 65535])
@pytest.mark.parametrize("bands", [1, 3])
def test_linear_light(size: tuple[int, int], levels: int, bands: int) -> None:
    source = DETAILED[:, :, :bands]
    source = source if levels == 255 else source.astype(np.uint16) * 257
    operation = Resize(*size, fit="fill", if_small="enlarge", linear_light=True)
    expected = from_light(model(to_light(source / levels), size)) * 255
    assert distance(pixels(rasters.png(source), operation), expected) < 1
    stored = Resize(*size, fit="fill", if_small="enlarge", linear_light=False)
    assert np.array_equal(
        pixels(rasters.png(source), stored), pixels(rasters.png(source), Resize(*size, fit="fill", if_small="enlarge"))
    )


def test_linear_light_of_black_and_white_lines_is_as_bright_as_they_are() -> None:
    lines = np.zeros((64, 64, 3), np.uint8)
    lines[::2] = 255
    data = rasters.png(lines)
    assert abs(int(pixels(data, Resize(8, 8))[4, 4, 0]) - 128) <= 1
    assert abs(int(pixels(data, Resize(8, 8, linear_light=True))[4, 4, 0]) - 188) <= 1  # half the light of white


def test_linear_light_counts_colours_by_their_alpha() -> None:
    operation = Resize(60, 45, fit="fill", linear_light=True)
    result = pixels(rasters.png(SEEN_THROUGH), operation)
    alpha = SEEN_THROUGH[:, :, 3:] / 255
    light = np.concatenate([to_light(SEEN_THROUGH[:, :, :3] / 255) * alpha, alpha], axis=2)
    expected = model(light, (60, 45))
    colours = from_light(expected[:, :, :3] / np.maximum(expected[:, :, 3:], 1e-9)) * 255
    visible = result[:, :, 3] > 16
    assert np.abs(result[:, :, :3][visible] - colours[visible]).mean() < 1
    assert np.abs(result[:, :, 3] - expected[:, :, 3] * 255).mean() < 1


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_linear_light_keeps_every_level(bands: int) -> None:
    """Also the darkest, which are nearest to each other in light; stripes of 8 rows for each."""
    levels = np.repeat(np.arange(256, dtype=np.uint8), 8)[:, None, None]
    source = np.broadcast_to(levels, (2048, 8, bands)).copy()
    if bands in (2, 4):
        source[:, :, -1] = 200
    result = pixels(rasters.png(source), Resize(4, 1024, fit="fill", linear_light=True))
    assert np.array_equal(result[1::4, 2], source[2::8, 2]), "in the middle of each stripe"


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_linear_light_as_in_floats(monkeypatch: pytest.MonkeyPatch, bands: int) -> None:
    source = rasters.png(SEEN_THROUGH[:, :, [0, 3]] if bands == 2 else SEEN_THROUGH[:, :, :bands])
    for size in ((60, 45), (100, 75), (40, 30)):
        operation = Resize(*size, fit="fill", linear_light=True)
        quick = pixels(source, operation)
        with monkeypatch.context() as context:
            context.setattr(resizer, "library", None)
            floats = pixels(source, operation)
        weights: Floats = floats[:, :, -1:].astype(np.float64) / 255 if bands in (2, 4) else np.ones(1)
        assert distance(quick * weights, floats * weights) < 0.3


@pytest.mark.parametrize("name", ["gif", "webp"])
@pytest.mark.parametrize("operation", [
    Resize(60, 20, fit="contain"), Resize(60, 20, fit="contain", background="#204060"), Resize(30, 40, fit="fill"),
    Resize(200, 20, if_small="keep"), Resize(30, fit="inside"), Resize(40, 20, focal=Focal(0.9, 0.9)),
    Resize(40, 20, fit="fill", kernel="nearest"), Resize(30, 20, linear_light=True),
])  # fmt: skip
@pytest.mark.parametrize("is_first", [True, False])
def test_each_frame_is_what_a_still_is(name: Format, operation: Resize, *, is_first: bool) -> None:
    shots = [pictures.scene(80, 60).rotate(90 * n, expand=False) for n in range(3)]
    film = pictures.film(shots, name, [40, 50, 60])
    operations = (operation,) if is_first else (Crop(left=0), operation)
    result = frames(carried_out(film, *operations, output_format="webp"))
    assert len(result) == 3
    for shown, moving in zip(frames(film), result, strict=True):
        still = picture(pictures.encoded(shown, "png"), operation).convert("RGBA")
        assert pictures.distance(moving, still) < 6  # WebP loses some


def test_an_svg_is_drawn_for_each_fit() -> None:
    data = pictures.svg('<rect width="40" height="20" fill="red"/>')
    for fit, opaque in (("contain", 40 * 80), ("fill", 80 * 80), ("cover", 80 * 80)):
        result = np.asarray(picture(data, Resize(80, 80, fit=fit, if_small="refuse")).convert("RGBA"))  # type: ignore[arg-type]
        assert result.shape == (80, 80, 4)
        assert (result[:, :, 3] == 255).sum() == opaque
    assert picture(data, Resize(80, 80, fit="inside")).size == (80, 40)
    assert picture(data, Resize(80, 80, fit="outside")).size == (160, 80)


@pytest.mark.parametrize("fit", get_args(Fit))
@pytest.mark.parametrize("name", ["jpeg", "png"])
def test_a_source_that_has_changed_keeps_the_promised_size(fit: Fit, name: str) -> None:
    task = Rendering(Recipe((Resize(90, 50, fit=fit),), Encode(format="png")), Size(33, 44), "png")
    scene = pictures.scene(200, 100)
    with Blob() as result:
        written = pipeline.render(pictures.encoded(scene, name), task, Limits(), result.fd)
    assert written.size == Size(33, 44)


@pytest.mark.parametrize("fit", ["inside", "fill", "contain", "outside"])
def test_fits_that_cut_nothing_take_extreme_shapes(fit: Fit) -> None:
    data = pictures.encoded(pictures.scene(1, 3000), "png")
    result = picture(data, Resize(40, 30, fit=fit, if_small="enlarge"), limits=Limits(output_side_px=120_000))
    assert result.size == {"inside": (1, 30), "fill": (40, 30), "contain": (40, 30), "outside": (40, 120_000)}[fit]
    with pytest.raises(PictureTooLarge, match="total_pixels"):
        picture(data, Resize(3000, 3000, if_small="enlarge"))


NARROW = np.asarray(pictures.detailed(120, 1))


@pytest.mark.parametrize("kernel", ["lanczos3", "linear"])
@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("bands", [3, 4])
def test_a_narrow_picture_that_covers_is_scaled_within_the_cut_alone(
    bands: int, kernel: Kernel, *, is_first: bool
) -> None:
    """As a whole it would have 120,000 x 1,000 pixels, which take ten seconds."""
    source = NARROW if bands == 3 else np.dstack([NARROW, np.full((1, 120), 200, np.uint8)])
    operation = Resize(100, 1000, if_small="enlarge", kernel=kernel, gravity="west")
    began = time.process_time()
    result = pixels(rasters.png(source), *(() if is_first else (Flip(),)), operation)
    assert time.process_time() - began < 2
    row = model(source[:, :8], (8000, 1), kernel)[:, :100]
    assert distance(result, np.repeat(row, 1000, axis=0)) < 1


@pytest.mark.parametrize("more", [{}, {"linear_light": True}, {"kernel": "nearest"}, {"kernel": "linear"}])
@pytest.mark.parametrize(
    ("place", "size"),
    [
        ({"gravity": "center"}, (300, 50)),
        ({"gravity": "southeast"}, (61, 400)),
        ({"gravity": "northwest"}, (400, 93)),
        ({"focal": Focal(0.3, 0.9)}, (173, 31)),
        ({"gravity": "attention"}, (333, 40)),
        ({"gravity": "entropy"}, (40, 150)),
    ],
)
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_an_enlarged_cut_is_the_cut_of_the_whole(
    bands: int, place: dict[str, Any], size: tuple[int, int], more: dict[str, Any]
) -> None:
    source = rasters.png({1: DETAILED[:37, :41, :1], 3: DETAILED[:37, :41], 4: SEEN_THROUGH[:37, :41]}[bands])
    cut = Resize(width=size[0], height=size[1], if_small="enlarge", **place, **more)
    whole = Resize(width=size[0], height=size[1], fit="outside", if_small="enlarge", **more)
    for before in ((), (Flip(),)):
        expected = pixels(source, *before, whole, Crop(width=size[0], height=size[1], **place))
        distances = np.abs(pixels(source, *before, cut).astype(int) - expected)
        assert distances.max() <= 1, "libvips adds up floats along the rows that it computes"
        assert distances.mean() < 0.01


@pytest.mark.parametrize("gravity", ["attention", "entropy"])
@pytest.mark.parametrize("top", [0, 15, 30])
def test_the_content_of_a_much_enlarged_picture_decides(gravity: Any, top: int) -> None:
    """It is looked at in a smaller copy: this whole one has 7 million pixels."""
    source = np.full((45, 60, 3), 128, np.uint8)
    source[top : top + 15, 20:40] = np.asarray(pictures.detailed(20, 15)) // 2 + [127, 0, 0]
    result = pixels(rasters.png(source), Resize(3000, 750, if_small="enlarge", gravity=gravity))
    assert (np.ptp(result.astype(int), axis=2) > 40).mean() > 0.25, "a third of the cut"


def test_dpr_multiplies_the_box() -> None:
    assert picture(PNG, Resize(30, 20, fit="fill", dpr=1.5)).size == (45, 30)
    assert picture(PNG, Resize(30, dpr=0.35)).size == (11, 8)  # 10.5, half up


@pytest.mark.parametrize(("scale", "size"), [(1.0, (41, 20)), (2.5, (101, 50)), (0.1, (4, 2))])
def test_a_drawing_by_a_scale_of_its_own_size(scale: float, size: tuple[int, int]) -> None:
    data = pictures.svg('<rect width="9999" height="9999" fill="red"/>', 'width="40.5" height="20"')
    result = np.asarray(picture(data, Rasterize(scale=scale)).convert("RGBA"))
    assert result.shape == (size[1], size[0], 4)
    assert (result == (255, 0, 0, 255)).all()
