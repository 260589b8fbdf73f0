"""What a mount opens, and what it does not: beside one at ``/`` every call keeps its right, however it is spelt.

Protected mode beside mounts is in ``tests/service/test_get_signed``.
"""

import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.support.daemon import LOOPBACK, Daemon
from tests.support.getting import KEY, SALT, Client, Gets, Reply, gets, imgproxy_signed

API_KEY = "the-key-of-the-api-1"
KEYED = (("Authorization", f"Bearer {API_KEY}"),)
MOUNTS = """
[get.imgproxy]
path = "/"
key_file = "DIR/../key"
salt_file = "DIR/../salt"
sources = ["WEB/"]
base_url = "WEB/"
[get.thumbor]
path = "/thumbor"
allow_unsigned = true
sources = ["WEB/"]
base_url = "WEB/"
[get.iiif]
path = "/iiif"
allow_unsigned = true
sources = ["WEB/"]
base_url = "WEB/"
"""
PICTURES = (imgproxy_signed("/rs:fit:40:40/plain/photo.jpg"), "/thumbor/unsafe/40x30/photo.jpg")
CALLS = ("/v1/jobs", "/metrics", "/v1/refusals", "/")
PREFIXES = (
    "/", "//", "/./", "/%2F", "/%2f", "/%2e/", "/x/../", "/x/%2e%2e/", "/;/", "/thumbor/../", "/thumbor/%2e%2e/",
    "/thumbor/..%2F", "/thumbor%2F..%2F", "/thumbor//", "/thumbor/", "/iiif/../", "/iiif/3/../../", "/thumbor/;/../",
    "/%252F", "/\\", "/unsafe/", "/unsafe/plain/", "/_/", "http://HOST/", "HTTP://HOST//", "http://HOST/thumbor/../",
)  # fmt: skip


def spellings(call: str) -> Iterator[str]:
    name = call.removeprefix("/")
    letters = "".join(f"%{ord(letter):02x}" for letter in name)
    for written in dict.fromkeys((
        name, name.replace("/", "%2F"), name.replace("/", "//"), name.replace("/", "/./"), name.replace("/", "\\"),
        name.upper(), letters, f"{name}/", f"{name}?x=/", f"{name};x", f"{name}%00", f"{name}%23",
        name.replace("/", "%252F"), name.replace("v", "%76"), f"{name}/..", f"{name}%2f..%2f{name}",
    )):  # fmt: skip
        for prefix in PREFIXES:
            yield prefix + written


class Asked(NamedTuple):
    method: str
    path: str
    reply: Reply


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gets]:
    top = tmp_path_factory.mktemp("keyed")
    for name, text in (("key", KEY), ("salt", SALT), ("api", f"one:{API_KEY}")):
        (top / name).write_text(text + "\n")
    with gets(top, MOUNTS, "--api-key-file", str(top / "api")) as server:
        yield server


def is_mounts(reply: Reply) -> bool:
    """Whether a dialect gave the answer, and no picture."""
    if reply.status == 204:
        return reply["allow"] == "GET, HEAD, OPTIONS"
    return reply.status in (303, 400, 403, 404) and "sandbox" in reply["content-security-policy"]


def test_no_spelling_of_a_path_reaches_a_call_without_its_right(keyed: Gets) -> None:
    """Its twins, with the key, are answered."""
    host = keyed.server.url.removeprefix("http://")
    job = json.dumps({"operationType": "resize", "srcURL": f"{keyed.web.url}/photo.jpg", "dstURL": "", "args": {}})
    asked, answered = [], set()
    with keyed.client() as client:
        for call in CALLS:
            for path in spellings(call):
                written = path.replace("HOST", host)
                asked.append(Asked("POST", path, client.ask(written, "POST", body=job.encode())))
                reading = ("GET", "HEAD", "OPTIONS") if path == call else ("GET",)
                asked += [Asked(method, path, client.ask(written, method)) for method in reading]
            if client.ask(call, headers=KEYED).status == 200:
                answered.add(call)
    reached = [one[:2] for one in asked if one.reply.status != 401 and not is_mounts(one.reply)]
    assert reached == []
    assert [one[:2] for one in asked if one.method == "POST" and one.reply.status != 401] == []
    assert answered == set(CALLS) - {"/v1/refusals"}
    with keyed.client() as client:
        assert json.loads(client.ask("/v1/jobs", headers=KEYED).body)["jobs"] == []


def test_health_and_its_kind_are_no_pictures(keyed: Gets) -> None:
    for path in ("/health", "//health", "/%68ealth", "/health/"):
        assert keyed.get(path)["content-type"] == "application/json"
    assert keyed.get("/v1/nothing").status == 401
    assert keyed.get("/health/nothing").status == 401


def test_a_mount_needs_no_key_and_all_else_does(keyed: Gets) -> None:
    with keyed.client() as client:
        assert [client.get(path).status for path in PICTURES] == [200, 200]
        assert [client.get(call).status for call in CALLS] == [401] * len(CALLS)
        assert client.ask("/", "POST", body=b"{}").status == 401
        assert client.ask(PICTURES[0], "POST", body=b"{}").status == 401
        assert client.ask(PICTURES[0], "POST", KEYED, b"{}").status == 404


def test_without_a_mount_there_is_none(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The path is none, and nothing is made for it."""
    top = tmp_path_factory.mktemp("off")
    with Daemon(top / "data", *LOOPBACK) as server, Client(server.url) as client:
        for path in PICTURES:
            reply = client.get(path)
            assert (reply.status, reply["content-type"]) == (404, "application/problem+json")
            assert client.get(path, X_Forwarded_For="203.0.113.9").status == 401
        assert not (server.data_dir / "cache").exists()
        assert "imgserve_gets_total{" not in client.get("/metrics").body.decode()
