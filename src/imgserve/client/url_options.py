"""The options of a picture's URL: keyword arguments in, the words of a path out. Called by ``urls``.

Their names are those of imgproxy's documentation, with ``_`` for ``-``, and of libthumbor.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, TypedDict

from imgserve.client.errors import OptionInvalid

Word = str | int | float | bool
Words = str | Sequence[Word | None]
_IMGPROXY_SAFE = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=@:-]*")
_SIMPLE_NAME = re.compile(r"[A-Za-z0-9._-]+")
# Names with a hyphen are no names of Python's.
_HYPHENATED = {"min_width": "min-width", "min_height": "min-height"}
_FITS = {
    "fit_in": "fit-in",
    "full_fit_in": "full-fit-in",
    "adaptive_fit_in": "adaptive-fit-in",
    "adaptive_full_fit_in": "adaptive-full-fit-in",
}


class ImgproxyOptions(TypedDict, total=False):
    """Several arguments of one option are a sequence, or a text with colons between them."""

    resize: Words
    size: Words
    resizing_type: Literal["fit", "fill", "fill-down", "force", "auto"]
    resizing_algorithm: Literal["nearest", "linear", "cubic", "lanczos2", "lanczos3"]
    width: int
    height: int
    min_width: int
    min_height: int
    zoom: float | Words
    dpr: float
    enlarge: bool
    extend: bool | Words
    extend_aspect_ratio: bool | Words
    gravity: Words
    crop: float | Words
    crop_aspect_ratio: float | Words
    trim: float | Words
    padding: int | Words
    auto_rotate: bool
    rotate: int
    flip: bool | Words
    background: Words
    adjust: Words
    brightness: int
    contrast: float
    saturation: float
    blur: float
    sharpen: float
    pixelate: int
    watermark: float | Words
    watermark_url: str
    strip_metadata: bool
    keep_copyright: bool
    strip_color_profile: bool
    preserve_hdr: bool
    enforce_thumbnail: bool
    quality: int
    format_quality: Words
    max_bytes: int
    format: str
    jpeg_options: Words
    png_options: Words
    webp_options: Words
    page: int
    disable_animation: bool
    skip_processing: Words
    raw: bool
    cachebuster: str | int
    expires: int
    filename: str
    return_attachment: bool
    preset: Words
    max_src_resolution: float
    max_src_file_size: int
    max_animation_frames: int
    max_animation_frame_resolution: float
    max_result_dimension: int


class ThumborOptions(TypedDict, total=False):
    """``flip``: left and right change places; ``flop``: top and bottom. ``crop``: left, top, right, bottom.

    ``stretch`` and ``padding`` are imagor's.
    """

    meta: bool
    trim: bool | Words
    crop: str | Sequence[float | Sequence[float]]
    fit_in: bool
    full_fit_in: bool
    adaptive_fit_in: bool
    adaptive_full_fit_in: bool
    stretch: bool
    width: int | Literal["orig"]
    height: int | Literal["orig"]
    flip: bool
    flop: bool
    padding: Words
    halign: Literal["left", "center", "right"]
    valign: Literal["top", "middle", "bottom"]
    smart: bool
    filters: Sequence[str]


def imgproxy_words(options: Mapping[str, object], separator: str) -> list[str]:
    """Each with its arguments. One whose value is None is left out. Raises OptionInvalid."""
    words = []
    for name, value in options.items():
        if value is None:
            continue
        name = _HYPHENATED.get(name, name)
        text = _ENCODED[name](str(value), separator) if name in _ENCODED else _joined(value, separator)
        if not _IMGPROXY_SAFE.fullmatch(text):
            raise OptionInvalid(f"{name}: expected letters, digits and punctuation that may stand in a path")
        words.append(f"{name}{separator}{text}")
    return words


def _joined(value: object, separator: str) -> str:
    return separator.join(map(_text, _parts(value)))


def _filename(text: str, separator: str) -> str:
    return text if _SIMPLE_NAME.fullmatch(text) else f"{_base64(text)}{separator}1"


def _base64(text: str, _separator: str = "") -> str:
    return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


_ENCODED: dict[str, Callable[[str, str], str]] = {
    "filename": _filename,
    "fn": _filename,
    "watermark_url": _base64,
    "wmu": _base64,
}


def thumbor_words(options: Mapping[str, object]) -> list[str]:
    """Segments of a path, and filters. Raises OptionInvalid."""
    known = ThumborOptions.__annotations__
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    for name in options:
        if name not in known:
            raise OptionInvalid(f"there is no option {name!r}, expected one of {', '.join(known)}")
    words: list[str] = [name for name in ("meta", "smart", "stretch") if name in given]
    words += [word for name, word in _FITS.items() if name in given]
    words += [str(given[name]) for name in ("halign", "valign") if name in given]
    if given.keys() & {"width", "height", "flip", "flop"}:
        flip, flop = ("-" if name in given else "" for name in ("flip", "flop"))
        words.append(f"{flip}{given.get('width', 0)}x{flop}{given.get('height', 0)}")
    if "trim" in given:
        words.append("trim" if given["trim"] is True else ":".join(["trim", *map(_text, _parts(given["trim"]))]))
    words += [_box(name, given[name]) for name in ("crop", "padding") if name in given]
    return words + list(map(_text, _parts(given.get("filters", ()))))


def _box(name: str, value: object) -> str:
    """``1x2:3x4`` of four numbers, or of two pairs of them, as libthumbor has it."""
    if isinstance(value, str):
        return value
    edges = list(_flat(_parts(value)))
    if len(edges) != 4:
        raise OptionInvalid(f"{name}: expected four numbers: left, top, right, bottom")
    left, top, right, bottom = map(_text, edges)
    return f"{left}x{top}:{right}x{bottom}"


def _flat(values: Iterable[object]) -> Iterator[object]:
    for value in values:
        yield from value if isinstance(value, list | tuple) else (value,)


def _parts(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else (value,)


def _text(value: object) -> str:
    """None is an argument that is left out; the shortest text of a number."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
