"""The profiles: what counts more, the time or the picture."""

import io
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from imgserve.blob import Blob
from imgserve.imaging.worker import pipeline, probe
from imgserve.imaging.worker.detect import detect
from imgserve.imaging.worker.formats import turbojpeg
from imgserve.imaging.worker.picture import Picture
from imgserve.request.encode import Defaults, Effort, Encode, Format, RenderProfile, resolved
from imgserve.request.limits import Limits
from imgserve.request.operations.blur import Blur
from imgserve.request.operations.resize import LinearLight, Resize
from imgserve.request.recipe import Operation, Recipe
from imgserve.request.rendering import resolve
from tests.unit.imaging.conftest import opened

PROFILES = get_args(RenderProfile)
# The middle of black and white: of their stored values, and of their light as it is stored.
STORED, LIGHT = 127.5, 188
NONE = Defaults({})


def stripes(px: int, output: str, side: int = 1040) -> bytes:
    """White and black columns, so many pixels wide."""
    row = np.where(np.arange(side) // px % 2, 255, 0).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.tile(row, (side, 1))).convert("RGB").save(file, output, quality=95)
    return file.getvalue()


def rendered(
    data: bytes,
    profile: RenderProfile,
    box: int,
    output: Format,
    light: LinearLight = "auto",
    effort: Effort | None = None,
    before: tuple[Operation, ...] = (),
) -> bytes:
    source_format = detect(data)
    assert source_format is not None
    info = probe.measure(Picture(data, source_format), Limits())
    encode = Encode(output, 90, effort=effort, render_profile=profile)
    rendering = resolve(Recipe((*before, Resize(box, box, linear_light=light)), encode), info, Limits())
    with Blob() as result:
        pipeline.render(data, rendering, Limits(), result.fd)
        return Path(f"/proc/self/fd/{result.fd}").read_bytes()


def brightness(file: bytes) -> float:
    return float(np.asarray(opened(file).convert("L"))[20:-20, 20:-20].mean())


@pytest.mark.parametrize("output", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP"])
def test_quality_is_by_light(source: str, output: Format) -> None:
    data = stripes(1, source)
    assert brightness(rendered(data, "quality", 260, output)) == pytest.approx(
        LIGHT, abs=13
    )  # squares stand for light in planes
    assert brightness(rendered(data, "quality", 260, output, light=False)) == pytest.approx(STORED, abs=8)
    assert brightness(rendered(data, "speed", 260, output)) == pytest.approx(STORED, abs=8)


def test_quality_is_by_light_after_other_operations() -> None:
    data = stripes(1, "PNG")
    assert brightness(rendered(data, "quality", 260, "png", before=(Blur(0.3),))) > STORED + 20


def test_balanced_is_by_light_where_it_shows_and_speed_is_not() -> None:
    if not turbojpeg.is_there():
        pytest.skip("libturbojpeg is not installed")
    data = stripes(3, "JPEG")
    of = {profile: brightness(rendered(data, profile, 400, "jpeg")) for profile in PROFILES}
    assert of["balanced"] > of["speed"] + 3


@pytest.mark.parametrize("profile", PROFILES)
def test_a_jpeg_of_quality_is_progressive(profile: RenderProfile) -> None:
    picture = opened(rendered(stripes(40, "JPEG"), profile, 260, "jpeg"))
    assert bool(picture.info.get("progressive")) is (profile == "quality")


@pytest.mark.parametrize("output", ["webp", "avif"])
def test_quality_takes_the_best_effort_unless_one_is_given(output: Format) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (200, 200, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize((600, 600), Image.Resampling.BICUBIC).save(file, "PNG")
    data = file.getvalue()
    best = rendered(data, "balanced", 260, output, light=True, effort="best")
    assert rendered(data, "quality", 260, output) == best
    fast = rendered(data, "balanced", 260, output, light=True, effort="fast")
    assert rendered(data, "quality", 260, output, effort="fast") == fast != best


@pytest.mark.parametrize("of_settings", PROFILES)
@pytest.mark.parametrize("of_recipe", [None, *PROFILES])
def test_the_recipe_decides_before_the_settings(of_recipe: RenderProfile | None, of_settings: RenderProfile) -> None:
    encode = resolved(Encode("webp", render_profile=of_recipe), "webp", Defaults({"webp": 70}, of_settings))
    profile = of_recipe or of_settings
    assert encode.quality == 70
    assert encode.effort == {"speed": "fast", "balanced": None, "quality": "best"}[profile]
    # Servers of before read what this one stores.
    assert encode.render_profile == (None if profile == "balanced" else profile)
    assert resolved(encode, "webp", NONE) == encode


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("output", get_args(Format))
def test_an_effort_that_is_given_stays(output: Format, profile: RenderProfile) -> None:
    assert resolved(Encode(output, effort="balanced", render_profile=profile), output, NONE).effort == "balanced"
