"""The shops of examples/, with the real server: a picture is put into each, and its sizes come to be there."""

import base64
import io
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from PIL import Image

from tests.support.daemon import Daemon, wait_until
from tests.support.native import sha256
from tests.support.pages import settings_in
from tests.support.pictures import encoded, scene
from tests.support.ports import free_port
from tests.support.sizes import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
SCRIPT, README = ROOT / "examples/curl/sizes.sh", ROOT / "examples/README.md"
PHOTO = encoded(scene(900, 700), "jpeg")
SECRET = "whsec_" + base64.b64encode(b"a secret of the shops and of imgserve").decode()
KEY = "the-key-of-the-shop-1"
SIZES = {"large": (600, 450), "card": (300, 200), "thumb": (64, 64)}


class Shop(NamedTuple):
    """A directory that shop and imgserve share, and the shop's own port."""

    top: Path
    port: int
    server: Daemon

    @contextmanager
    def running(self, *commands: str) -> Iterator[httpx.Client]:
        """The last command serves until the end of the block. {port} is the shop's."""
        environment = {
            **os.environ, "SHOP_DIR": str(self.top), "SHOP_WEBHOOK": f"http://127.0.0.1:{self.port}/imgserve/",
            "IMGSERVE_URL": self.server.url, "IMGSERVE_KEY": KEY, "HOOK_SECRET": SECRET,
            "DJANGO_SETTINGS_MODULE": "examples.django_shop.settings",
        }  # fmt: skip
        *before, last = [[sys.executable, "-m", *command.format(port=self.port).split()] for command in commands]
        for command in before:
            subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=PATIENCE_S)
        with subprocess.Popen(last, cwd=ROOT, env=environment) as shop:
            try:
                wait_until(lambda: is_listening(self.port) or shop.poll() is not None)
                with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False) as client:
                    yield client
            finally:
                shop.terminate()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """imgserve with the settings of examples/README.md."""
    top = tmp_path_factory.mktemp("shops")
    for name in ("media", "originals", "sizes"):
        (top / name).mkdir()
    keys, settings = top / "keys", top / "imgserve.toml"
    keys.write_text(f"shop:{KEY}\n")
    port = free_port()
    (shown,) = settings_in(README.read_text())
    settings.write_text(shown.replace("8000", str(port)).replace("/srv/shop", str(top)))
    own = ("--api-key-file", str(keys), "--config", str(settings))
    with Daemon(top / "data", *own, environment={"HOOK_SECRET": SECRET}) as server:
        yield Shop(top, port, server)


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def size_of(picture: bytes) -> tuple[str, int, int]:
    with Image.open(io.BytesIO(picture)) as image:
        image.load()
        return str(image.format), *image.size


def test_the_django_shop(shop: Shop) -> None:
    commands = ("django migrate --run-syncdb", "django runserver --noreload 127.0.0.1:{port}")
    with shop.running(*commands) as site:
        (token,) = re.findall(r'csrfmiddlewaretoken" value="(\w+)"', site.get("/").text)
        form = {"csrfmiddlewaretoken": token}
        answer = site.post("/", data=form, files={"image": ("two hills.jpg", PHOTO, "image/jpeg")})
        assert answer.status_code == 302
        places = re.findall(r'(?:src|href)="([^"]+)"', site.get("/").text)
        for place, (name, size) in zip(places, SIZES.items(), strict=True):
            assert place == f"/media/sizes/photos/two_hills.{name}.webp"
            assert size_of((shop.top / place.lstrip("/")).read_bytes()) == ("WEBP", *size), "placeholder or result"
        wait_until(lambda: "succeeded" in site.get("/").text)
        assert size_of(site.get(places[1]).content) == ("WEBP", *SIZES["card"])
        assert site.post("/imgserve/", content=b"{}").status_code == 401


def test_the_fastapi_shop(shop: Shop) -> None:
    with shop.running("uvicorn examples.fastapi_shop:app --port {port}") as service:
        answer = service.put("/photos/hills", content=PHOTO)
        assert answer.status_code == 202
        for name, size in SIZES.items():
            place = shop.top / answer.json()[name].lstrip("/")
            assert size_of(place.read_bytes()) == ("WEBP", *size), "placeholder or result"
        wait_until(lambda: service.get("/photos/hills").json() == {"status": "succeeded"})
        refused = service.put("/photos/words", content=b"no picture")
        assert (refused.status_code, refused.json()["detail"]["code"]) == (422, "source_unreadable")
        assert service.post("/imgserve/", content=b"{}").status_code == 401


def test_the_curl_script(shop: Shop) -> None:
    (shop.top / "originals/hills.jpg").write_bytes(PHOTO)
    (shop.top / "originals/words.jpg").write_bytes(b"no picture")

    def run(name: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "IMGSERVE_URL": shop.server.url, "IMGSERVE_KEY": KEY}
        words = [str(SCRIPT), f"file://{shop.top}/originals/{name}.jpg", f"file://{shop.top}/sizes"]
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    ended = run("hills")
    assert ended.returncode == 0, ended.stderr
    for output in json.loads(ended.stdout)["outputs"]:
        data = (shop.top / f"sizes/hills-{output['name']}.webp").read_bytes()
        assert sha256(data) == output["sha256"]
    refused = run("words")
    assert refused.returncode == 1
    assert '"code":"source_unreadable"' in refused.stderr
