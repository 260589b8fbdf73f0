"""The set of options as a URL gives it, and the settings, made one canonical value. For ``grammar``."""

import msgspec

from imgserve.request.dialects.imgproxy.options.options import Options
from imgserve.request.dialects.imgproxy.parameters import CENTER, NO_WATERMARK, Parameters, Watermark
from imgserve.request.encode import Format

WITH_QUALITY: tuple[Format, ...] = ("avif", "jpeg", "webp")
_NEGOTIABLE: tuple[Format, ...] = ("avif", "webp")  # in the order of preference

# What a source that is sent as it is depends on.
_NOTHING = Parameters()


def canonical(
    options: Options,
    qualities: dict[Format, int],
    accepted: frozenset[Format],
    enforced: frozenset[Format],
) -> Parameters:
    """``qualities``: the settings', of each of ``WITH_QUALITY``.

    ``accepted``: by the client; ``enforced``: those of them that it gets whatever the URL asks for.
    """
    if options.is_raw:
        return _NOTHING
    picture = options.picture
    is_open = picture.format is None
    taken = tuple(one for one in _NEGOTIABLE if one in accepted)
    forced = () if is_open or picture.format == "svg" else tuple(one for one in taken if one in enforced)
    picture = msgspec.structs.replace(
        picture,
        accepted=taken if is_open else (),
        enforced=forced,
        preferred=picture.preferred if is_open else (),
        watermark=_watermark(picture.watermark),
        pixelate=picture.pixelate if picture.pixelate > 1 else 0,
        max_frames=1 if options.is_still else picture.max_frames,
    )
    picture = _without_idle(picture)
    return msgspec.structs.replace(picture, qualities=_qualities(picture, options, qualities))


def _without_idle(picture: Parameters) -> Parameters:
    """Fields that mean nothing without another one have their defaults."""
    idle: dict[str, object] = {}
    if not picture.has_crop:
        idle |= {"crop_gravity": None, "crop_aspect_ratio_enlarge": False}
    elif picture.crop_gravity is None:
        idle["crop_gravity"] = picture.gravity
    for name in ("extend", "extend_aspect_ratio"):
        if not getattr(picture, name):
            idle[f"{name}_gravity"] = CENTER
    if picture.trim is None:
        idle |= {"trim_color": "", "trim_equal_hor": False, "trim_equal_ver": False}
    if not picture.strip_metadata:
        idle["keep_copyright"] = True
    return msgspec.structs.replace(picture, **idle) if idle else picture


def _watermark(mark: Watermark) -> Watermark:
    if not mark.opacity or not (mark.name or mark.url):
        return NO_WATERMARK
    return msgspec.structs.replace(mark, name="") if mark.url else mark


def _qualities(picture: Parameters, options: Options, settings: dict[Format, int]) -> tuple[tuple[Format, int], ...]:
    """Of the formats that the result may have. An AVIF that is too small becomes a JPEG."""
    possible = {picture.format, *picture.enforced}
    if picture.format is None:
        possible.update(WITH_QUALITY)
    elif "avif" in possible:
        possible.add("jpeg")
    own = dict(options.format_quality)
    return tuple((one, options.quality or own.get(one) or settings[one]) for one in WITH_QUALITY if one in possible)
