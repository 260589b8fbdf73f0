"""The how-tos of GETs, command by command, but for this test's addresses and directories; nginx with their settings."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

from examples.receivers import HttpReceiver

from imgserve.client import ImgproxyUrls
from tests.service.conftest import opened, put_pictures
from tests.support.daemon import LOOPBACK, Daemon
from tests.support.fronts import Front
from tests.support.getting import Client
from tests.support.pages import commands_in, settings_in

ROOT = Path(__file__).resolve().parents[2]
HOWTO = ROOT / "docs/howto"
HTML = re.compile(r"^```html\n(.*?)^```", re.MULTILINE | re.DOTALL)
JSON = re.compile(r"^```json\n(.*?)^```", re.MULTILINE | re.DOTALL)
NGINX = re.compile(r"^```nginx\n(.*?)^```", re.MULTILINE | re.DOTALL)


def with_names(text: str, top: Path) -> str:
    for name, here in (
        ("/etc/imgserve/", f"{top}/"), ("/srv/imgserve/originals", f"{top}/originals"), ("sudo -u imgserve ", ""),
        ("sudo chown root:imgserve", 'chown "$(id -u):$(id -g)"'), ("sudo ", ""),
    ):  # fmt: skip
        text = text.replace(name, here)
    return text


def run(command: str, top: Path, *, statuses: tuple[int, ...] = (0,)) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-ec", with_names(command, top)],
        cwd=top, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode in statuses, ended.stdout + ended.stderr
    return ended.stdout


def test_the_commands_of_the_page(tmp_path: Path) -> None:
    page = (HOWTO / "get-on-the-fly.md").read_text()
    make_keys, check, restart, sign, srcset, purge = commands_in(page)
    mount, fallback = settings_in(with_names(page, tmp_path))
    put_pictures(tmp_path / "originals")
    shutil.copy(ROOT / "examples/pictures/hills.jpg", tmp_path / "originals")
    shutil.copy(tmp_path / "originals/Ex.png", tmp_path / "missing.png")
    run(make_keys, tmp_path)
    assert {stat.S_IMODE((tmp_path / f"imgproxy.{name}").stat().st_mode) for name in ("key", "salt")} == {0o640}
    data = f'data_dir = "{tmp_path}/data"\nread_root = ["{tmp_path}/originals"]\n'
    picture, _, switches = fallback.partition("[get.imgproxy]\n")
    config = tmp_path / "imgserve.toml"
    config.write_text(f"{data}{mount}{switches}{picture}")
    assert "[get." not in run(check, tmp_path, statuses=(0, 1))  # warnings are of this machine
    assert restart == "sudo systemctl restart imgserve\n"
    key, salt = ((tmp_path / f"imgproxy.{name}").read_text() for name in ("key", "salt"))
    with Daemon(tmp_path / "data", "--config", str(config)) as server:
        assert run(sign.replace("http://127.0.0.1:8602", server.url), tmp_path) == "200 image/jpeg\n"
        assert opened((tmp_path / "small.jpg").read_bytes()).size == (300, 200)
        urls = re.findall(r"https://images\.example\.com(/images/\S+) (\d+)w", run(srcset, tmp_path))
        with Client(server.url) as client:
            for path, width in urls:
                reply = client.get(path, Accept="image/avif")
                assert (reply["content-type"], reply["vary"]) == ("image/avif", "Accept")
                assert opened(reply.body).width == int(width)
        assert [width for _, width in urls] == ["300", "600", "1200"]
        assert re.search(r"\b[34]\b", run(purge, tmp_path))
        with Client(server.url) as client:
            reply = client.get(ImgproxyUrls("/images", key=key, salt=salt).url("none.jpg", width=90))
        assert (reply.status, reply["x-imgserve-state"], reply["cache-control"]) == (404, "fallback", "no-store")
        assert opened(reply.body).width == 90


def test_nginx_in_front(tmp_path: Path) -> None:
    page = (HOWTO / "behind-a-cdn.md").read_text()
    [trusted], [purge], [site] = settings_in(page), commands_in(page), NGINX.findall(page)
    pictures = tmp_path / "originals"
    put_pictures(pictures)
    config = tmp_path / "imgserve.toml"
    config.write_text(
        f'{trusted}[get.imgproxy]\npath = "/images"\nallow_unsigned = true\nnegotiate = ["avif", "webp"]\n'
        f'sources = ["file://{pictures}/"]\nbase_url = "file://{pictures}/"\n'
        f'[get.iiif]\npath = "/images/iiif"\nallow_unsigned = true\nbase_url = "file://{pictures}/"\n'
    )
    with Daemon(tmp_path / "data", "--read-root", str(pictures), "--config", str(config)) as server:
        port = server.url.rpartition(":")[2]
        site = site.replace("listen 80;", "listen 127.0.0.1:PORT;").replace("127.0.0.1:8602", f"127.0.0.1:{port}")
        site = site.replace("/var/cache/nginx/imgserve", f"{tmp_path}/nginx/cache")
        picture = "/images/_/rs:fit:60:60/plain/photo.jpg"

        def seen(client: Client, accept: str) -> tuple[str, str, str]:
            reply = client.get(picture, Accept=accept)
            return reply["content-type"], reply["x-cache"], reply["vary"]

        with (
            Front("nginx", int(port), tmp_path / "nginx", site) as front,
            Client(f"http://127.0.0.1:{front.port}") as client,
        ):
            assert seen(client, "image/avif,image/webp,*/*") == ("image/avif", "MISS", "Accept")
            assert seen(client, "image/avif, image/webp;q=0.9") == ("image/avif", "HIT", "Accept")
            assert seen(client, "image/webp") == ("image/webp", "MISS", "Accept")
            assert seen(client, "*/*") == ("image/jpeg", "MISS", "Accept")
            assert seen(client, "image/png") == ("image/jpeg", "HIT", "Accept")
            named = (("Host", "images.example.com"), ("X-Forwarded-Proto", "https"))
            described = client.ask("/images/iiif/3/photo.jpg/info.json", headers=named).body
            assert b'"http://images.example.com/images/iiif/3/photo.jpg"' in described
            for closed in (
                "/v1/jobs",
                "/images/../v1/jobs",
                "/images/%2e%2e/v1/jobs",
                "/v1/../images/x",
                "/metrics",
            ):
                assert client.get(closed).status in (401, 404), closed
        assert run(purge.replace("http://127.0.0.1:8602", server.url), tmp_path).startswith('{"purged":3,')


def test_deep_zoom(tmp_path: Path) -> None:
    """A viewer begins with info.json, and Mirador with a manifest. What they name is asked for."""
    page = (HOWTO / "deep-zoom.md").read_text()
    [mount], [describe] = settings_in(with_names(page, tmp_path)), commands_in(page)
    [viewer, _], [manifest] = HTML.findall(page), JSON.findall(page)
    (tmp_path / "originals").mkdir()
    shutil.copy(ROOT / "examples/pictures/hills.jpg", tmp_path / "originals")
    (tmp_path / "imgserve.toml").write_text(mount)
    roots = ("--read-root", str(tmp_path / "originals"))
    with Daemon(tmp_path / "data", *roots, "--config", str(tmp_path / "imgserve.toml")) as server:
        info = json.loads(run(describe.replace("http://127.0.0.1:8602", server.url), tmp_path))
        assert (info["id"], info["profile"]) == (f"{server.url}/iiif/3/hills.jpg", "level2")
        assert info["tiles"][0]["width"] == 512
        [source] = re.findall(r'tileSources: \["(\S+)"\]', viewer)
        canvas = json.loads(manifest)["items"][0]
        body = canvas["items"][0]["items"][0]["body"]
        assert (canvas["width"], canvas["height"], body["width"], body["height"]) == (info["width"], info["height"]) * 2
        assert source == body["service"][0]["id"] + "/info.json"
        with Client(server.url) as client:
            assert json.loads(client.get(source.removeprefix("https://images.example.com")).body) == info
            picture = client.get(body["id"].removeprefix("https://images.example.com"))
        assert (picture["content-type"], picture.size) == (body["format"], (1200, 900))
        assert picture["access-control-allow-origin"] == "*"


def test_the_credential_of_a_mount(tmp_path: Path) -> None:
    """As docs/howto/credentials.md has it: for the mount, and for no job."""
    [mount] = [text for text in settings_in((HOWTO / "credentials.md").read_text()) if "@get." in text]
    (tmp_path / "web").mkdir()
    for name in ("private", "logos"):
        put_pictures(tmp_path / "web" / name)
    for name, text in (("imgproxy.key", "0a" * 16), ("imgproxy.salt", "0b" * 16), ("private.token", "the-token")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    config = tmp_path / "imgserve.toml"
    with HttpReceiver(tmp_path / "web") as web:
        config.write_text(with_names(mount, tmp_path).replace("http://192.168.1.10", web.url))
        said = run(f"imgserve check --config {config} --data-dir {tmp_path}/data", tmp_path, statuses=(0, 1, 2))
        assert re.search(r"ok +get.imgproxy +/images, signed, 2 sources", said)
        assert "principal" not in said
        with Daemon(tmp_path / "data", *LOOPBACK, "--config", str(config)) as server, Client(server.url) as client:
            urls = ImgproxyUrls("", "0a" * 16, "0b" * 16)
            source = f"{web.url}/private/photo.jpg"
            path = f"/images{urls.url(source, width=20)}"
            assert client.get(path).size[0] == 20
            job = {"source": {"url": source, "credential": "private"}, "outputs": [{"destination": f"{web.url}/a.png"}]}
            answer = client.ask("/v1/jobs", "POST", [("Content-Type", "application/json")], json.dumps(job).encode())
            assert (answer.status, json.loads(answer.body)["code"]) == (422, "credential_not_allowed")
        assert [event.login for event in web.log.all() if event.name.endswith("photo.jpg")] == ["Bearer the-token"]
