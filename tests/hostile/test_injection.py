"""Line ends, NULs, quotes, marks that turn text around and 4 KB in every field: refused, or encoded so that the
receiver sees one request, one set of headers and one file."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.daemon import LOOPBACK, Daemon
from tests.support.native import Caller
from tests.support.pictures import encoded, scene
from tests.support.transfers import Listener

EVIL = {
    "line ends": "a\r\nX-Injected: 1\r\n\r\nGET /injected HTTP/1.1\r\n\r\n",
    "encoded line ends": "a%0d%0aX-Injected:%201%0d%0a%0d%0aGET%20/injected%20HTTP/1.1%0d%0a%0d%0a",
    "new line": "a\nX-Injected: 1",
    "NUL": "a\0b",
    "encoded NUL": "a%00b",
    "quotes": 'a"; filename="injected.png',
    "encoded quotes": "a%22;%20filename=%22injected.png",
    "turned": "\u202egnp.exe\u2066",
    "boundary": "a\r\n--x\r\nContent-Disposition: form-data; name=injected\r\n\r\n1",
    "long": "a" * 4096,
    "backslash": "a\\",
    "line separators": "a\u2028X-Injected: 1\u0085b",
}
FIELDS = (
    "operationType", "srcURL", "srcURL login", "dstURL put", "dstURL login", "dstURL query", "form name", "form page",
    "field_name", "method", "gravity", "background", "format", "placeholder text", "placeholder color", "on_failure",
    "args key", "key",
)  # fmt: skip
PICTURE = encoded(scene(40, 30), "png")
CODE = (101, 102, 103, 104, 105, 107, 108, 110, 112, 113, 114, 201, 205)


class Raw:
    """Takes requests as bytes, one at a time and each on a connection of its own; whatever follows one is kept too."""

    def __init__(self) -> None:
        self.seen: list[tuple[bytes, bytes]] = []

    def serve(self, peer: socket.socket) -> None:
        peer.settimeout(10)
        with peer, suppress(OSError), peer.makefile("rb") as lines:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = lines.readline()
                if not line:
                    return
                head += line
            length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
            body = lines.read(int(length[1])) if length else b""
            self.seen.append((head, body))
            answer = PICTURE if head.startswith(b"GET") else b""
            peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
            peer.shutdown(socket.SHUT_WR)
            rest = lines.read()
            if rest:
                self.seen.append((b"UNASKED " + rest, b""))


class World(NamedTuple):
    server: Daemon
    raw: Raw
    url: str


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    top = tmp_path_factory.mktemp("injection")
    raw = Raw()

    def serve(peer: socket.socket) -> None:
        threading.Thread(target=raw.serve, args=(peer.dup(),), daemon=True).start()

    with Listener(serve) as listener, Daemon(top / "data", *LOOPBACK) as server:
        yield World(server, raw, f"http://127.0.0.1:{listener.port}")


def job(url: str, field: str, evil: str) -> dict[str, object]:
    login = url.replace("//", f"//{evil}:pw@")
    args: dict[str, object] = {"width": 20, "height": 15, "method": "PUT"}
    made: dict[str, object] = {
        "operationType": "resize",
        "srcURL": f"{url}/a.png",
        "dstURL": f"{url}/b.png",
        "args": args,
    }
    form = {"field_name": "f", "method": None}
    top = {
        "operationType": evil, "srcURL": f"{url}/{evil}.png", "dstURL put": f"{url}/{evil}.png", "on_failure": evil,
        "dstURL query": f"{url}/b.png?{evil}", "dstURL login": f"{login}/b.png", "srcURL login": f"{login}/a.png",
        "form name": f"{url}/up:{evil}.png", "form page": f"{url}/{evil}:b.png",
    }  # fmt: skip
    if field in top:
        made[field.partition(" ")[0] if field != "form name" and field != "form page" else "dstURL"] = top[field]
    elif field.startswith("placeholder"):
        made["placeholder"] = {"style": "text", field.partition(" ")[2]: evil}
    elif field == "key":
        made[evil] = 1
    elif field == "field_name":
        made["dstURL"], form = f"{url}/up:b.png", {"field_name": evil, "method": None}
    else:
        args["key" if field == "args key" else field] = evil
        if field == "args key":
            args[evil] = args.pop("key")
    if field.startswith(("form", "field")):
        args |= form
        del args["method"]
    return made


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("field", FIELDS)
def test_refused_or_encoded(world: World, field: str, evil: str) -> None:
    before = len(world.raw.seen)
    reply = world.server.post(job(world.url, field, EVIL[evil]))
    assert reply.body.get("code", 0) in (0, *CODE), reply
    are_plain(world.raw.seen[before:])


def are_plain(requests: list[tuple[bytes, bytes]]) -> None:
    for head, body in requests:
        assert re.match(rb"(GET|PUT|POST|HEAD) /[!-~]* HTTP/1\.1\r\n", head), head
        assert not re.search(rb"(?i)\n(x-injected|get /)", head), head
        assert head.count(b"\r\n\r\n") == 1
        assert not re.search(rb"[^\r]\n|\r[^\n]|[\x00-\x09\x0b\x0c\x0e-\x1f\x7f]", head)
        if head.startswith(b"POST"):
            parts = re.findall(rb"(?m)^Content-Disposition: ([^\r\n]*)\r$", body)
            assert len(parts) == 1, parts
            assert re.fullmatch(rb'form-data; name="[^"]*"; filename="[^"]*"', parts[0]), parts


NATIVE_FIELDS = (
    "source", "source login", "put", "query", "login", "name", "tag", "form name", "form page", "field_name", "method",
    "form_success", "content_type", "operation", "gravity", "format", "preset", "style", "color", "text", "if_exists",
    "on_failure", "priority", "not_before", "metadata", "metadata key", "key",
)  # fmt: skip


def native_job(url: str, field: str, evil: str) -> dict[str, Any]:
    login = url.replace("//", f"//{evil}:pw@")
    resize: dict[str, object] = {"operation": "resize", "width": 20, "height": 15}
    output: dict[str, Any] = {"operations": [resize], "destination": {"url": f"{url}/b.png"}, "placeholder": {}}
    made: dict[str, Any] = {"source": f"{url}/a.png", "outputs": [output]}
    sources = {"source": f"{url}/{evil}.png", "source login": f"{login}/a.png"}
    urls = {
        "put": f"{url}/{evil}.png", "query": f"{url}/b.png?{evil}", "login": f"{login}/b.png",
        "tag": f"{url}/{{$name}}-{{$basename}}-{evil}.{{$ext}}", "form name": f"{url}/up:{evil}.png",
        "form page": f"{url}/{evil}:b.png",
    }  # fmt: skip
    if field in sources:
        made["source"] = sources[field]
    elif field in urls:
        output["destination"] = {"url": urls[field], **({"method": "POST"} if "form" in field else {})}
    elif field == "field_name":
        output["destination"] = {"url": f"{url}/up:b.png", "field_name": evil}
    elif field in ("method", "form_success", "content_type"):
        output["destination"][field] = evil
    elif field in ("operation", "gravity"):
        resize[field] = evil
    elif field in ("style", "color", "text", "if_exists"):
        output["placeholder"][field] = evil
    elif field in ("priority", "not_before"):
        made[field] = evil
    elif field.startswith("metadata"):
        made["metadata"] = {evil: "x"} if "key" in field else {"x": evil}
    elif field == "key":
        made[evil] = 1
    else:
        output |= {"encode": {"format": evil}} if field == "format" else {field: evil}
    return made


@pytest.mark.parametrize("field", NATIVE_FIELDS)
def test_native_jobs_are_refused_or_encoded(world: World, field: str) -> None:
    before, caller = len(world.raw.seen), Caller(world.server)
    for evil in EVIL.values():
        answer = caller.submit(native_job(world.url, field, evil))
        assert answer.status in (202, 422), answer
        if answer.status == 422 and answer.body["code"] == "request_invalid":
            assert answer.faults, "each faulty field is named"
    are_plain(world.raw.seen[before:])


def test_the_plain_jobs_arrive(world: World) -> None:
    """The twin: what the fields do when nothing is wrong with them."""
    for field in ("dstURL put", "dstURL query", "form name", "form page", "placeholder text", "srcURL login"):
        before = len(world.raw.seen)
        assert "dstURL" in world.server.post(job(world.url, field, "good")).body, field
        assert [head for head, _ in world.raw.seen[before:] if head.startswith((b"PUT", b"POST"))], field
    for field in ("put", "query", "tag", "form name", "form page", "text", "source login", "metadata", "name"):
        before = len(world.raw.seen)
        assert Caller(world.server).submit(native_job(world.url, field, "good")).status == 202, field
        assert [head for head, _ in world.raw.seen[before:] if head.startswith((b"PUT", b"POST"))], field


def test_no_reply_header_is_injected(world: World) -> None:
    reply = world.server.post(job(world.url, "dstURL query", EVIL["encoded line ends"]))
    assert "X-Injected" not in reply.headers


def test_the_log_holds_one_line_an_event(world: World, tmp_path: Path) -> None:
    lines = world.server.log.splitlines()
    assert lines
    assert [line for line in lines if not re.match(r"\d{4}-\d\d-\d\dT|\s*INFO", line) and "listening" not in line] == []
    assert "\u202e" not in world.server.log
