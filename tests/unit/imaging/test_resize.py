"""resize and save, compared with Pillow's own fit and with arithmetic."""

import io
from typing import get_args

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from imgserve.imaging.faults import PictureTooLarge, SourceUnreadable
from imgserve.request.encode import Format
from imgserve.request.geometry import Gravity
from imgserve.request.limits import Limits
from imgserve.request.operations.resize import Resize
from tests.support import pictures
from tests.unit.imaging.conftest import Render, opened, render_bytes

FORMATS: tuple[Format, ...] = get_args(Format)
SIZES = [(200, 120), (120, 200), (1, 1), (1, 50), (50, 1), (199, 121), (333, 77), (77, 333), (640, 480), (639, 479)]
SOURCES = [(640, 480), (641, 479), (1000, 37), (37, 1000), (3000, 2001)]


def fitted(image: Image.Image, size: tuple[int, int], centering: tuple[float, float] = (0.5, 0.5)) -> Image.Image:
    return ImageOps.fit(image, size, Image.Resampling.LANCZOS, centering=centering)


@pytest.mark.parametrize("source_size", SOURCES)
def test_exactly_the_size_and_the_middle(render: Render, source_size: tuple[int, int]) -> None:
    scene = pictures.scene(*source_size)
    data = pictures.encoded(scene, "png")
    for size in SIZES:
        result = render(data, Resize(if_small="enlarge"), size)
        assert result.size == size
        if min(size) >= 30:  # half a pixel of difference in rounding is much of a picture of one pixel
            assert pictures.distance(result, fitted(scene, size)) < 3, size


@pytest.mark.parametrize("size", SIZES)
def test_shrink_on_load_of_a_jpeg_hits_the_size_too(render: Render, size: tuple[int, int]) -> None:
    scene = pictures.scene(1999, 1501)
    assert pictures.distance(render(pictures.encoded(scene, "jpeg"), Resize(), size), fitted(scene, size)) < 3


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("output", FORMATS)
def test_every_format_into_every_format(render: Render, source: Format, output: Format) -> None:
    scene = pictures.scene(320, 240)
    result = render(pictures.encoded(scene, source), Resize(), (100, 90), output)
    assert result.format == pictures.PILLOW_NAME[output]
    assert pictures.distance(result.convert("RGB"), fitted(scene, (100, 90))) < 8


@pytest.mark.parametrize("orientation", pictures.ORIENTATIONS)
def test_all_eight_orientations_come_out_upright(render: Render, orientation: int) -> None:
    upright = pictures.scene(400, 300)
    result = render(pictures.oriented_jpeg(upright, orientation), Resize(), (160, 90))
    assert pictures.distance(result, fitted(upright, (160, 90))) < 3
    assert result.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize(
    ("gravity", "centering"),
    [
        ("center", (0.5, 0.5)),
        ("north", (0.5, 0.0)),
        ("south", (0.5, 1.0)),
        ("west", (0.0, 0.5)),
        ("east", (1.0, 0.5)),
        ("northwest", (0.0, 0.0)),
        ("northeast", (1.0, 0.0)),
        ("southwest", (0.0, 1.0)),
        ("southeast", (1.0, 1.0)),
    ],
)
@pytest.mark.parametrize("size", [(300, 60), (60, 300)])
def test_gravity_keeps_its_side(
    render: Render, gravity: Gravity, centering: tuple[float, float], size: tuple[int, int]
) -> None:
    scene = pictures.scene(640, 480)
    result = render(pictures.encoded(scene, "png"), Resize(gravity=gravity, if_small="enlarge"), size)
    assert pictures.distance(result, fitted(scene, size, centering)) < 2


@pytest.mark.parametrize("gravity", ["attention", "entropy"])
def test_the_interesting_part_is_kept(render: Render, gravity: Gravity) -> None:
    plain = Image.new("RGB", (900, 300), (120, 120, 120))
    rng = np.random.default_rng(3)
    plain.paste(Image.fromarray(rng.integers(0, 255, (200, 200, 3), dtype=np.uint8)), (650, 50))
    result = render(pictures.encoded(plain, "png"), Resize(gravity=gravity), (300, 300))
    assert np.asarray(result).std() > 30
    assert np.asarray(render(pictures.encoded(plain, "png"), Resize(), (300, 300))).std() < 5


@pytest.mark.parametrize("output", ["png", "webp", "tiff", "avif"])
def test_alpha_is_kept_where_the_format_has_it(render: Render, output: Format) -> None:
    scene = pictures.scene(256, 128, "RGBA")
    result = render(pictures.encoded(scene, "png"), Resize(), (64, 64), output)
    assert result.mode == "RGBA"
    expected = np.asarray(fitted(scene.getchannel("A"), (64, 64))).astype(int)
    assert np.abs(np.asarray(result.getchannel("A")).astype(int) - expected).mean() < 4


def test_alpha_is_flattened_on_the_background_for_jpeg(render: Render) -> None:
    scene = Image.new("RGBA", (64, 64), (255, 0, 0, 128))
    result = render(pictures.encoded(scene, "png"), Resize(), (32, 32), "jpeg", background="#0000ff")
    middle = np.asarray(result)[16, 16].astype(int)
    assert np.abs(middle - [128, 0, 127]).max() < 6


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "I;16"])
def test_other_modes_of_png(render: Render, mode: str) -> None:
    grey = pictures.scene(200, 100).convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    source = deep if mode == "I;16" else grey.convert(mode)
    result = render(pictures.encoded(source, "png"), Resize(), (100, 50)).convert("RGB")
    shown = grey if mode == "I;16" else source.convert("L")
    assert pictures.distance(result, fitted(shown, (100, 50)).convert("RGB")) < 8


def test_cmyk_becomes_srgb(render: Render) -> None:
    scene = Image.new("CMYK", (64, 64), (0, 255, 255, 0))
    red, green, blue = np.asarray(render(pictures.encoded(scene, "jpeg"), Resize(), (32, 32)))[16, 16].astype(int)
    assert (red > 180, green < 80, blue < 80) == (True, True, True)


def test_a_wide_gamut_profile_is_converted_to_srgb(render: Render) -> None:
    profile = pictures.wide_gamut_profile()
    stored = Image.new("RGB", (64, 64), (200, 80, 60))
    wide = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    expected = ImageCms.profileToProfile(stored, wide, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert expected is not None
    result = render(pictures.encoded(stored, "png", profile=profile), Resize(), (32, 32))
    assert np.abs(np.asarray(result)[5, 5].astype(int) - np.asarray(expected)[5, 5].astype(int)).max() <= 2
    assert np.abs(np.asarray(expected)[5, 5].astype(int) - (200, 80, 60)).max() > 8, "the profile must matter"
    assert "icc_profile" not in result.info


@pytest.mark.parametrize("output", FORMATS)
def test_metadata_is_gone(output: Format) -> None:
    source = pictures.tagged_jpeg(pictures.scene(100, 80))
    assert pictures.GPS_CITY.encode() in source
    result = render_bytes(source, Resize(), (50, 40), output)
    assert pictures.GPS_CITY.encode() not in result
    assert 0x8825 not in opened(result).getexif()


@pytest.mark.parametrize("source", FORMATS)
def test_truncated_files_are_refused(render: Render, source: Format) -> None:
    data = pictures.encoded(pictures.detailed(300, 200), source)
    assert render(data, Resize(), (200, 20)).size == (200, 20)
    for share in (0.3, 0.6, 0.95):
        with pytest.raises(SourceUnreadable):
            render(data[: int(len(data) * share)], Resize(), (200, 20))


def test_a_source_that_has_become_smaller_is_enlarged(render: Render) -> None:
    scene = pictures.scene(50, 40)
    result = render(pictures.encoded(scene, "jpeg"), Resize(), (300, 200))
    assert pictures.distance(result, fitted(scene, (300, 200))) < 4


def test_an_svg_source_covers_the_box(render: Render) -> None:
    data = pictures.svg('<rect width="10" height="20" fill="red"/><rect x="30" width="10" height="20" fill="lime"/>')
    result = np.asarray(render(data, Resize(), (200, 200)).convert("RGBA"))
    # 40 x 20 drawn at 400 x 200; the middle 200 columns show neither bar
    assert result[:, :, 3].max() == 0
    left = np.asarray(render(data, Resize(gravity="west"), (200, 200)).convert("RGBA"))
    assert (left[:, :99, 0].min(), left[:, 101:, 3].max()) == (255, 0)


@pytest.mark.parametrize(
    ("limits", "name"),
    [(Limits(frame_pixels=9_999), "frame_pixels"), (Limits(output_pixels=99), "output_pixels"),
     (Limits(output_side_px=9), "output_side_px")],
)  # fmt: skip
def test_limits_are_checked_again(render: Render, limits: Limits, name: str) -> None:
    data = pictures.encoded(pictures.scene(100, 100), "png")
    assert render(data, Resize(), (10, 10), limits=Limits()).size == (10, 10)
    with pytest.raises(PictureTooLarge, match=name):
        render(data, Resize(), (10, 10), limits=limits)


def test_webp_has_a_largest_side(render: Render) -> None:
    data = pictures.encoded(pictures.scene(100, 2), "png")
    with pytest.raises(PictureTooLarge, match="16383"):
        render(data, Resize(), (16_384, 100), "webp")


def test_a_very_narrow_source_is_not_blown_up(render: Render) -> None:
    data = pictures.encoded(pictures.scene(1, 20_000), "png")
    assert render(data, Resize(), (1, 100)).size == (1, 100)
    with pytest.raises(PictureTooLarge, match="total_pixels"):
        render(data, Resize(if_small="enlarge"), (200, 120))


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_a_profile_of_another_kind_does_no_harm(render: Render, mode: str) -> None:
    source = pictures.scene(90, 60, "RGBA").convert(mode)
    data = pictures.encoded(source, "png", profile=pictures.wide_gamut_profile())
    assert pictures.distance(render(data, Resize(), (90, 60)).convert("RGB"), source.convert("RGB")) < 3


def test_a_profile_that_is_none_is_ignored(render: Render) -> None:
    source = pictures.scene(90, 60)
    data = pictures.encoded(source, "jpeg", profile=b"nonsense" * 40)
    assert pictures.distance(render(data, Resize(), (90, 60)), source) < 3
