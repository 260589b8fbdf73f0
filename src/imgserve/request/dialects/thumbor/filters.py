"""The filters of a thumbor URL: their text in, their values out, and back. Called by ``grammar``.

A filter that is not in the table, or whose arguments do not match, is ignored, as in thumbor.
"""

from collections.abc import Iterable, Mapping

from imgserve.request.dialects.thumbor import arguments, canvas, effects, masks, options, watermark
from imgserve.request.dialects.thumbor.options import Option
from imgserve.request.dialects.thumbor.stage import Filter

Kinds = Mapping[str, type[Filter] | type[Option]]

_ALL: tuple[type[Filter] | type[Option], ...] = (
    effects.Brightness,
    effects.Rgb,
    effects.Contrast,
    effects.Colorize,
    effects.Gray,
    masks.Soft,
    masks.Sharp,
    masks.Saturation,
    masks.Equalized,
    masks.Grain,
    masks.Convolution,
    masks.Curves,
    canvas.Fill,
    canvas.BackgroundColor,
    canvas.RoundCorner,
    canvas.Turn,
    canvas.Proportion,
    canvas.Upscale,
    watermark.Watermark,
    options.FormatOption,
    options.QualityOption,
    options.MaxBytesOption,
    options.MaxAgeOption,
    options.AutoJpgOption,
    options.CoverOption,
    options.StretchOption,
    options.NoUpscaleOption,
    options.FocalOption,
)
THUMBOR: Kinds = {kind.word: kind for kind in _ALL}
# More than a recipe can hold are not read.
MOST = 100


def split(text: str) -> list[str]:
    """Each with its closing parenthesis. thumbor parts them at ``):``, wherever that stands."""
    parts = text.split("):", MOST)[:MOST]
    return [part if part.endswith(")") else f"{part})" for part in parts]


def read(text: str, kinds: Kinds = THUMBOR) -> Filter | Option | None:
    """``name(arguments)``. None: it is ignored."""
    name, parenthesis, rest = text.partition("(")
    kind = kinds.get(name)
    return arguments.read(kind, rest) if kind is not None and parenthesis else None


def write(filters: Iterable[Filter]) -> list[str]:
    return [f"{one.word}({arguments.write(one)})" for one in filters]
