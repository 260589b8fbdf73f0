"""A server with dialects mounted over a directory of pictures, and a client of its GETs."""

import http.client
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from tests.support.daemon import Daemon
from tests.support.pictures import encoded
from tests.support.sizes import PATIENCE_S

RED, BLUE, GREEN = "#ff0000", "#0000ff", "#00ff00"


class Got(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


def settings(pictures: Path, *more: str) -> str:
    """TOML: thumbor and imgproxy, unsigned, over ``pictures``."""
    mount = f'allow_unsigned = true\nsources = ["file://{pictures}/"]\nbase_url = "file://{pictures}/"\n'
    thumbor = f'[get.thumbor]\npath = "/thumbor"\nnegotiate = ["webp"]\n{mount}'
    return "\n".join((*more, thumbor, f'[get.imgproxy]\npath = "/"\n{mount}'))


def paint(path: Path, colour: str, side: int = 40) -> None:
    path.write_bytes(encoded(Image.new("RGB", (side, side), colour), "png"))


def fetch(server: Daemon, target: str, **headers: str) -> Got:
    """GET. Names of headers have ``_`` for ``-``."""
    with Line(server) as line:
        return line.get(target, **headers)


class Line:
    """One connection, which stays open."""

    def __init__(self, server: Daemon) -> None:
        self._connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=PATIENCE_S)

    def get(self, target: str, **headers: str) -> Got:
        self._connection.request(
            "GET", target, headers={name.replace("_", "-"): text for name, text in headers.items()}
        )
        response = self._connection.getresponse()
        return Got(response.status, {name.lower(): text for name, text in response.getheaders()}, response.read())

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
