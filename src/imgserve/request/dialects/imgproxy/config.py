"""The settings of the dialect imgproxy: presets, defaults, limits, keys. The mount's settings nest this Config.

Lists of the original's syntax stay texts here, so that they can be taken over as they are; ``problems`` checks them.
"""

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from imgserve.setting import Amount, Count, Fraction, Problem, Secret, Setting, Text, Texts

if TYPE_CHECKING:
    from imgserve.request.dialects.signing import KeyPair

Megapixels = Annotated[float, Meta(ge=0, le=2000)]
Percent = Annotated[int, Meta(ge=1, le=100)]


class Config(msgspec.Struct, frozen=True):
    """``keys`` and ``salts`` are hexadecimal, the first salt belongs to the first key, and so on."""

    # fmt: off
    keys: Annotated[tuple[Secret, ...], Setting(
        "keys of signatures, in hexadecimal; any of them may have signed", name="key")] = ()
    salts: Annotated[tuple[Secret, ...], Setting("the salt of each key, in hexadecimal", name="salt")] = ()
    signature_size: Annotated[int, Meta(ge=1, le=32), Setting("of a signature", "bytes")] = 32
    trusted_signatures: Annotated[Texts, Setting(
        "words that are accepted in place of a signature", is_secret=True)] = ()
    arguments_separator: Annotated[Text, Setting("between an option's name and its arguments")] = ":"
    allowed_options: Annotated[Texts, Setting(
        "names of options, as URLs write them, that URLs may use; presets may use all", default="all")] = ()
    allow_security_options: Annotated[bool, Setting(
        "URLs may set limits: `max_src_resolution` and the like")] = False
    presets: Annotated[Texts, Setting(
        "lists of options with a name, `NAME=OPTION:ARGUMENT/OPTION:ARGUMENT`; `default` is for every URL")] = ()
    only_presets: Annotated[bool, Setting("URLs name presets, and no other options")] = False
    url_includes_filename: Annotated[bool, Setting(
        "the last part of a source in base64 is a file name for search engines, and is ignored",
        name="base64_url_includes_filename")] = False
    url_replacements: Annotated[Texts, Setting(
        "changes of the source's URL, in order: `REGULAR EXPRESSION=>REPLACEMENT`")] = ()
    allow_raw: Annotated[bool, Setting("URLs may ask for the source's bytes as they are (`raw:1`)")] = False
    quality: Annotated[Percent, Setting("quality of results whose URL sets none")] = 80
    format_quality: Annotated[Texts, Setting("the same for one format, as `webp=79`")] = ("webp=79", "avif=63")
    preferred_formats: Annotated[Texts, Setting(
        "formats of results whose URL names none: the source's if it is among them, else the first that can hold it")
    ] = ("jpeg", "png", "gif")
    enforced_formats: Annotated[Texts, Setting(
        "of the formats that a client may choose by its Accept header, those that it gets even if the URL names "
        "another one")] = ()
    skip_processing_formats: Annotated[Texts, Setting("sources of these formats are sent as they are")] = ()
    always_rasterize_svg: Annotated[bool, Setting("draw an SVG also if the URL names no format")] = False
    auto_rotate: Annotated[bool, Setting("turn pictures upright by their EXIF orientation")] = True
    strip_metadata: Annotated[bool, Setting("remove EXIF, IPTC and XMP")] = True
    keep_copyright: Annotated[bool, Setting("but for the copyright")] = True
    strip_color_profile: Annotated[bool, Setting("turn colours into sRGB")] = True
    return_attachment: Annotated[bool, Setting("browsers save pictures instead of showing them")] = False
    watermark: Annotated[str, Setting(
        "name of the watermark's picture, a table `[picture.NAME]`", default="no watermark")] = ""
    watermark_opacity: Annotated[Fraction, Setting("opacity of watermarks, a factor of the URL's own")] = 1.0
    max_src_resolution: Annotated[Megapixels, Setting("of a source, all its frames together", "megapixels")] = 50.0
    max_src_file_size: Annotated[Amount, Setting("of a source; 0: the server's limit", "bytes")] = 0
    max_animation_frames: Annotated[Count, Setting("frames of an animation; 1: no animations")] = 1
    max_animation_frame_resolution: Annotated[Megapixels, Setting(
        "of a frame, in place of `max_src_resolution` for animations; 0: no such limit", "megapixels")] = 0.0
    max_result_dimension: Annotated[Amount, Setting(
        "side of a result, which becomes smaller in whole; 0: no such limit", "pixels")] = 0
    # fmt: on

    def key_pairs(self) -> "tuple[KeyPair, ...]":
        """Raises ValueError, but not without ``problems``."""
        from imgserve.request.dialects.signing import KeyPair

        pairs = zip(self.keys, self.salts, strict=True)
        return tuple(KeyPair(bytes.fromhex(key.text.strip()), bytes.fromhex(salt.text.strip())) for key, salt in pairs)

    def problems(self) -> tuple[Problem, ...]:
        from imgserve.request.dialects.imgproxy.grammar import problems  # every command loads this file

        return problems(self)
