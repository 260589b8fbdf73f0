"""Half-transparent colours in another size and before a background: the nearest level, whatever the alpha."""

import io

import numpy as np
import pytest
from PIL import Image

from imgserve.imaging.worker import scale
from imgserve.imaging.worker.formats import resizer
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from tests.support import pictures, rasters
from tests.unit.imaging.conftest import Render, opened, render_bytes

ALPHAS = (255, 254, 200, 128, 127, 64, 40, 20, 3)
COLOURS = ((200, 100, 50), (255, 255, 255), (0, 0, 0), (1, 254, 127), (13, 77, 190))
PIXELS = [(*colour, ALPHAS[(at * 4 + n) % len(ALPHAS)]) for at, colour in enumerate(COLOURS) for n in range(3)]


def flat(pixel: tuple[int, int, int, int], side: int = 40) -> Image.Image:
    return Image.new("RGBA", (side, side), pixel)


def encoded(image: Image.Image, name: str) -> bytes:
    out = io.BytesIO()
    image.save(out, pictures.PILLOW_NAME[name], **({"lossless": True, "exact": True} if name == "webp" else {}))
    return out.getvalue()


@pytest.mark.parametrize("name", ["png", "tiff", "webp"])
def test_a_flat_colour_stays_what_it_is(render: Render, name: str) -> None:
    for pixel in PIXELS:
        for size in ((20, 20), (13, 7), (5, 5)):
            assert render(encoded(flat(pixel), name), Resize(), size).convert("RGBA").getpixel((2, 2)) == pixel


def test_grey_and_sixteen_bits(render: Render) -> None:
    for *colour, alpha in PIXELS:
        grey = pictures.encoded(Image.new("LA", (40, 40), (colour[0], alpha)), "png")
        assert render(grey, Resize(), (20, 20)).getpixel((9, 9)) == (colour[0], alpha)
        deep = rasters.png(np.full((40, 40, 4), [part * 257 for part in (*colour, alpha)], np.uint16))
        assert render(deep, Resize(), (20, 20)).getpixel((9, 9)) == (*colour, alpha)


@pytest.mark.parametrize("is_linear", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("colour", [(200, 100, 50), (255, 255, 255), (250, 130, 130)])
def test_a_colour_keeps_its_level_beside_transparent_pixels(
    render: Render, colour: tuple[int, int, int], bits: int, is_linear: bool
) -> None:
    """What the kernel overshoots there is not cut off in alpha alone."""
    down, across = np.mgrid[:120, :120]
    alpha = ((down - 60) ** 2 + (across - 60) ** 2 < 50**2) * 255
    alpha[:, :20] = 255
    pixels = np.dstack([np.where(alpha, level, 0) for level in colour] + [alpha])
    data = rasters.png(pixels.astype(np.uint16) * 257 if bits == 16 else pixels.astype(np.uint8))
    for size in ((50, 50), (31, 17), (60, 101)):
        result = np.asarray(render(data, Resize(linear_light=is_linear), size).convert("RGBA")).astype(int)
        seen = result[:, :, 3] >= 32
        assert np.abs(result[seen][:, :3] - colour).max() <= 2


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "opaque RGBA", "opaque LA"])
def test_resampled_as_libvips_would(render: Render, monkeypatch: pytest.MonkeyPatch, mode: str, bits: int) -> None:
    scene = pictures.detailed(300, 200)
    if not mode.startswith("opaque"):
        scene.putalpha(pictures.scene(300, 200).convert("L").point(lambda value: max(0, value - 60)))
    pixels = np.asarray(scene.convert(mode.removeprefix("opaque "))).astype(np.uint16)
    data = rasters.png(pixels * 257 if bits == 16 else pixels.astype(np.uint8))
    for size in ((130, 90), (101, 199), (300, 77)):
        quick = np.asarray(render(data, Resize(), size).convert("RGBA")).astype(int)
        with monkeypatch.context() as context:
            context.setattr(resizer, "library", None)
            theirs = np.asarray(render(data, Resize(), size).convert("RGBA")).astype(int)
        difference = np.abs(quick - theirs)
        assert difference[:, :, 3].max() <= 1
        assert (difference[:, :, :3] * theirs[:, :, 3:] / 255).mean() < 0.4
        assert (difference[:, :, :3] * theirs[:, :, 3:] / 255).max() <= 3


@pytest.mark.parametrize("size", [(130, 90), (1, 1), (300, 150), (7, 199)])
def test_bands_leave_no_seam(monkeypatch: pytest.MonkeyPatch, render: Render, size: tuple[int, int]) -> None:
    scene = pictures.detailed(300, 200)
    scene.putalpha(pictures.scene(300, 200).convert("L"))
    data = pictures.encoded(scene, "png")
    whole = render(data, Resize(), size)
    monkeypatch.setattr(scale, "_BAND_PIXELS", 2000)
    assert render(data, Resize(), size).tobytes() == whole.tobytes()


def test_frames_of_a_film() -> None:
    for pixel in PIXELS[::4]:
        out = io.BytesIO()
        other = flat((1, 2, 3, 200))
        flat(pixel).save(out, "WEBP", save_all=True, append_images=[other], duration=50, lossless=True, exact=True)
        image = opened(render_bytes(out.getvalue(), Resize(), (20, 20), "gif"))
        alpha = image.convert("RGBA").getpixel((9, 9))[3]  # type: ignore[index]
        assert alpha == (255 if pixel[3] >= 128 else 0)


@pytest.mark.parametrize("at", [(0, 0), (99, 31), (0, 32), (50, 99)])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("band", [500_000, 700])
def test_one_transparent_pixel_is_enough(
    render: Render, monkeypatch: pytest.MonkeyPatch, band: int, mode: str, at: tuple[int, int]
) -> None:
    """Wherever it is, in the last band too: opaque pictures are made smaller without their alpha."""
    monkeypatch.setattr(scale, "_BAND_PIXELS", band)
    image = Image.new(mode, (100, 100), (200,) * (len(mode) - 1) + (255,))
    image.putpixel(at, (0,) * len(mode))
    result = np.asarray(render(encoded(image, "png"), Resize(), (50, 50)))
    colours, alpha = result[:, :, :-1], result[:, :, -1]
    assert alpha[at[1] // 2, at[0] // 2] < 255
    assert np.median(alpha) == 255
    assert colours.min() > 190, "the black below it is hidden"


def test_before_a_background(render: Render) -> None:
    for pixel in PIXELS:
        *colour, alpha = pixel
        image = render(encoded(flat(pixel), "png"), Resize(), (20, 20), "jpeg", background="#0a64c8")
        expected = [
            part * alpha / 255 + ground * (1 - alpha / 255) for part, ground in zip(colour, (10, 100, 200), strict=True)
        ]
        assert image.getpixel((9, 9)) == pytest.approx(tuple(expected), abs=1.6)  # JPEG's own rounding is in it


def test_what_an_svg_draws_half_transparent(render: Render) -> None:
    for *colour, alpha in PIXELS:
        fill = f'<rect width="40" height="20" fill="rgb({colour[0]},{colour[1]},{colour[2]})" opacity="{alpha / 255}"/>'
        got = render(pictures.svg(fill), Rasterize(), (40, 20)).convert("RGBA").getpixel((9, 9))
        drawn = [round(part * alpha / 255) for part in colour]  # cairo keeps the product, in 8 bits
        assert got == pytest.approx(
            (*(round(part * 255 / alpha) for part in drawn), alpha), abs=1 if alpha > 100 else 3
        )


def test_colours_of_what_cannot_be_seen_do_not_bleed(render: Render) -> None:
    pixels = np.zeros((40, 40, 4), np.uint8)
    pixels[:, :20] = (200, 100, 50, 255)
    pixels[:, 20:] = (0, 255, 0, 0)
    image = np.asarray(render(rasters.png(pixels), Resize(), (10, 10)).convert("RGBA"))
    visible = image[image[:, :, 3] > 20]
    assert np.abs(visible[:, :3].astype(int) - (200, 100, 50)).max() <= 3


@pytest.mark.parametrize("gravity", ["west", "center", "east", "attention", "entropy"])
def test_crops(render: Render, gravity: str) -> None:
    scene = pictures.scene(90, 60, "RGBA")
    image = render(pictures.encoded(scene, "png"), Resize(gravity=gravity), (30, 40))  # type: ignore[arg-type]
    left = {"west": 0, "center": 15, "east": 30}.get(gravity)
    if left is not None:
        expected = scene.resize((60, 40), Image.Resampling.LANCZOS).crop((left, 0, left + 30, 40))
        assert pictures.distance(image, expected) < 5  # Pillow rounds colours by their alpha


@pytest.mark.parametrize("orientation", pictures.ORIENTATIONS)
def test_turned(render: Render, orientation: int) -> None:
    upright = pictures.scene(90, 60, "RGBA")
    data = pictures.oriented(upright, orientation, "png")
    image = render(data, Resize(), (45, 30))
    assert pictures.distance(image, upright.resize((45, 30), Image.Resampling.LANCZOS)) < 2


def test_a_profile_with_transparency(render: Render) -> None:
    data = pictures.encoded(flat((100, 150, 200, 128)), "png", profile=pictures.wide_gamut_profile())
    opaque = pictures.encoded(flat((100, 150, 200, 255)).convert("RGB"), "png", profile=pictures.wide_gamut_profile())
    expected = render(opaque, Resize(), (20, 20)).convert("RGB").getpixel((9, 9))
    got = render(data, Resize(), (20, 20)).getpixel((9, 9))
    assert isinstance(got, tuple)
    assert isinstance(expected, tuple)
    assert got[:3] == pytest.approx(expected, abs=1)
    assert got[3] == 128
