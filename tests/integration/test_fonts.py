"""font_dirs: text in an SVG is drawn in a font of a directory that only this setting names, by locked-in workers."""

import io
import os
from pathlib import Path

import pytest
from PIL import Image, ImageFont

import imgserve
from imgserve.blob import Blob
from imgserve.imaging.config import Config, Isolation
from imgserve.imaging.messages import Written
from imgserve.imaging.pool import Pool
from imgserve.request.encode import Encode
from imgserve.request.imageinfo import Size
from imgserve.request.limits import Limits
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.recipe import Recipe
from imgserve.request.rendering import Rendering
from tests.support import pictures
from tests.support.sizes import PATIENCE_S

FONT = Path(imgserve.__file__ or "").parent / "fonts" / "NotoSans-Regular.ttf"
TEXT, POINTS = "MMMM", 100
SIZE = Size(600, 140)
DRAWING = pictures.svg(
    f'<text x="20" y="110" font-size="{POINTS}" font-family="Zzyx Sans">{TEXT}</text>', 'width="600" height="140"'
)


def font_of_another_name() -> bytes:
    """A family that no machine has."""
    data = FONT.read_bytes()
    for code in ("utf-16-be", "ascii"):
        data = data.replace("Noto".encode(code), "Zzyx".encode(code))
    return data


async def drawn(isolation: Isolation, *font_dirs: Path) -> tuple[int, list[str]]:
    """The width of the ink in pixels, and the warnings."""
    directories = tuple(map(str, font_dirs))
    times = {"svg_timeout_s": PATIENCE_S, "render_timeout_s": PATIENCE_S}
    pool = Pool(
        Config(workers=1, sandbox="require", isolation=isolation, font_dirs=directories, **times),  # type: ignore[arg-type]
        Limits(),
    )
    await pool.start()
    try:
        task = Rendering(Recipe((Rasterize(),), Encode("png")), SIZE, "png")
        replies: list[Written] = []
        with (
            Blob.of(DRAWING) as source,
            await pool.render(source, task, is_svg=True, on_written=replies.append) as picture,
        ):
            result = Image.open(io.BytesIO(picture.read()))
    finally:
        await pool.aclose()
    left, _, right, _ = result.getchannel("A").getbbox() or (0, 0, 0, 0)
    [written] = replies
    return right - left, [warning.detail for warning in written.warnings]


@pytest.mark.parametrize("isolation", ["principal", "shared"], ids=["forked", "executed"])
async def test_a_font_of_a_directory(tmp_path: Path, isolation: Isolation) -> None:
    directory = tmp_path / "house & <fonts>"
    directory.mkdir()
    (directory / "ours.ttf").write_bytes(font_of_another_name())
    (directory / "broken.ttf").write_bytes(b"no font")
    ink = ImageFont.truetype(io.BytesIO(FONT.read_bytes()), POINTS).getmask(TEXT).getbbox()
    assert ink is not None
    width, warnings = await drawn(isolation, directory)
    assert width == pytest.approx(ink[2] - ink[0], abs=2)
    assert warnings == []
    without, warnings = await drawn(isolation)
    assert warnings == [
        'the font "Zzyx Sans" is not installed, so text of the SVG is drawn in another; install it, or name its '
        "directory in font_dirs"
    ]
    assert without > 0, "the system's own are there too"
    assert abs(without - (ink[2] - ink[0])) > 4, "the system's default font is as wide"
    assert not [name for name in os.listdir("/tmp") if name.startswith("imgserve-fonts-")]


def test_a_directory_that_is_missing_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    places = (str(tmp_path), str(tmp_path / "nowhere"), str(tmp_path / "file"))
    faults = Config(font_dirs=places).problems()
    assert [(fault.field, fault.path) for fault in faults] == [("font_dirs", (1,)), ("font_dirs", (2,))]
