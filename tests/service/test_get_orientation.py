"""GETs that leave a picture as it is stored, though its EXIF orientation turns it: the stored sides count."""

import io
from collections.abc import Iterator

import pytest
from PIL import Image

from tests.support.daemon import LOOPBACK, Daemon
from tests.support.mounted import fetch, settings
from tests.support.pictures import oriented, oriented_jpeg


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    top = tmp_path_factory.mktemp("oriented")
    pictures, file = top / "pictures", top / "imgserve.toml"
    pictures.mkdir()
    # Stored 90 x 60, shown 60 x 90.
    framed = Image.new("RGB", (60, 90), "white")
    framed.paste("red", (8, 8, 48, 78))
    (pictures / "b.png").write_bytes(oriented(framed, 6, "png"))
    (pictures / "a.jpg").write_bytes(oriented_jpeg(Image.new("RGB", (60, 90), "red"), 6))
    file.write_text(settings(pictures, f'read_root = ["{pictures}"]'))
    with Daemon(top / "data", "--config", str(file), *LOOPBACK) as server:
        yield server


@pytest.mark.parametrize(
    ("target", "size"),
    [
        ("/thumbor/unsafe/a.jpg", (90, 60)),
        ("/thumbor/unsafe/30x0/a.jpg", (30, 20)),
        ("/thumbor/unsafe/0x0:80x50/a.jpg", (80, 50)),
        ("/thumbor/unsafe/70x0:90x60/a.jpg", (20, 60)),
        ("/thumbor/unsafe/filters:grayscale()/a.jpg", (90, 60)),
        ("/thumbor/unsafe/filters:rotate(90)/a.jpg", (60, 90)),
        ("/_/ar:0/plain/a.jpg", (90, 60)),
        ("/_/ar:0/w:30/plain/a.jpg", (30, 20)),
        ("/_/ar:0/c:20:60:ea/plain/a.jpg", (20, 60)),
        ("/_/ar:0/c:80:50:nowe/plain/a.jpg", (80, 50)),
        ("/_/ar:0/pd:5/plain/a.jpg", (100, 70)),
        ("/_/c:20:60:ea/plain/a.jpg", (20, 60)),
        ("/_/t:10/plain/b.png", (40, 70)),
        ("/_/t:10/ar:0/plain/b.png", (70, 40)),
        ("/thumbor/unsafe/trim/b.png", (70, 40)),
        ("/_/plain/a.jpg", (60, 90)),
    ],
)
def test_sizes(server: Daemon, target: str, size: tuple[int, int]) -> None:
    answer = fetch(server, target)
    assert answer.status == 200, answer
    assert Image.open(io.BytesIO(answer.body)).size == size
