"""Requests, plans and random parameters for the tests of thumbor's dialect."""

from hypothesis import strategies as st

from imgserve.request.dialects.dialect import Planned
from imgserve.request.dialects.thumbor import canvas, effects, grammar, masks, plan, watermark
from imgserve.request.dialects.thumbor.config import Config
from imgserve.request.dialects.thumbor.options import Request
from imgserve.request.dialects.thumbor.parameters import Edges, Parameters, Trimming
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.operations.crop import Crop
from imgserve.request.operations.resize import Resize

PHOTO = Size(800, 600)


def request_of(options: str) -> Request:
    request = grammar.parse(f"{options}/a.jpg")
    assert request is not None
    return request


def asked(options: str) -> Parameters:
    return request_of(options).parameters


def made(options: str, size: Size = PHOTO, *, has_alpha: bool = False, config: Config | None = None) -> plan.Made:
    return plan.operations(asked(options), size, config or Config(), has_alpha=has_alpha)


def planned(options: str, info: ImageInfo, config: Config | None = None) -> Planned:
    return plan.plan(asked(options), info, config or Config())


def to(width: int, height: int) -> Resize:
    return Resize(width, height, fit="fill", if_small="enlarge", linear_light=False)


def cut(left: int, top: int, width: int, height: int) -> Crop:
    return Crop(left=left, top=top, width=width, height=height)


JPEG = ImageInfo("jpeg", 800, 600)


sides = st.integers(0, 70_000)
boxes = st.builds(Edges, *[sides.map(float)] * 4)
areas = boxes.filter(lambda box: box.left != box.right and box.top != box.bottom)
numbers = st.integers(-300, 300)
words = st.sampled_from(["red", "auto", "blur", "transparent", "0f0", "ff000080", "nothing"])
positions = st.one_of(
    st.builds(watermark.Position, sides, st.booleans(), st.booleans()),
    st.sampled_from([watermark.Position(is_center=True), watermark.Position(is_repeated=True)]),
)
# thumbor parts filters at "):", and a comma needs quotes, which it does not escape.
urls = st.text(st.characters(exclude_characters="')", exclude_categories=("Cs", "Zs", "Cc")), min_size=1)
levels = st.integers(0, 255)
decimals = st.decimals(0, 300, places=4).map(float)
curves = st.dictionaries(levels, levels, max_size=5).map(lambda points: tuple(sorted(points.items())))
any_filter = st.one_of(
    st.builds(effects.Brightness, numbers),
    st.builds(effects.Rgb, numbers, numbers, numbers),
    st.builds(effects.Contrast, numbers),
    st.builds(effects.Colorize, sides, sides, sides, st.from_regex("[0-9a-f]{6}", fullmatch=True)),
    st.just(effects.Gray()),
    st.builds(masks.Sharp, decimals, decimals, st.booleans()),
    st.builds(masks.Soft, st.integers(1, 200), decimals),
    st.builds(masks.Saturation, decimals),
    st.just(masks.Equalized()),
    st.builds(masks.Grain, sides, sides),
    st.builds(
        masks.Convolution,
        st.lists(numbers.map(float), min_size=1, max_size=30).map(tuple),
        st.integers(1, 9),
        st.booleans(),
    ),
    st.builds(masks.Curves, *[curves] * 4),
    st.builds(canvas.Fill, words, st.booleans()),
    st.builds(canvas.BackgroundColor, words),
    st.builds(canvas.RoundCorner, st.builds(canvas.Radii, sides, sides), levels, levels, levels, st.booleans()),
    st.builds(canvas.Turn, numbers),
    st.builds(canvas.Proportion, decimals),
    st.just(canvas.Upscale()),
    st.builds(
        watermark.Watermark,
        urls,
        positions,
        positions,
        st.integers(0, 100),
        st.integers(0, 1000),
        st.integers(0, 1000),
    ),
)
any_side = st.one_of(sides, st.just("orig"))
any_parameters = st.builds(
    Parameters,
    trim=st.none() | st.builds(Trimming, st.sampled_from(["top-left", "bottom-right"]), st.integers(0, 442)),
    crop=st.none() | areas,
    fit=st.sampled_from(["", "fit-in", "full-fit-in", "adaptive-fit-in", "adaptive-full-fit-in"]),
    width=any_side,
    height=any_side,
    is_flopped=st.booleans(),
    is_flipped=st.booleans(),
    halign=st.sampled_from(["left", "center", "right"]),
    valign=st.sampled_from(["top", "middle", "bottom"]),
    is_smart=st.booleans(),
    filters=st.lists(any_filter, max_size=5).map(tuple),
    focals=st.lists(areas, max_size=3).map(tuple),
    is_stretched=st.booleans(),
    is_kept_small=st.booleans(),
    is_cover=st.booleans(),
    format=st.sampled_from([None, "jpeg", "png", "webp", "gif", "avif", "heic"]),
    quality=st.none() | st.integers(1, 100),
    max_bytes=st.none() | st.integers(100, 999_999_999),
    is_auto_jpg=st.none() | st.booleans(),
    is_debug=st.booleans(),
    is_meta=st.booleans(),
)
sources = st.one_of(
    st.text(st.characters(categories=["L", "N", "P", "S", "Z", "Cc"]), min_size=1),
    st.sampled_from(["meta/a", "300x200/a", "filters:blur(1)/a", "https://a.b/c?d=e#f", "trim/", "a//b", "x/y", "%41"]),
)
