"""info.json: its fields, that all it names can be asked for, and the media type that the client gets."""

from math import ceil
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgserve.request.dialects.iiif import info_json, plan
from imgserve.request.dialects.iiif.bounds import Bounds
from imgserve.request.dialects.iiif.config import Config
from imgserve.request.dialects.iiif.grammar import parse
from imgserve.request.dialects.iiif.parameters import Version
from imgserve.request.imageinfo import Size
from imgserve.request.limits import Limits

BASE = "https://images.test/iiif/3/a%2Fb"
LD_3 = 'application/ld+json;profile="http://iiif.io/api/image/3/context.json"'


def document(version: Version, whole: Size, config: Config | None = None, limits: Limits | None = None) -> Any:
    config = config or Config()
    bounds = Bounds.of(config, limits or Limits())
    return msgspec.json.decode(info_json.info_json(version, BASE, whole, config, bounds))


def test_the_document_of_3() -> None:
    body = info_json.info_json(3, BASE, Size(6_000, 4_000), Config(), Bounds.of(Config(), Limits()))
    assert body.startswith(b'{\n "@context": "http://iiif.io/api/image/3/context.json",\n "id":')
    assert msgspec.json.decode(body) == {
        "@context": "http://iiif.io/api/image/3/context.json",
        "id": BASE,
        "type": "ImageService3",
        "protocol": "http://iiif.io/api/image",
        "profile": "level2",
        "width": 6_000,
        "height": 4_000,
        "maxWidth": 16_383,
        "maxArea": 50_000_000,
        "sizes": [
            {"width": 375, "height": 250}, {"width": 750, "height": 500}, {"width": 1_500, "height": 1_000},
            {"width": 3_000, "height": 2_000}, {"width": 6_000, "height": 4_000},
        ],
        "tiles": [{"width": 512, "scaleFactors": [1, 2, 4, 8, 16]}],
        "extraQualities": ["color", "gray", "bitonal"],
        "extraFormats": ["webp", "tif", "gif", "avif"],
        "extraFeatures": [
            "canonicalLinkHeader", "mirroring", "profileLinkHeader", "rotationArbitrary", "sizeUpscaling",
        ],
    }  # fmt: skip


def test_the_document_of_2() -> None:
    body = info_json.info_json(2, BASE, Size(600, 400), Config(), Bounds.of(Config(), Limits()))
    assert body.startswith(b'{\n "@context": "http://iiif.io/api/image/2/context.json",\n "@id":')
    assert msgspec.json.decode(body) == {
        "@context": "http://iiif.io/api/image/2/context.json",
        "@id": BASE,
        "protocol": "http://iiif.io/api/image",
        "width": 600,
        "height": 400,
        "sizes": [{"width": 300, "height": 200}, {"width": 600, "height": 400}],
        "tiles": [{"width": 512, "scaleFactors": [1, 2]}],
        "profile": [
            "http://iiif.io/api/image/2/level2.json",
            {
                "formats": ["jpg", "png", "webp", "tif", "gif", "avif"],
                "qualities": ["default", "color", "gray", "bitonal"],
                "supports": [
                    "canonicalLinkHeader", "mirroring", "profileLinkHeader", "rotationArbitrary", "sizeAboveFull",
                    "regionSquare",
                ],
                "maxWidth": 16_383,
                "maxArea": 50_000_000,
            },
        ],
    }  # fmt: skip


def test_settings_show() -> None:
    config = Config(
        max_width=1_000, max_height=500, max_area=400_000, upscaling=False, tile_size=256, extra_formats=("webp",),
        preferred_formats=("webp", "jpg"), rights="http://creativecommons.org/licenses/by/4.0/",
    )  # fmt: skip
    shown = document(3, Size(2_000, 2_000), config)
    assert (shown["maxWidth"], shown["maxHeight"], shown["maxArea"]) == (1_000, 500, 400_000)
    assert "sizeUpscaling" not in shown["extraFeatures"]
    assert (shown["extraFormats"], shown["preferredFormats"]) == (["webp"], ["webp", "jpg"])
    assert shown["rights"] == "http://creativecommons.org/licenses/by/4.0/"
    assert shown["tiles"] == [{"width": 256, "scaleFactors": [1, 2, 4, 8]}]
    assert shown["sizes"] == [{"width": 250, "height": 250}, {"width": 500, "height": 500}]
    older = document(2, Size(2_000, 2_000), config)
    assert older["license"] == shown["rights"]
    assert "sizeAboveFull" not in older["profile"][1]["supports"]
    assert older["profile"][1]["maxHeight"] == 500
    assert "extraFormats" not in document(3, Size(1, 1), Config(extra_formats=()))


def test_small_and_limited_pictures() -> None:
    assert document(3, Size(1, 1))["tiles"] == [{"width": 512, "scaleFactors": [1]}]
    assert document(3, Size(512, 512))["tiles"] == [{"width": 512, "scaleFactors": [1]}]
    assert document(3, Size(513, 1))["tiles"] == [{"width": 512, "scaleFactors": [1, 2]}]
    assert document(3, Size(513, 1))["sizes"] == [{"width": 257, "height": 1}, {"width": 513, "height": 1}]
    limited = document(3, Size(1_000, 1_000), limits=Limits(output_pixels=10_000))
    assert limited["maxArea"] == 10_000
    assert limited["tiles"] == [{"width": 100, "scaleFactors": [1, 2, 4, 8, 16]}]


def test_sizes_above_the_limits_are_not_named() -> None:
    """Neither as they are named nor, in a thin picture, as 2.1 asks for them."""
    assert document(3, Size(800, 401), Config(max_width=300, max_height=100))["sizes"] == [{"width": 100, "height": 51}]
    assert document(2, Size(1, 101), Config(max_width=100))["sizes"] == []


SIDE = st.integers(1, 16_384)


@settings(max_examples=60)
@given(st.builds(Size, SIDE, SIDE), st.sampled_from([2, 3]), st.sampled_from([0, 100, 700]), st.data())
def test_all_that_it_names_can_be_asked_for(whole: Size, version: Version, most: int, data: st.DataObject) -> None:
    """As viewers compute tiles (Image API 3.0, implementation notes)."""
    config = Config(max_width=most)
    bounds = Bounds.of(config, Limits())
    shown = document(version, whole, config)
    for size in shown["sizes"]:
        assert size_of(f"full/{size['width']},{size['height']}", version, whole, bounds) == Size(**pixels(size))
        if version == 2:
            assert size_of(f"full/{size['width']},", version, whole, bounds)
    (tiles,) = shown["tiles"]
    side = tiles["width"]
    assert side * tiles["scaleFactors"][-1] >= max(whole.width_px, whole.height_px)
    for factor in tiles["scaleFactors"]:
        left = data.draw(st.integers(0, (whole.width_px - 1) // (side * factor))) * side * factor
        top = data.draw(st.integers(0, (whole.height_px - 1) // (side * factor))) * side * factor
        width, height = min(side * factor, whole.width_px - left), min(side * factor, whole.height_px - top)
        wanted = Size(ceil(width / factor), ceil(height / factor))
        region = f"{left},{top},{width},{height}"
        if version == 2 and not most:
            assert size_of(f"{region}/{wanted.width_px},", version, whole, bounds).width_px == wanted.width_px
        assert size_of(f"{region}/{wanted.width_px},{wanted.height_px}", version, whole, bounds) == wanted


def pixels(size: dict[str, int]) -> dict[str, int]:
    return {f"{name}_px": value for name, value in size.items()}


def size_of(path: str, version: Version, whole: Size, bounds: Bounds) -> Size:
    parameters = parse(f"id/{path}/0/default.jpg", version).parameters
    return plan.render(parameters, whole, bounds, upscales=False).size


@pytest.mark.parametrize(
    ("version", "accept", "media_type"),
    [
        (3, (), LD_3), (3, (b"*/*",), LD_3), (3, (b"",), LD_3), (3, (b"application/ld+json",), LD_3),
        (3, (b'application/ld+json;profile="http://iiif.io/api/image/3/context.json"',), LD_3),
        (3, (b"application/json",), "application/json"), (3, (b"application/json, */*;q=0.1",), "application/json"),
        (3, (b"application/json;q=0.5, application/ld+json",), LD_3), (3, (b"application/json, */*",), LD_3),
        (3, (b"application/ld+json;q=0.5, application/json",), "application/json"),
        (3, (b"application/ld+json;q=0, */*",), "application/json"), (3, (b"application/json;q=0, */*",), LD_3),
        (3, (b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",), LD_3), (3, (b"image/png",), LD_3),
        (3, (b"application/*",), LD_3), (3, (b"application/*, application/json;q=0.5",), LD_3),
        (3, (b"application/*;q=0.5, application/json",), "application/json"),
        (2, (), "application/json"), (2, (b"*/*",), "application/json"),
        (2, (b"application/json",), "application/json"),
        (2, (b"application/ld+json",), "application/ld+json"), (2, (b"application/ld+json;q=0",), "application/json"),
        (2, (b"application/ld+json", b"*/*;q=0.1"), "application/ld+json"),
        (2, (b"application/*",), "application/json"),
        (2, (b"application/ld+json;q=0.5, application/json",), "application/json"),
        (2, (b"text/html",), "application/json"),
    ],
)  # fmt: skip
def test_media_types(version: Version, accept: tuple[bytes, ...], media_type: str) -> None:
    assert info_json.media_type(version, accept) == media_type


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (Config(preferred_formats=("webp",), extra_formats=("gif",)), "preferred_formats"),
        (Config(rights="CC-BY"), "rights"),
        (Config(extra_formats=("gif", "gif")), "extra_formats"),
    ],
)  # fmt: skip
def test_settings_that_cannot_work(config: Config, field: str) -> None:
    (problem,) = config.problems()
    assert problem.field == field
    assert problem.sentence.startswith("expected ")


def test_settings_that_work() -> None:
    assert Config().problems() == ()
    assert Config(preferred_formats=("jpg", "webp"), rights="https://rightsstatements.org/x").problems() == ()
