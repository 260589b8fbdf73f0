"""One running server with peers, shared by the tests of a file; what changes the server starts its own."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from examples.receivers import FtpReceiver, HttpReceiver
from PIL import Image

from tests.support.daemon import LOOPBACK, Daemon
from tests.support.pictures import encoded, scene, svg

ICON = svg('<rect width="40" height="20" fill="#00ff00"/>')


class World(NamedTuple):
    """A server and its peers; both peers and the roots hold Ex.png (400 x 300), photo.jpg and icon.svg."""

    server: Daemon
    http: HttpReceiver
    ftp: FtpReceiver
    read_root: Path
    write_root: Path


def put_pictures(directory: Path) -> None:
    directory.mkdir(exist_ok=True)
    (directory / "Ex.png").write_bytes(encoded(scene(400, 300), "png"))
    (directory / "photo.jpg").write_bytes(encoded(scene(640, 480), "jpeg"))
    (directory / "icon.svg").write_bytes(ICON)
    (directory / "broken.png").write_bytes(encoded(scene(400, 300), "png")[:40] + b"no picture at all" * 40)
    (directory / "words.svg").write_text("<p>these are words</p>")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    top = tmp_path_factory.mktemp("world")
    for name in ("http", "ftp", "read"):
        put_pictures(top / name)
    (top / "write").mkdir()
    roots = ("--read-root", str(top / "read"), "--write-root", str(top / "write"))
    times = {"repeat_after_s": 0.5, "request_header_timeout_s": 1.5, "request_body_timeout_s": 1.5}
    server = Daemon(top / "data", *LOOPBACK, *roots, switches=times)
    with HttpReceiver(top / "http") as http, FtpReceiver(top / "ftp") as ftp, server:
        yield World(server, http, ftp, top / "read", top / "write")


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image
