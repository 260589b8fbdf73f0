"""How a result is encoded: its format and the settings of that format. No I/O; the worker's ``save`` carries it out.

``FORMATS_WITH`` says which format has which field. A field that the format lacks is a fault if the same recipe names
the format (``faults_of``), else it is ignored, and ``ignored_fields`` names it.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from imgserve.request.color import OpaqueColor
from imgserve.request.faults import Fault, Faults

Format = Literal["jpeg", "png", "webp", "gif", "tiff", "avif"]
Quality = Annotated[int, Meta(ge=1, le=100)]
Effort = Literal["fast", "balanced", "best"]
RenderProfile = Literal["speed", "balanced", "quality"]
Chroma = Literal["auto", "420", "444"]
BitDepth = Literal[8, 10, 16]
Metadata = Literal["none", "copyright", "all"]
Profile = Literal["srgb", "p3", "source"]

DEFAULT_QUALITY: dict[Format, int] = {"jpeg": 80, "webp": 79, "avif": 58}
MOST_ENCODES = 8  # for max_bytes: enough to find the best of 100 qualities


class Encode(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a result is written. The descriptions are those of docs/reference/encode.md."""

    format: Annotated[
        Format | None, Meta(description="if not given: by the destination's extension, else the source's")
    ] = None
    quality: Annotated[int, Meta(ge=1, le=100, description="how near to the original")] | None = None
    background: Annotated[OpaqueColor, Meta(description="behind what is transparent, in formats without it")] = (
        "#ffffff"
    )
    lossless: Annotated[bool, Meta(description="changes no pixel")] = False
    near_lossless: (
        Annotated[int, Meta(ge=0, le=100, description="lossless, of pixels changed a little; 100: not at all")] | None
    ) = None
    progressive: Annotated[bool, Meta(description="a progressive JPEG, an interlaced PNG or GIF")] = False
    effort: Annotated[Effort | None, Meta(description="time for a smaller file; by `render_profile` if not given")] = (
        None
    )
    render_profile: (
        Annotated[RenderProfile, Meta(description="what counts more: CPU time, or a result nearer to the original")]
        | None
    ) = None
    chroma: Annotated[Chroma, Meta(description="420 halves the resolution of colours; auto: below quality 90")] = "auto"
    bit_depth: Annotated[BitDepth, Meta(description="of a sample: 10 for AVIF, 16 for PNG and TIFF")] = 8
    colors: Annotated[int, Meta(ge=2, le=256, description="a palette of at most so many")] | None = None
    metadata: Annotated[Metadata, Meta(description="what is kept of EXIF, IPTC and XMP")] = "none"
    keep_position: Annotated[bool, Meta(description="metadata all keeps the place of the photograph too")] = False
    profile: Annotated[Profile, Meta(description="of the result's colours: sRGB, Display P3, or as they are")] = "srgb"
    loop: Annotated[int, Meta(ge=0, le=65_535, description="how often an animation is shown, 0: for ever")] | None = (
        None
    )
    delay_ms: Annotated[int, Meta(ge=10, le=60_000, description="of each frame of an animation")] | None = None
    max_bytes: (
        Annotated[int, Meta(ge=100, le=1_000_000_000, description="lowers the quality until the file is so small")]
        | None
    ) = None


class Defaults(msgspec.Struct, frozen=True):
    """What the settings say for recipes that do not."""

    quality: Mapping[Format, int]
    render_profile: RenderProfile = "balanced"


NO_DEFAULTS = Defaults({})

# Measured in docs/performance.md. Without a row the effort stays balanced: a lossless file gets no nearer to the
# original by a slower encoder, and libjpeg-turbo knows one effort.
_EFFORT_OF: Mapping[RenderProfile, Mapping[Format, Effort]] = {
    "speed": {"png": "fast", "webp": "fast", "gif": "fast"},
    "balanced": {},
    "quality": {"webp": "best", "avif": "best"},
}
_SMALLER_IF_PROGRESSIVE: Format = "jpeg"

# Fields without a row are for all formats.
FORMATS_WITH: Mapping[str, frozenset[Format]] = {
    "quality": frozenset({"jpeg", "webp", "avif"}),
    "lossless": frozenset({"webp", "avif"}),
    "near_lossless": frozenset({"webp"}),
    "progressive": frozenset({"jpeg", "png", "gif"}),
    "chroma": frozenset({"jpeg", "avif"}),
    "colors": frozenset({"png", "gif"}),
    "profile": frozenset({"jpeg", "png", "webp", "tiff", "avif"}),
    "loop": frozenset({"gif", "webp"}),
    "delay_ms": frozenset({"gif", "webp"}),
    "max_bytes": frozenset({"jpeg", "webp", "avif"}),
}
BIT_DEPTHS: Mapping[Format, tuple[BitDepth, ...]] = {"avif": (8, 10), "png": (8, 16), "tiff": (8, 16)}
_EIGHT_BITS: tuple[BitDepth, ...] = (8,)


# Read once: msgspec evaluates the Struct's annotations at each call of ``fields``, in the event loop.
_DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(Encode)}
_USUAL = tuple(_DEFAULTS.items())


def ignored_fields(encode: Encode, output_format: Format) -> tuple[str, ...]:
    """The fields that differ from their defaults, and that this format does not have."""
    differing = [
        name for (name, usual), value in zip(_USUAL, msgspec.structs.astuple(encode), strict=True) if value != usual
    ]
    return tuple(name for name in differing if not _has(output_format, name, encode))


def of_format(encode: Encode, output_format: Format) -> Encode:
    """The settings of a result of this format: fields that it lacks have their defaults, whatever a recipe says."""
    usual = {name: _DEFAULTS[name] for name in ignored_fields(encode, output_format)}
    return msgspec.structs.replace(encode, format=output_format, **usual)


def resolved(encode: Encode, output_format: Format, defaults: Defaults) -> Encode:
    """As ``of_format``, with what the defaults and the profile set, so that a later setting changes nothing."""
    profile = encode.render_profile or defaults.render_profile
    is_progressive = profile == "quality" and output_format == _SMALLER_IF_PROGRESSIVE
    encode = msgspec.structs.replace(
        encode,
        quality=encode.quality or defaults.quality.get(output_format),
        effort=encode.effort or _EFFORT_OF[profile].get(output_format),
        progressive=encode.progressive or is_progressive,
        render_profile=None if profile == "balanced" else profile,  # as it was before there were profiles
    )
    return of_format(encode, output_format)


def _has(output_format: Format, name: str, encode: Encode) -> bool:
    if name == "bit_depth":
        return encode.bit_depth in BIT_DEPTHS.get(output_format, _EIGHT_BITS)
    return name not in FORMATS_WITH or output_format in FORMATS_WITH[name]


def faults_of(encode: Encode) -> Faults:
    """Fields that the named format lacks, and fields that contradict each other. Paths begin at the encode."""
    faults = Faults()
    if encode.format is not None:
        faults.extend(_lacking(name, encode.format) for name in ignored_fields(encode, encode.format))
    if encode.max_bytes is not None and (encode.lossless or encode.near_lossless is not None):
        note = "a lossless picture has no quality to lower; leave out one of them"
        faults.append(Fault("field_invalid", ("max_bytes",), note))
    if encode.colors is not None and encode.bit_depth not in _EIGHT_BITS:
        faults.append(Fault("field_invalid", ("bit_depth",), "a palette has 8 bits; leave out one of them"))
    return faults


def _lacking(name: str, output_format: Format) -> Fault:
    if name == "bit_depth":
        depths = " or ".join(map(str, BIT_DEPTHS.get(output_format, _EIGHT_BITS)))
        return Fault("field_invalid", (name,), f"{output_format} has {depths} bits")
    having = ", ".join(one for one in get_args(Format) if one in FORMATS_WITH[name])
    return Fault("field_invalid", (name,), f"{output_format} does not have it; it is for {having}")
