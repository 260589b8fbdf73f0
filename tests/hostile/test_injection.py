"""Line ends, NULs, quotes, marks that turn text around and 4 KB in every field of a classic job: refused, or encoded so
that the receiver sees one request, one set of headers and one file. ``test_native_fields`` has those of the native API.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.hostile.texts import EVIL, Raw, are_plain
from tests.support.daemon import LOOPBACK, Daemon

FIELDS = (
    "operationType", "srcURL", "srcURL login", "dstURL put", "dstURL login", "dstURL query", "form name", "form page",
    "field_name", "method", "gravity", "background", "format", "placeholder text", "placeholder color", "on_failure",
    "args key", "key",
)  # fmt: skip
CODE = (101, 102, 103, 104, 105, 107, 108, 110, 112, 113, 114, 201, 205)


class World(NamedTuple):
    server: Daemon
    raw: Raw
    url: str


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    top = tmp_path_factory.mktemp("injection")
    with Raw() as raw, Daemon(top / "data", *LOOPBACK) as server:
        yield World(server, raw, raw.url)


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


def test_the_plain_jobs_arrive(world: World) -> None:
    """The twin: what the fields do when nothing is wrong with them."""
    for field in ("dstURL put", "dstURL query", "form name", "form page", "placeholder text", "srcURL login"):
        before = len(world.raw.seen)
        assert "dstURL" in world.server.post(job(world.url, field, "good")).body, field
        assert [head for head, _ in world.raw.seen[before:] if head.startswith((b"PUT", b"POST"))], field


def test_no_reply_header_is_injected(world: World) -> None:
    reply = world.server.post(job(world.url, "dstURL query", EVIL["encoded line ends"]))
    assert "X-Injected" not in reply.headers


def test_the_log_holds_one_line_an_event(world: World, tmp_path: Path) -> None:
    lines = world.server.log.splitlines()
    assert lines
    assert [line for line in lines if not re.match(r"\d{4}-\d\d-\d\dT|\s*INFO", line) and "listening" not in line] == []
    assert "\u202e" not in world.server.log
