"""Headers that our own code walks, cut at every byte, and with every byte changed: each file gets its code."""

from collections import Counter

import pytest

from imgserve.errors import ImgserveError
from imgserve.imaging.faults import PictureTooLarge, SourceUnreadable
from imgserve.imaging.worker.probe import probe
from imgserve.request.limits import Limits
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import LoadOptions
from tests.support import heif, pictures
from tests.unit.imaging.conftest import render_bytes
from tests.unit.imaging.test_bmp_ico import dib, icon

SCENE = pictures.scene(64, 48)
GRID = heif.encoded(pictures.scene(140, 90), tile_size=64, quality=50)
ALPHA = heif.encoded(pictures.scene(64, 48, "RGBA"), quality=50)
FILES = {
    "heic grid": (GRID, heif.place(GRID, b"meta")[2]),
    "heic with alpha": (ALPHA, heif.place(ALPHA, b"meta")[2]),
    "ico": (icon((dib(pictures.scene(16, 12)), 32), (pictures.encoded(SCENE, "png"), 32)), 100),
    "apng": (pictures.film([SCENE, SCENE.rotate(90)], "png", [50, 50]), 150),
    "avif": ((avif := pictures.encoded(SCENE, "avif")), heif.place(avif, b"meta")[2]),
}
EXPECTED = (SourceUnreadable, PictureTooLarge)
TURNED = LoadOptions(orient=False)


def outcome(data: bytes, *, is_rendered: bool) -> str:
    try:
        if is_rendered:
            render_bytes(data, Resize(), (8, 8), "webp", load=TURNED)
        else:
            probe(data, Limits(), is_complete=True, options=TURNED)
    except EXPECTED as error:
        return error.code
    except ImgserveError as error:
        raise AssertionError(error.code) from error
    return "drawn"


@pytest.mark.parametrize("name", FILES)
def test_cut_at_every_byte(name: str) -> None:
    data, header = FILES[name]
    found = Counter(outcome(data[:kept], is_rendered=False) for kept in range(header))
    assert found["source_unreadable"] > header / 2
    assert outcome(data, is_rendered=True) == "drawn"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("value", [0x00, 0xFF])
def test_every_byte_changed(name: str, value: int) -> None:
    data, header = FILES[name]
    found: Counter[str] = Counter()
    for at in range(header):
        changed = data[:at] + bytes([value]) + data[at + 1 :]
        found[outcome(changed, is_rendered=at % 6 == 0)] += 1
    assert found["source_unreadable"] > 0
    assert found["drawn"] > 0
