"""SVGs in the encodings that browsers know; and that nothing has to be loaded once the worker is locked in."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from imgserve.imaging.faults import SvgInvalid
from imgserve.imaging.worker.probe import probe
from imgserve.imaging.worker.svg import markup
from imgserve.request.limits import Limits
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from tests.support import pictures
from tests.unit.imaging.conftest import Render

# Label, Python's codec that writes it, a text that only comes through where the encoding is read rightly.
ENCODINGS = [
    ("windows-1251", "cp1251", "Привет"), ("Windows-1252", "cp1252", "äöü€"), ("windows-1250", "cp1250", "Łódź"),
    ("Shift_JIS", "cp932", "日本語"), ("x-sjis", "cp932", "日本語"), ("EUC-JP", "euc_jp", "日本語"),
    ("ISO-2022-JP", "iso2022_jp", "日本語"), ("ISO-8859-2", "iso8859_2", "Łódź"), ("latin1", "latin-1", "äöü"),
    ("iso-8859-15", "iso8859_15", "€"), ("ISO_8859-5:1988", "iso8859_5", "Привет"), ("us-ascii", "ascii", "abc"),
    ("KOI8-R", "koi8_r", "Привет"), ("koi8-u", "koi8_u", "Привіт"), ("ibm866", "cp866", "Привет"),
    ("GB2312", "gb2312", "中文"), ("gbk", "gbk", "中文"), ("gb18030", "gb18030", "中文"), ("Big5", "big5", "中文"),
    ("euc-kr", "euc_kr", "한국어"), ("windows-874", "cp874", "ไทย"), ("macintosh", "mac_roman", "äöü"),
    ("utf8", "utf-8", "日本語"), ("UTF-16", "utf-16", "日本語"), ("UTF-16LE", "utf-16-le", "日本語"),
    ("UTF-16", "utf-16-be", "日本語"), ("UTF-32", "utf-32", "日本語"), ("utf-16", "utf-8", "日本語"),
]  # fmt: skip
BOX = ((0, 0, 20, 20), (255, 0, 0, 255))


def sheet(label: str, codec: str, text: str) -> bytes:
    """A square that is red only where an id of this text is found again by a style sheet and a reference."""
    body = f'<style>#{text}{{fill:#f00}}</style><defs><rect id="{text}" width="20" height="20"/></defs>'
    svg = pictures.svg(f'{body}<use href="#{text}"/>').decode()
    return f'<?xml version="1.0" encoding="{label}"?>\n{svg}'.encode(codec)


@pytest.mark.parametrize(("label", "codec", "text"), ENCODINGS)
def test_every_encoding_that_browsers_know(render: Render, label: str, codec: str, text: str) -> None:
    data = sheet(label, codec, text)
    root = markup.find_root(data)
    assert root is not None
    assert text.encode() in root.data
    info = probe(data, Limits(), is_complete=True)
    assert info is not None
    assert (info.width_px, info.height_px) == (40, 20)
    for operation in (Resize(), Rasterize()):
        image = render(data, operation, (40, 20))
        assert image.getbbox() == BOX[0]
        assert image.getpixel((10, 10)) == BOX[1]


def test_the_case_of_the_report(render: Render) -> None:
    data = '<?xml version="1.0" encoding="windows-1251"?>' + pictures.svg("<title>Пример</title>").decode()
    assert render(data.encode("cp1251"), Resize(), (40, 20)).size == (40, 20)


@pytest.mark.parametrize("label", ["EBCDIC-CP-US", "cp437", "rot13", "zip", "punycode", "idna", "mbcs", "x-nothing"])
def test_an_unknown_encoding_is_named(render: Render, label: str) -> None:
    data = sheet(label, "ascii", "a")
    for operation in (Resize(), Rasterize()):
        with pytest.raises(SvgInvalid, match=f"encoding {label}, which is not known"):
            render(data, operation, (40, 20))


@pytest.mark.parametrize("label", ["shift_jis", "gb18030", "windows-1252", "utf-16"])
def test_bytes_that_are_not_of_the_encoding_do_no_harm(render: Render, label: str) -> None:
    data = sheet(label, "ascii", "a").replace(b"</svg>", b"<desc>\xff\x80\x81\xfe</desc></svg>")
    try:
        assert render(data, Resize(), (40, 20)).getpixel((10, 10)) == BOX[1]
    except SvgInvalid:
        assert label == "utf-16", "it is UTF-8 in truth, and a browser refuses these bytes in it"


PROGRAM = """
import gc, os, sys
from pathlib import Path
from imgserve.imaging.messages import DrawRequest, Drawing, ProbeRequest, RenderRequest
from imgserve.request.rendering import Rendering
from imgserve.imaging.worker import __main__ as worker
from imgserve.imaging.worker import vips
from imgserve.imaging.worker.formats import turbojpeg
from imgserve.imaging.worker.pixelcache import PixelCache
from imgserve.request.imageinfo import Size
from imgserve.request.limits import Limits
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from imgserve.request.encode import Encode
from imgserve.request.recipe import Recipe

vips.configure()
vips.warm_up()
loaded = set(sys.modules)
answers = set()

def ask(request, *sources):
    descriptors = []
    for data in sources:
        descriptors.append(os.memfd_create("source"))
        os.write(descriptors[-1], data)
    descriptors.append(os.memfd_create("result", os.MFD_ALLOW_SEALING))
    reply = worker._answer(request, descriptors, lambda fault: None, PixelCache())
    answers.add(type(reply).__name__)
    for descriptor in descriptors:
        os.close(descriptor)

size = Size(8, 8)
for path in sorted(Path(sys.argv[1]).iterdir()):
    data = path.read_bytes()
    for cut in (data, data[: len(data) // 2]):
        ask(ProbeRequest(True, Limits()), cut)
        formats = ("png",) if path.suffix == ".svg" else ("png", "jpeg", "webp", "gif", "tiff", "avif")
        ways = [(operation, formats[0]) for operation in (Resize(gravity="attention"), Rasterize())]
        for operation, name in [*((Resize(), name) for name in formats), *ways]:
            recipe = Recipe((operation,), Encode(name))
            ask(RenderRequest(Rendering(recipe, size, name), Limits()), cut)
for name in ("jpeg", "png", "webp", "gif", "tiff", "avif"):
    ask(DrawRequest(Drawing(Size(200, 80), name, "#808080", "Image being processed"), Limits()))
ask(RenderRequest(Rendering(None, size, "png"), Limits()), b"GIF8")
print(sorted(answers), sorted(set(sys.modules) - loaded - set(sys.builtin_module_names)))  # these are no files
"""


def test_no_module_is_loaded_behind_the_lock(tmp_path: Path) -> None:
    """Every kind of picture, whole and cut in half, written in each format; and the traceback of a fault of our own.

    But for the decoders of rare formats, whose files the lock lets through.
    """
    for number, (label, codec, text) in enumerate(ENCODINGS):
        (tmp_path / f"{number}.svg").write_bytes(sheet(label, codec, text))
    scene = pictures.scene(40, 30)
    for name in set(pictures.PILLOW_NAME) - {"heic", "bmp", "ico"}:
        profile = pictures.wide_gamut_profile() if name in ("jpeg", "png", "webp") else None
        (tmp_path / f"a.{name}").write_bytes(pictures.encoded(scene, name, profile=profile))
    (tmp_path / "b.gif").write_bytes(pictures.animation(3))
    (tmp_path / "b.webp").write_bytes(pictures.film([scene, Image.new("RGB", (40, 30))], "webp", [50, 50]))
    (tmp_path / "c.svg").write_bytes(b"<!DOCTYPE svg [<!ENTITY a 'b'>]>" + pictures.svg("<desc>&a;</desc>"))
    (tmp_path / "d.html").write_bytes(b"<html>")
    command = [sys.executable, "-I", "-c", PROGRAM, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    assert ended.stdout.strip() == "['Failed', 'Probed', 'Written'] []"
