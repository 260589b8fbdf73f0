"""Pictures that a URL has drawn upon another one are sources of the mount: their names, and what it allows."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from PIL import Image

from tests.support.daemon import Daemon
from tests.support.ondemand import Reply, call
from tests.support.peers import mounted
from tests.support.pictures import encoded

RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    top = tmp_path_factory.mktemp("drawn")
    with mounted(top, "thumbor", f'names = {{marks = "file://{top}/pictures/marks/"}}\n') as server:
        (top / "pictures" / "marks").mkdir()
        (top / "pictures" / "red.png").write_bytes(encoded(Image.new("RGB", (40, 30), RED), "png"))
        (top / "pictures" / "marks" / "blue.png").write_bytes(encoded(Image.new("RGB", (8, 6), BLUE), "png"))
        (top / "blue.png").write_bytes(encoded(Image.new("RGB", (8, 6), BLUE), "png"))
        yield server


def marked(server: Daemon, name: str) -> Reply:
    return call(server, None, {}, f"/thumbor/unsafe/filters:watermark({quote(name)},4,5,0)/red.png", "GET")


@pytest.mark.parametrize("name", ["marks/blue.png", "marks:blue.png", "/marks/blue.png"])
def test_names_are_those_of_sources(server: Daemon, name: str) -> None:
    picture = marked(server, name).picture.convert("RGB")
    assert [picture.getpixel(place) for place in ((4, 5), (11, 10), (3, 5), (12, 10))] == [BLUE, BLUE, RED, RED]


@pytest.mark.parametrize("name", ["../blue.png", "marks:../../blue.png", "http://127.0.0.1/blue.png"])
def test_others_are_refused(server: Daemon, name: str) -> None:
    assert marked(server, name).status == 400


def test_a_file_beside_the_mount_is_refused(server: Daemon) -> None:
    top = server.data_dir.parent
    assert marked(server, f"file://{top}/blue.png").status == 400
    assert marked(server, f"file://{top}/pictures/marks/blue.png").status == 200
