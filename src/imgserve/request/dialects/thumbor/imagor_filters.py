"""The filters of an imagor URL: their text in, their values out, and back. Called by ``imagor_grammar``.

Parentheses nest: a filter ends where its own one closes, and its arguments are parted by the commas at its own depth.
thumbor's filters that imagor does not know are offered too, with thumbor's meaning.
"""

from collections.abc import Iterable, Iterator

from imgserve.request.dialects.thumbor import (
    arguments,
    filters,
    imagor_canvas,
    imagor_effects,
    imagor_options,
    imagor_overlay,
)
from imgserve.request.dialects.thumbor.options import Option
from imgserve.request.dialects.thumbor.stage import Filter

_OWN: tuple[type[Filter] | type[Option], ...] = (
    imagor_effects.Brightness,
    imagor_effects.Contrast,
    imagor_effects.Rgb,
    imagor_effects.Hue,
    imagor_effects.Saturation,
    imagor_effects.Modulated,
    imagor_effects.Gray,
    imagor_effects.Inverted,
    imagor_effects.Soft,
    imagor_effects.Sharp,
    imagor_effects.Pixelated,
    imagor_canvas.Fill,
    imagor_canvas.Padded,
    imagor_canvas.BackgroundColor,
    imagor_canvas.RoundCorner,
    imagor_canvas.Turn,
    imagor_canvas.Proportion,
    imagor_canvas.Cropped,
    imagor_canvas.Trimmed,
    imagor_overlay.Watermark,
    imagor_overlay.Image,
    imagor_options.FormatOption,
    imagor_options.AutoJpgOption,
    imagor_options.FocalOption,
    imagor_options.AttachmentOption,
    imagor_options.ExpireOption,
    imagor_options.RawOption,
    imagor_options.UpscaleOption,
    imagor_options.NoUpscaleOption,
    imagor_options.OrientOption,
    imagor_options.PageOption,
    imagor_options.DpiOption,
    imagor_options.MaxFramesOption,
    imagor_options.LosslessOption,
    imagor_options.PaletteOption,
    imagor_options.BitdepthOption,
    imagor_options.StripMetadataOption,
    imagor_options.StripExifOption,
    imagor_options.StripIccOption,
    imagor_options.ColorspaceOption,
)
# Of thumbor's: `equalize`, `noise`, `convolution`, `curve`, `colorize`, `cover` and the options of the encoders.
IMAGOR: filters.Kinds = {**filters.THUMBOR, **{kind.word: kind for kind in _OWN}}


def split(text: str) -> tuple[list[str], str]:
    """``text`` is all behind ``filters:``. Each filter as ``name(arguments)``, and the source behind their slash.

    Without such a slash there is no source.
    """
    parts: list[str] = []
    depth = begin = 0
    for index, character in enumerate(text):
        if character == "(":
            depth += 1
        elif character == ")":
            depth = max(depth - 1, 0)
        elif depth == 0 and character in ":/":
            if len(parts) < filters.MOST:
                parts.append(text[begin:index])
            begin = index + 1
            if character == "/":
                return parts, text[begin:]
    return [], ""


def read(text: str) -> Filter | Option | None:
    """None: the filter is unknown, or its arguments do not match, and it is ignored."""
    name, parenthesis, rest = text.partition("(")
    kind = IMAGOR.get(name)
    if kind is None or not parenthesis or not rest.endswith(")"):
        return None
    return arguments.read_parts(kind, list(_parted(rest[:-1])))


def write(drawn: Iterable[Filter]) -> list[str]:
    return [f"{one.word}({arguments.write_parts(one)})" for one in drawn]


def _parted(text: str) -> Iterator[str]:
    """At the commas outside of parentheses."""
    depth = begin = 0
    for index, character in enumerate(text):
        if character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
        elif character == "," and depth == 0:
            yield text[begin:index]
            begin = index + 1
    yield text[begin:]
