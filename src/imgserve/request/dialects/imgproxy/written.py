"""Options as they are written in a URL: parameters in, the options that differ from those of a bare URL out."""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator

from imgserve.request.dialects.dialect import Answer
from imgserve.request.dialects.imgproxy.options.output import MEGAPIXEL
from imgserve.request.dialects.imgproxy.parameters import Gravity, Parameters


def written(picture: Parameters, bare: Parameters) -> list[str]:
    """``bare``: the parameters of a URL without options, under the same settings."""
    options = []
    for fields, write in _WRITERS.items():
        if any(getattr(picture, field) != getattr(bare, field) for field in fields):
            options.append(write(picture))
    return [*options, *_qualities(picture, bare), *_watermark(picture, bare), *_skipped(picture, bare)]


def written_answer(answer: Answer, *, is_attachment: bool) -> list[str]:
    """``is_attachment``: what the settings say."""
    options = []
    if answer.filename:
        options.append(f"fn:{_base64(answer.filename)}:1")
    if answer.is_attachment != is_attachment:
        options.append(f"att:{answer.is_attachment:d}")
    if answer.expires_at_s is not None:
        options.append(f"exp:{answer.expires_at_s}")
    return options


def _number(value: float) -> str:
    """The shortest text that is read as the same float."""
    return repr(value).removesuffix(".0")


def _gravity(gravity: Gravity) -> str:
    return gravity.type if gravity.type == "sm" else f"{gravity.type}:{_number(gravity.x)}:{_number(gravity.y)}"


def _crop(picture: Parameters) -> str:
    sides = f"c:{_number(picture.crop_width)}:{_number(picture.crop_height)}"
    return f"{sides}:{_gravity(picture.crop_gravity)}" if picture.crop_gravity is not None else sides


def _trim(picture: Parameters) -> str:
    if picture.trim is None:
        return "t:"
    color = picture.trim_color.removeprefix("#")
    return f"t:{_number(picture.trim)}:{color}:{picture.trim_equal_hor:d}:{picture.trim_equal_ver:d}"


def _frames(picture: Parameters) -> str:
    return "da:1" if picture.max_frames == 1 else f"maf:{picture.max_frames}"


def _png(picture: Parameters) -> str:
    colors = f"1:{picture.colors}" if picture.colors else "0"
    return f"pngo:{picture.interlaced:d}:{colors}"


def _megapixels(pixels: int) -> str:
    """The reader cuts to whole pixels."""
    value = pixels / MEGAPIXEL
    return _number(value if int(value * MEGAPIXEL) == pixels else (pixels + 0.5) / MEGAPIXEL)


_WRITERS: dict[tuple[str, ...], Callable[[Parameters], str]] = {
    ("resizing_type",): lambda one: f"rt:{one.resizing_type}",
    ("width",): lambda one: f"w:{one.width}",
    ("height",): lambda one: f"h:{one.height}",
    ("min_width",): lambda one: f"mw:{one.min_width}",
    ("min_height",): lambda one: f"mh:{one.min_height}",
    ("zoom_x", "zoom_y"): lambda one: f"z:{_number(one.zoom_x)}:{_number(one.zoom_y)}",
    ("dpr",): lambda one: f"dpr:{_number(one.dpr)}",
    ("enlarge",): lambda one: f"el:{one.enlarge:d}",
    ("kernel",): lambda one: f"ra:{one.kernel}",
    ("extend", "extend_gravity"): lambda one: f"ex:{one.extend:d}:{_gravity(one.extend_gravity)}",
    ("extend_aspect_ratio", "extend_aspect_ratio_gravity"): lambda one: (
        f"exar:{one.extend_aspect_ratio:d}:{_gravity(one.extend_aspect_ratio_gravity)}"
    ),
    ("gravity",): lambda one: f"g:{_gravity(one.gravity)}",
    ("crop_width", "crop_height", "crop_gravity"): _crop,
    ("crop_aspect_ratio", "crop_aspect_ratio_enlarge"): lambda one: (
        f"car:{_number(one.crop_aspect_ratio)}:{one.crop_aspect_ratio_enlarge:d}"
    ),
    ("trim", "trim_color", "trim_equal_hor", "trim_equal_ver"): _trim,
    ("padding",): lambda one: "pd:" + ":".join(map(str, one.padding)),
    ("auto_rotate",): lambda one: f"ar:{one.auto_rotate:d}",
    ("rotate",): lambda one: f"rot:{one.rotate}",
    ("flip_horizontal", "flip_vertical"): lambda one: f"fl:{one.flip_horizontal:d}:{one.flip_vertical:d}",
    ("background",): lambda one: f"bg:{one.background.removeprefix('#')}",
    ("brightness",): lambda one: f"br:{one.brightness}",
    ("contrast",): lambda one: f"co:{_number(one.contrast)}",
    ("saturation",): lambda one: f"sa:{_number(one.saturation)}",
    ("blur",): lambda one: f"bl:{_number(one.blur)}",
    ("sharpen",): lambda one: f"sh:{_number(one.sharpen)}",
    ("pixelate",): lambda one: f"pix:{one.pixelate}",
    ("strip_metadata",): lambda one: f"sm:{one.strip_metadata:d}",
    ("keep_copyright",): lambda one: f"kcr:{one.keep_copyright:d}",
    ("strip_color_profile",): lambda one: f"scp:{one.strip_color_profile:d}",
    ("format",): lambda one: f"f:{one.format}",
    ("max_bytes",): lambda one: f"mb:{one.max_bytes}",
    ("progressive", "has_full_chroma"): lambda one: f"jpgo:{one.progressive:d}:{one.has_full_chroma:d}",
    ("interlaced", "colors"): _png,
    ("webp",): lambda one: f"webpo:{one.webp}",
    ("page",): lambda one: f"pg:{one.page}",
    ("max_source_bytes",): lambda one: f"msfs:{one.max_source_bytes}",
    ("max_source_pixels",): lambda one: f"msr:{_megapixels(one.max_source_pixels)}",
    ("max_frames",): _frames,
    ("max_frame_pixels",): lambda one: f"mafr:{_megapixels(one.max_frame_pixels)}",
    ("max_result_dimension",): lambda one: f"mrd:{one.max_result_dimension}",
}


def _qualities(picture: Parameters, bare: Parameters) -> Iterator[str]:
    usual = dict(bare.qualities)
    if any(usual.get(name) != quality for name, quality in picture.qualities):
        yield "q:0"
        yield "fq:" + ":".join(f"{name}:{quality}" for name, quality in picture.qualities)


def _watermark(picture: Parameters, bare: Parameters) -> Iterator[str]:
    mark = picture.watermark
    if mark == bare.watermark:
        return
    if mark.url != bare.watermark.url:
        yield f"wmu:{_base64(mark.url)}"
    place = mark.position
    offsets = f"{_number(place.x)}:{_number(place.y)}"
    # A scale cannot be taken back, so a bare URL without one writes none.
    scale = f":{_number(mark.scale)}" if mark.scale else ""
    yield f"wm:{_number(mark.opacity)}:{place.type}:{offsets}{scale}"


def _skipped(picture: Parameters, bare: Parameters) -> Iterator[str]:
    added = [one for one in picture.skip_processing if one not in bare.skip_processing]
    if added:
        yield "skp:" + ":".join(added)


def _base64(text: str) -> str:
    return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
