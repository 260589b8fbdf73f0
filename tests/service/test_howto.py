"""Every command of docs/howto/, run by a shell as it stands there, but for this test's addresses and directories."""

import contextlib
import io
import json
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from examples.receivers import FtpReceiver, HttpReceiver

from imgserve.api.keyfile import read_keys
from tests.service.conftest import opened, put_pictures
from tests.support.buckets import ObjectStore
from tests.support.certificates import Authority
from tests.support.daemon import LOOPBACK, Daemon, wait_until
from tests.support.pages import commands_in, programs_in, settings_in
from tests.support.pictures import svg
from tests.unit.client.test_webhooks import SECRET, body_of, headers_of

HOWTO = Path(__file__).resolve().parents[2] / "docs/howto"
SHOWN = re.compile(r"^```json\n(.*?)^```", re.MULTILINE | re.DOTALL)
# In test_commands.py; in test_nodes.py, test_queue_command.py and tests/unit/test_cluster.py; in test_moving.py; in
# test_get_howto.py; without commands, its recipes in tests/unit/test_docs.py.
RUN_ELSEWHERE = {
    "operators.md", "scale-out.md", "move-from-imgproxy.md", "move-from-thumbor.md", "get-on-the-fly.md",
    "behind-a-cdn.md", "deep-zoom.md", "move-from-sharp.md",
}  # fmt: skip


class Here(NamedTuple):
    """What the pages' names stand for."""

    top: Path
    names: dict[str, str]
    store: ObjectStore

    def run(self, command: str) -> str:
        command = self.with_names(command)
        ended = subprocess.run(["bash", "-ec", command], capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def print_of(self, program: str) -> str:
        """Run in this process."""
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(self.with_names(program), "a program of the page", "exec"), {})
        return printed.getvalue()

    def with_names(self, text: str) -> str:
        for name, here in self.names.items():
            text = text.replace(name, here)
        assert "192.168." not in text
        return text

    def see(self, name: str, size: tuple[int, int]) -> None:
        """A result, not its placeholder, comes to be at this place beneath ``top``."""

        def is_there() -> bool:
            place = self.top / name
            if not place.exists():
                return False
            picture = opened(place.read_bytes()).convert("RGB")
            red, green = picture.tobytes()[::3], picture.tobytes()[1::3]
            return picture.size == size and red != green  # a placeholder is grey

        wait_until(is_there)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    top = tmp_path_factory.mktemp("howto")
    for name in ("http", "ftp", "originals", "results"):
        (top / name).mkdir()
    for name in ("http/pictures", "ftp/pictures", "originals"):
        put_pictures(top / name)
    (top / "ftp/thumbs").mkdir()
    roots = ("--read-root", str(top / "originals"), "--write-root", str(top / "results"))
    tls = Authority(top, "ca")
    both = str(tls.server_file("localhost", "127.0.0.1"))
    settings = top / "imgserve.toml"
    pages = [(HOWTO / name).read_text() for name in ("presets.md", "watermarks.md", "credentials.md", "buckets.md")]
    web = HttpReceiver(top / "http")
    store = ObjectStore()
    for name in ("storage.token", "store.key"):
        (top / name).write_text("of-the-storage\n")
    text = "".join(settings_in(page)[0] for page in pages)
    text = text.replace("/etc/imgserve/", f"{top}/").replace("http://192.168.1.10", web.url)
    text = text.replace("https://store.example.com", store.endpoint).replace("s3://shop-pictures", store.url)
    settings.write_text(text)
    (top / "pictures").mkdir()
    (top / "pictures/logo.svg").write_bytes(svg('<rect width="40" height="20" fill="red"/>'))
    origin = ("--cors-origin", "https://editor.example")
    server = Daemon(top / "data", *LOOPBACK, *roots, *origin, "--config", str(settings))
    secure = Daemon(top / "secure", "--tls-cert", both, "--tls-key", both)
    with web, FtpReceiver(top / "ftp") as ftp, store, server, secure:
        store.put("originals/photo.jpg", (top / "originals/photo.jpg").read_bytes())
        names = {
            "http://127.0.0.1:8602": server.url, "https://pictures.example:8602": secure.url,
            "http://192.168.1.10": web.url.rstrip("/"), "ftp://192.168.1.10": ftp.url.rstrip("/"),
            "s3://shop-pictures": store.url, "/srv/imgserve/": f"{top}/", "/etc/imgserve/tls/ca.pem": str(tls.ca_file),
            "/etc/imgserve/keys": f"{top}/keys", "/etc/imgserve/storage.token": f"{top}/storage.token",
            "sudo chown root:imgserve": 'chown "$(id -u):$(id -g)"', "sudo ": "",
        }  # fmt: skip
        yield Here(top, names, store)


def commands(page: str, count: int) -> list[str]:
    found = commands_in((HOWTO / page).read_text())
    assert len(found) == count, "a command was added: run it here"
    return found


def test_http(here: Here) -> None:
    fetch, put, presigned, make_key, protect = commands("http.md", 5)
    assert here.run(fetch) == f'{{"dstURL":"file://{here.top}/results/200-photo.jpg"}}'
    here.see("results/200-photo.jpg", (200, 150))
    here.run(put)
    here.see("http/stored/200-photo.jpg", (200, 120))
    assert "X-Amz-Signature=0123abcd" in here.run(presigned)
    here.see("http/stored/photo-400.jpg", (400, 300))
    here.run(make_key)
    here.run(protect)
    assert len(read_keys(str(here.top / "keys"))) == 1
    assert stat.S_IMODE((here.top / "keys").stat().st_mode) == 0o640


def test_forms(here: Here) -> None:
    twice, once = commands("forms.md", 2)
    here.run(twice)
    here.see("http/uploads/200-photo.jpg", (200, 120))
    here.run(once)
    here.see("http/uploads/once-photo.jpg", (200, 150))


def test_ftp(here: Here) -> None:
    [job] = commands("ftp.md", 1)
    here.run(job)
    here.see("ftp/thumbs/200-photo.jpg", (200, 120))


def test_files(here: Here) -> None:
    [job] = commands("files.md", 1)
    here.run(job)
    here.see("results/2026/200-photo.webp", (200, 150))


def test_presets(here: Here) -> None:
    [job] = commands("presets.md", 1)
    here.run(job)
    here.see("results/card-photo.webp", (600, 400))


def test_watermarks(here: Here) -> None:
    [job] = commands("watermarks.md", 1)
    here.run(job)
    here.see("results/marked-photo.webp", (600, 450))


def test_credentials(here: Here) -> None:
    make_secret, job = commands("credentials.md", 2)
    here.run(make_secret)
    assert stat.S_IMODE((here.top / "storage.token").stat().st_mode) == 0o640
    [output] = json.loads(here.run(job))["outputs"]
    assert output["url"] == "https://cdn.example.com/stored/photo-320.jpg"
    here.see("http/stored/photo-320.jpg", (320, 240))


def test_buckets(here: Here) -> None:
    [post] = commands("buckets.md", 1)
    job = json.loads(here.run(post))
    assert [output["url"] for output in job["outputs"]] == [
        "https://cdn.example.com/thumbs/photo-600.webp", "https://cdn.example.com/thumbs/photo-300.jpg",
    ]  # fmt: skip
    places = [output["destination"].removeprefix(f"{here.store.url}/") for output in job["outputs"]]
    wait_until(lambda: {(found := here.store.get(place)) and found.state for place in places} == {"final"})
    last = here.store.get(places[1])
    assert last is not None
    assert last.headers["cache-control"] == "public, max-age=31536000"


def test_tls_and_cors(here: Here) -> None:
    health, preflight = commands("tls.md", 2)
    assert '"status":"ok"' in here.run(health)
    assert re.search(r"(?i)^access-control-allow-origin: https://editor.example", here.run(preflight), re.MULTILINE)


def test_the_client(here: Here) -> None:
    sizes, preview, once, steering, watched, at_once, receiver, with_asyncio, urls, flask = programs_in(
        (HOWTO.parent / "client.md").read_text()
    )
    assert here.print_of(sizes).splitlines() == [
        "succeeded",
        f"card file://{here.top}/results/photo-card.webp 300 200",
        f"large file://{here.top}/results/photo-600.jpg 600 450",
    ]
    assert here.print_of(preview) == f"file://{here.top}/results/photo-600.webp\n"
    assert len(set(here.print_of(once).split())) == 1
    assert here.print_of(steering).startswith("404 no_such_job ")
    assert here.print_of(watched).splitlines()[-1] == "job.succeeded"
    media_type, facts = here.print_of(at_once).splitlines()
    assert (media_type, facts.rpartition(" ")[0]) == ("image/webp", "jpeg 640 480")
    assert here.print_of(with_asyncio) == "succeeded\n"
    one, several, thumbor = here.print_of(urls).splitlines()
    assert one.startswith("https://images.example.com/")
    assert re.findall(r"height:(\d+)/\w+ (\d+)w", several) == [("213", "320"), ("427", "640"), ("853", "1280")]
    assert thumbor.endswith("/300x200/smart/filters:quality(70)/https://shop.example.com/photo.jpg")
    render = "\nprint(app.jinja_env.from_string('{{ photo | imgserve_url(width=3) }}').render(photo='a.jpg'))"
    assert here.print_of(flask + render).endswith("/3x0/a.jpg\n")
    body = body_of(type="job.succeeded")
    call = f"\nprint(receive({body!r}, {headers_of(body)!r}, {SECRET!r}), receive(b'', {{}}, {SECRET!r}))"
    assert here.print_of(receiver + call) == "4711 [None]\n204 401\n"
    here.see("results/small.jpg", (100, 75))


def test_no_page_is_left_out() -> None:
    run = {name for name in re.findall(r'commands\("([\w.]+)"', Path(__file__).read_text())}
    assert {page.name for page in HOWTO.iterdir()} == run | RUN_ELSEWHERE


def test_jobs(here: Here) -> None:
    post, dry_run, upload, wait, steer, webhooks = commands_in((HOWTO.parent / "reference/jobs.md").read_text())
    job = json.loads(here.run(post))
    here.see("results/photo-card.webp", (300, 200))
    here.see("results/photo-600.jpg", (600, 450))
    here.see("http/thumbs/photo.png", (64, 64))
    waited = json.loads(here.run(f"JOB={job['id']}; {wait}"))
    assert (waited["status"], waited["metadata"]) == ("succeeded", {"product": "4711"})
    assert waited.keys() == json.loads(SHOWN.findall((HOWTO.parent / "reference/jobs.md").read_text())[0]).keys()
    assert json.loads(here.run(dry_run))["id"] is None
    assert json.loads(here.run(upload))["source"]["url"] is None
    here.see("results/photo-320.jpg", (320, 240))
    answers = here.run(f"JOB={job['id']}; {steer}")
    assert answers.startswith('{"jobs":[],"next":null}')
    assert here.run(f"JOB={job['id']}; {webhooks}") == '{"webhooks":[]}{"webhooks":[]}'
    assert (answers.count('"code":"not_cancellable"'), answers.count('"code":"not_retryable"')) == (1, 1)
