"""An SVG that points elsewhere: the worker that draws it, watched by strace, opens fonts and nothing else."""

import asyncio
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from imgserve.imaging.config import Config
from imgserve.imaging.pool import Pool
from imgserve.imaging.worker import sandbox
from imgserve.request.encode import Encode
from imgserve.request.imageinfo import Size
from imgserve.request.limits import Limits
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.recipe import Recipe
from imgserve.request.rendering import Rendering
from tests.service.conftest import opened
from tests.support.pictures import encoded, scene, svg
from tests.support.pools import render_bytes
from tests.support.transfers import Listener

pytestmark = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is not installed; to run this: apt-get install strace"
)

LINKS = 'xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:xi="http://www.w3.org/2001/XInclude" width="40" height="20"'
RECT = '<rect width="40" height="20" fill="#00ff00"/>'
WAYS = {
    "image href": '<image width="9" height="9" href="{url}"/>',
    "image xlink:href": '<image width="9" height="9" xlink:href="{url}"/>',
    "use": '<use href="{url}#a"/>',
    "feImage": '<filter id="f"><feImage href="{url}"/></filter><rect width="1" height="1" filter="url(#f)"/>',
    "@import": '<style>@import url("{url}"); @import "{url}";</style>',
    "@font-face": '<style>@font-face {{font-family: x; src: url("{url}")}}</style><text font-family="x">a</text>',
    "CSS url()": '<rect width="1" height="1" style="fill:url({url}#a);mask:url({url}#b);filter:url({url}#c)"/>',
    "xi:include": '<xi:include href="{url}" parse="text"/><xi:include href="{url}"/>',
    "script": '<script href="{url}"/>',
    "foreignObject": '<foreignObject><img xmlns="http://www.w3.org/1999/xhtml" src="{url}"/></foreignObject>',
    "pattern href": '<pattern id="p" href="{url}#p"/><rect width="1" height="1" fill="url(#p)"/>',
    "a": '<a href="{url}"><rect width="1" height="1"/></a>',
}
HEADS = {
    "entity": '<!DOCTYPE svg [<!ENTITY a SYSTEM "{url}">]>',
    "DTD": '<!DOCTYPE svg SYSTEM "{url}">',
    "style sheet": '<?xml-stylesheet href="{url}" type="text/css"?>',
}
_OPENED = re.compile(r'\bopen(?:at2?)?\((?:[^,"]*, )?"([^"]*)".* = \d+$', re.MULTILINE)


def drawings(url: str) -> list[bytes]:
    """Each way once; the green comes last, so that whatever was shown lies beneath it."""
    bodies = [svg(way.format(url=url) + RECT, LINKS) for way in WAYS.values()]
    return bodies + [head.format(url=url).encode() + svg(RECT, LINKS) for head in HEADS.values()]


async def test_nothing_is_opened_and_everything_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(encoded(scene(9, 9), "png"))
    task = Rendering(Recipe((Rasterize(),), Encode(format="png")), Size(40, 20), "png")
    pool = Pool(Config(workers=1), Limits())
    await pool.start()
    trace = tmp_path / "trace"
    calls = "trace=open,openat,openat2,socket,connect,execve,recvmsg"
    watched = [part for pid in pool.worker_pids for part in ("-p", str(pid))]
    command = ["strace", "-f", "-e", calls, "-s", "300", "-o", str(trace), *watched]
    strace = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
    assert strace.stderr is not None
    try:
        for _ in pool.worker_pids:
            assert b"attached" in await asyncio.wait_for(strace.stderr.readline(), 20)
        with Listener() as listener:
            urls = (f"file://{tmp_path}/secret.png", "/etc/passwd", f"http://127.0.0.1:{listener.port}/x.png")
            for data in [drawing for url in urls for drawing in drawings(url)]:
                drawn = opened(await render_bytes(pool, data, task, is_svg=True))
                assert drawn.convert("RGB").getpixel((39, 19)) == (0, 255, 0), data
            assert listener.connections == 0
    finally:
        strace.terminate()
        await strace.wait()
        await pool.aclose()
    lines = trace.read_text()
    assert "recvmsg(" in lines, "strace saw the workers at work"
    assert not re.search(r"\b(socket|connect|execve)\(", lines)
    assert "secret.png" not in lines
    assert "/etc/passwd" not in lines
    assert [path for path in _OPENED.findall(lines) if not path.startswith(sandbox.READABLE)] == []
