"""The shorter ways of a small SVG end in the bytes that the long one makes."""

import numpy as np
import pytest
import pyvips

from imgserve.imaging.faults import SvgInvalid
from imgserve.imaging.worker import pipeline, save
from imgserve.imaging.worker.formats import png
from imgserve.imaging.worker.formats.turbojpeg import Decoded
from imgserve.imaging.worker.svg import rounding
from imgserve.request.encode import Format
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Operation
from tests.support import pictures
from tests.unit.imaging.conftest import render_bytes

SHADED = (
    '<linearGradient id="g"><stop stop-color="#f80" stop-opacity="0"/><stop offset="1" stop-color="#08f"/>'
    '</linearGradient><circle cx="20" cy="10" r="9" fill="url(#g)"/><path d="M0 0h9v9z" fill="#345" opacity=".3"/>'
)
SOLID = '<rect width="40" height="20" fill="#123456"/>'
DRAWINGS = {
    "half transparent": pictures.svg(SHADED),
    "opaque": pictures.svg(SOLID),
    "empty": pictures.svg(""),
    "without a size": pictures.svg(SHADED, 'viewBox="0 0 40 20"'),
    "placed": pictures.svg(SHADED, 'width="40" height="90" viewBox="0 0 40 20" preserveAspectRatio="xMinYMax slice"'),
    "on a ground": pictures.svg(SHADED, 'width="40" height="20" style="background:#abc"'),
    "text": pictures.svg('<text y="15" font-size="16">Aa</text>'),
}
OPERATIONS: dict[str, tuple[Operation, tuple[int, int]]] = {
    "resize": (Resize(64, 64, fit="fill"), (64, 64)),
    "cut": (Resize(30, 30, fit="cover"), (30, 30)),
    "narrow": (Resize(1, 50, fit="fill"), (1, 50)),
    "rasterize": (Rasterize(33, 47), (33, 47)),
    "contain": (Rasterize(33, 47, fit="contain"), (33, 47)),
}  # fmt: skip
FORMATS: tuple[Format, ...] = ("png", "webp")


@pytest.mark.parametrize("output", FORMATS)
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("drawing", DRAWINGS)
def test_the_fast_path_makes_the_same_file(
    monkeypatch: pytest.MonkeyPatch, drawing: str, operation: str, output: Format
) -> None:
    fast = render_bytes(DRAWINGS[drawing], *OPERATIONS[operation], output)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "_drawn", lambda *_: None)
        without = render_bytes(DRAWINGS[drawing], *OPERATIONS[operation], output)
        patch.setattr(rounding, "_MOST_AT_ONCE", 0)
        patch.setattr(save, "_is_plain_png", lambda _: False)
        by_libvips = render_bytes(DRAWINGS[drawing], *OPERATIONS[operation], output)
    assert fast == without == by_libvips


@pytest.mark.parametrize("operation", ["resize", "rasterize", "contain"])
def test_the_fast_path_is_taken(monkeypatch: pytest.MonkeyPatch, operation: str) -> None:
    monkeypatch.delattr(pipeline, "_finished")
    for output in FORMATS:
        assert render_bytes(DRAWINGS["half transparent"], *OPERATIONS[operation], output)


def test_a_drawing_that_librsvg_refuses_is_refused_there_too() -> None:
    deep = pictures.svg("<g>" * 3000 + "</g>" * 3000)
    for operation, size in OPERATIONS.values():
        with pytest.raises(SvgInvalid):
            render_bytes(deep, operation, size)


@pytest.mark.parametrize("few", [0, 1_000_000])
def test_all_colours_are_rounded_as_by_libvips(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    """Each alpha with each colour that cairo can have with it, as libvips hands it on."""
    monkeypatch.setattr(rounding, "_FEW", few)
    alpha, product = (axis.ravel() for axis in np.mgrid[0:256, 0:256])
    possible = product <= alpha
    colour = np.where(alpha == 0, 0, product * 255 // np.maximum(alpha, 1))
    drawn = np.stack([colour, colour * 0, colour, alpha], axis=1)[possible].astype(np.uint8)
    image = pyvips.Image.new_from_memory(drawn.tobytes(), len(drawn), 1, 4, "uchar").copy(interpretation="srgb")
    expected = np.where(alpha == 0, 0, np.rint(product * 255 / np.maximum(alpha, 1)))[possible]
    result = np.frombuffer(rounding.at_once(image, len(drawn), 1).pixels, np.uint8).reshape(-1, 4)
    assert np.array_equal(result[:, 0], expected)
    assert np.array_equal(result[:, 2], expected)
    assert not result[:, 1].any()
    assert np.array_equal(result, rounding._by_libvips(image).numpy().reshape(-1, 4))


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize("density", [0, 1.0, 2.8346, 11.811, 1_000_000])
@pytest.mark.parametrize("size", [(1, 1), (33, 7), (200, 300)])
def test_a_png_has_the_bytes_of_libvips(bands: int, density: float, size: tuple[int, int]) -> None:
    samples = np.random.default_rng(bands).integers(0, 255, (size[1], size[0], bands), np.uint8)
    image = pyvips.Image.new_from_memory(samples.tobytes(), *size, bands, "uchar")
    image = image.copy(interpretation=png.SPACES[bands], xres=density, yres=density / 2)
    target = pyvips.Target.new_to_memory()
    image.pngsave_target(target, compression=0, keep="none")
    expected = png.compressed(bytes(target.get("blob")), 5)
    assert png.has_resolution(density)
    assert png.unfiltered(Decoded(*size, bands, samples.tobytes()), (density, density / 2), 5) == expected


@pytest.mark.parametrize("density", [-1.0, 2_147_484.0, float("nan"), float("inf")])
def test_png_has_no_number_for_every_resolution(density: float) -> None:
    assert not png.has_resolution(1.0, density)
