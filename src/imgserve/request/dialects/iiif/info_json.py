"""The description of an image, ``info.json`` (Image API 3.0, section 5; 2.1, section 5). Pure: values in, bytes out.

Clients can ask for all that its ``sizes`` and ``tiles`` name.
"""

from collections.abc import Iterable
from math import isqrt

import msgspec

from imgserve.request.dialects.accept import ranges
from imgserve.request.dialects.iiif.bounds import Bounds
from imgserve.request.dialects.iiif.config import Config
from imgserve.request.dialects.iiif.parameters import Version
from imgserve.request.dialects.iiif.plan import sides
from imgserve.request.imageinfo import Size

CONTEXT: dict[Version, str] = {version: f"http://iiif.io/api/image/{version}/context.json" for version in (2, 3)}
PROFILE: dict[Version, str] = {version: f"http://iiif.io/api/image/{version}/level2.json" for version in (2, 3)}

_PROTOCOL = "http://iiif.io/api/image"
_LD_JSON, _JSON = "application/ld+json", "application/json"
_QUALITIES = ["color", "gray", "bitonal"]
# Beyond level 2. That of 2.1 has no squares.
_FEATURES = ["canonicalLinkHeader", "mirroring", "profileLinkHeader", "rotationArbitrary"]
_UPSCALING: dict[Version, str] = {2: "sizeAboveFull", 3: "sizeUpscaling"}

Sides = dict[str, int]


def info_json(version: Version, base_uri: str, whole: Size, config: Config, bounds: Bounds) -> bytes:
    """``base_uri``: the image's, as the client called it, without a slash at its end."""
    document = _document_of_2 if version == 2 else _document_of_3
    return msgspec.json.format(msgspec.json.encode(document(base_uri, whole, config, bounds)), indent=1)


def media_type(version: Version, accept: Iterable[bytes]) -> str:
    """The media type that the client likes best, by the values of its Accept fields.

    Of two that it likes as much, 3.0 has JSON-LD, 2.1 has JSON, which it wants unless JSON-LD is named.
    """
    weights = {one.name: one.weight for one in ranges(accept)}
    others = weights.get("application/*", weights.get("*/*", 0.0 if weights else 1.0))
    ld_json, json = weights.get(_LD_JSON, others), weights.get(_JSON, others)
    if version == 2:
        ld_json = weights.get(_LD_JSON, 0.0)
        is_ld_json = ld_json > 0 and ld_json >= json
        return _LD_JSON if is_ld_json else _JSON
    return f'{_LD_JSON};profile="{CONTEXT[version]}"' if ld_json >= json else _JSON


def scale_factors(whole: Size, tile: int) -> list[int]:
    """Powers of two, up to the first at which the whole picture is one tile."""
    factors = [1]
    while tile * factors[-1] < max(whole.width_px, whole.height_px):
        factors.append(2 * factors[-1])
    return factors


def sizes(whole: Size, factors: Iterable[int], bounds: Bounds) -> list[Size]:
    """Of the whole picture at these factors, as viewers compute them; the smallest first."""
    scaled = [Size(-(-whole.width_px // factor), -(-whole.height_px // factor)) for factor in factors]
    # 2.1 asks for the width alone, from which another height may follow if the picture is thin.
    return [
        size
        for size in reversed(scaled)
        if bounds.admits(size) and bounds.admits(sides(size.width_px, None, whole, least=1))
    ]


def _document_of_3(base_uri: str, whole: Size, config: Config, bounds: Bounds) -> dict[str, object]:
    document: dict[str, object] = {
        "@context": CONTEXT[3],
        "id": base_uri,
        "type": "ImageService3",
        "protocol": _PROTOCOL,
        "profile": "level2",
        **_sides_of(whole),
        **_limits(bounds),
        **_sizes_and_tiles(whole, config, bounds),
    }
    if config.preferred_formats:
        document["preferredFormats"] = config.preferred_formats
    if config.rights:
        document["rights"] = config.rights
    document["extraQualities"] = _QUALITIES
    if config.extra_formats:
        document["extraFormats"] = config.extra_formats
    document["extraFeatures"] = _features(3, config)
    return document


def _document_of_2(base_uri: str, whole: Size, config: Config, bounds: Bounds) -> dict[str, object]:
    extra = {
        "formats": config.formats,
        "qualities": ["default", *_QUALITIES],
        "supports": [*_features(2, config), "regionSquare"],
        **_limits(bounds),
    }
    document: dict[str, object] = {
        "@context": CONTEXT[2],
        "@id": base_uri,
        "protocol": _PROTOCOL,
        **_sides_of(whole),
        **_sizes_and_tiles(whole, config, bounds),
        "profile": [PROFILE[2], extra],
    }
    if config.rights:
        document["license"] = config.rights
    return document


def _features(version: Version, config: Config) -> list[str]:
    return [*_FEATURES, *([_UPSCALING[version]] if config.upscaling else ())]


def _limits(bounds: Bounds) -> Sides:
    """``maxHeight`` without a value of its own is that of ``maxWidth``."""
    height = {"maxHeight": bounds.height_px} if bounds.height_px != bounds.width_px else {}
    return {"maxWidth": bounds.width_px, **height, "maxArea": bounds.area_px}


def _sizes_and_tiles(whole: Size, config: Config, bounds: Bounds) -> dict[str, object]:
    tile = min(config.tile_size, bounds.width_px, bounds.height_px, isqrt(bounds.area_px))
    factors = scale_factors(whole, tile)
    return {
        "sizes": [_sides_of(size) for size in sizes(whole, factors, bounds)],
        "tiles": [{"width": tile, "scaleFactors": factors}],
    }


def _sides_of(size: Size) -> Sides:
    return {"width": size.width_px, "height": size.height_px}
