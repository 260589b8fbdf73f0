"""What an operator sees of GETs: a line of the access log for each, and the metrics of each dialect."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from examples.receivers import Behaviour

from tests.support.daemon import wait_until
from tests.support.getting import KEY, PHOTO, SALT, Gets, Reply, begun, gets, imgproxy_signed
from tests.support.pictures import detailed, encoded

# Eight times the largest picture that is kept in memory.
MEMORY_BYTES = 80_000
TABLES = """
[get.imgproxy]
path = "/"
key_file = "DIR/../key"
salt_file = "DIR/../salt"
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
Line = dict[str, str | int | float]
STAGES = {"cache_ms", "fetch_ms", "probe_ms", "wait_ms", "render_ms", "send_ms"}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gets]:
    top = tmp_path_factory.mktemp("seen")
    (top / "key").write_text(KEY)
    (top / "salt").write_text(SALT)
    switches = {"cache_memory_bytes": MEMORY_BYTES, "cache_negative_s": 0}
    with gets(top, TABLES, "--log-format", "json", switches=switches) as server:
        yield server


def url(name: str, width: int = 40) -> str:
    return imgproxy_signed(f"/rs:fit:{width}:{width}/plain/{name}")


def lines(server: Gets) -> list[Line]:
    every = (json.loads(text) for text in server.server.log.splitlines() if text.startswith("{"))
    return [line for line in every if line["action"] == "get"]


def line_of(server: Gets, reply: Reply | str) -> Line:
    """By its answer, or by the id of the request."""
    request = reply if isinstance(reply, str) else reply["x-request-id"]
    wait_until(lambda: any(line["request"] == request for line in lines(server)))
    [line] = (line for line in lines(server) if line["request"] == request)
    return line


def counted(server: Gets, name: str, dialect: str) -> float:
    """``name`` with labels, without quotes; D stands for the dialect."""
    return server.metric(re.sub(r"=(\w+)", r'="\1"', name.replace("=D", f"={dialect}")))


def stages_of(line: Line) -> set[str]:
    return STAGES & line.keys()


def test_the_line_of_a_picture_that_is_made_has_its_stages(seen: Gets) -> None:
    seen.put("made.jpg")
    seen.web.behave("/made.jpg", Behaviour(delay_s=0.2))
    line = line_of(seen, seen.get(url("made.jpg")))
    assert (line["dialect"], line["host"], line["status"], line["state"]) == ("imgproxy", "127.0.0.1", 200, "made")
    assert stages_of(line) == STAGES - {"probe_ms"}  # that is a part of the render
    milliseconds = {stage: float(line[stage]) for stage in stages_of(line)}
    assert milliseconds["fetch_ms"] >= 200 > milliseconds["render_ms"] > milliseconds["wait_ms"]
    rounding = 0.1 * len(STAGES)
    assert sum(milliseconds.values()) - milliseconds["wait_ms"] <= float(line["ms"]) + rounding
    other = line_of(seen, seen.get(url("made.jpg", 41)))
    assert stages_of(other) == STAGES - {"fetch_ms", "probe_ms"}  # they are known
    seen.put("apart.jpg")
    assert stages_of(line_of(seen, seen.get("/thumbor/unsafe/40x0/apart.jpg"))) == STAGES


def test_the_line_of_a_hit_has_what_it_took(seen: Gets) -> None:
    """In memory, sent before the request is one of the application's, and in a file."""
    seen.put("hit.jpg")
    made = line_of(seen, seen.get(url("hit.jpg")))
    hits = [line_of(seen, seen.get(url("hit.jpg"))) for _ in range(3)]
    assert [stages_of(line) for line in hits] == [{"send_ms"}, set(), set()]
    for line in hits:
        assert {name: line[name] for name in ("dialect", "host", "bytes")} == {
            name: made[name] for name in ("dialect", "host", "bytes")
        }
    seen.put("large.jpg", encoded(detailed(300, 300), "jpeg"))
    large = line_of(seen, seen.get(url("large.jpg", 300)))
    assert int(large["bytes"]) > MEMORY_BYTES / 8
    wait_until(lambda: stages_of(line_of(seen, seen.get(url("large.jpg", 300)))) == {"cache_ms", "send_ms"})


def test_a_refused_request_has_one_line_with_its_error(seen: Gets) -> None:
    """And the host of its source, if its URL has one."""
    wrong, missing = line_of(seen, seen.get("/nothing")), line_of(seen, seen.get(url("nowhere.jpg")))
    unreadable = line_of(seen, seen.get(url("words.jpg")))
    for line, status, code, stages in (
        (wrong, 404, "url_refused", set()), (missing, 404, "source_not_found", {"cache_ms", "fetch_ms"}),
        (unreadable, 422, "source_unreadable", STAGES - {"probe_ms", "send_ms"}),
    ):  # fmt: skip
        assert (line["state"], line["status"], line["code"], stages_of(line)) == ("refused", status, code, stages)
        assert line.get("host") == (None if line is wrong else "127.0.0.1")
        [text] = (text for text in seen.server.log.splitlines() if str(line["request"]) in text)
        assert json.loads(text) == line


def test_requests_that_waited_for_the_work_of_another_one_say_so(seen: Gets) -> None:
    """Its stages are those of the request that began it."""
    seen.put("shared.jpg")
    seen.web.behave("/shared.jpg", Behaviour(delay_s=0.5))
    names = ("get_coalesced_total{dialect=D,work=fetch", "get_coalesced_total{dialect=D,work=render")
    before = [counted(seen, name, "imgproxy") for name in names]
    of_render = [url("shared.jpg")] * 3
    of_fetch = [url("shared.jpg", width) for width in (41, 42)]
    with ThreadPoolExecutor(5) as threads:
        replies = [*threads.map(seen.get, of_render + of_fetch)]
    shown = [line_of(seen, reply) for reply in replies]
    words = [str(line.get("coalesced", "")) for line in shown]
    # One of the five began to fetch, and one of each size to render.
    assert sum("fetch_ms" in line for line in shown) == 1
    assert [sum("render_ms" in line for line in part) for part in (shown[:3], shown[3:])] == [1, 2]
    assert (words.count("render"), words.count("fetch"), words.count("")) == (2, 2, 1)
    assert [counted(seen, name, "imgproxy") for name in names] == [count + 2 for count in before]


def test_what_is_refreshed_behind_an_answer_is_none_of_its_stages(seen: Gets) -> None:
    """The client reads when the source has been asked again. Its picture is larger than what a socket takes."""
    seen.put("stale.jpg", PHOTO + bytes(12_000_000))
    seen.web.behave("/stale.jpg", Behaviour(headers={"Cache-Control": "max-age=0"}))
    path, name = imgproxy_signed("/skp:jpg/plain/stale.jpg"), "get_stage_seconds_count{dialect=D,stage=fetch"
    seen.get(path)
    before = counted(seen, name, "imgproxy")
    with begun(seen, path, X_Request_Id="slow", Connection="close") as client:
        wait_until(lambda: counted(seen, name, "imgproxy") == before + 1)
        while client.recv(1 << 20):
            pass
    stale = line_of(seen, "slow")
    assert (stale["state"], stages_of(stale)) == ("stale", {"cache_ms", "send_ms"})


def test_metrics_are_of_each_dialect(seen: Gets) -> None:
    seen.put("counted.jpg")
    paths = {
        "imgproxy": url("counted.jpg"), "thumbor": "/thumbor/unsafe/40x0/counted.jpg",
        "iiif": "/iiif/3/counted.jpg/full/40,/0/default.jpg",
    }  # fmt: skip
    for dialect, path in paths.items():
        names = (
            "get_bytes_total{dialect=D", "get_seconds_count{dialect=D,state=hit", "gets_total{dialect=D,state=hit",
            "gets_total{dialect=D,state=made,status=200", "get_stage_seconds_count{dialect=D,stage=render",
            "get_stage_seconds_count{dialect=D,stage=fetch", "get_stage_seconds_count{dialect=D,stage=send",
        )  # fmt: skip
        before = [counted(seen, name, dialect) for name in names]
        replies = [seen.get(path) for _ in range(4)]
        added = [counted(seen, name, dialect) - number for name, number in zip(names, before, strict=True)]
        # The first one is made, the second one is a hit of the application, the others are sent before that. Only the
        # first dialect fetches the source.
        fetches = dialect == "imgproxy"
        assert added == [sum(len(reply.body) for reply in replies), 3, 3, 1, 1, fetches, 2]


def test_metrics_of_the_caches(seen: Gets) -> None:
    """What does not fit into the memory is found on the disk."""
    seen.put("cached.jpg", encoded(detailed(300, 300), "jpeg"))
    path = url("cached.jpg", 300)
    names = [f'cache_lookups_total{{cache="pictures",result="{result}"' for result in ("miss", "disk", "memory")]
    before = [seen.metric(name) for name in names]
    held_bytes = seen.metric('cache_bytes{cache="pictures",place="disk"')
    reply = seen.get(path)
    wait_until(lambda: "cache_ms" in line_of(seen, seen.get(path)) and seen.metric(names[1]) > before[1])
    missed, found, _ = (seen.metric(name) - number for name, number in zip(names, before, strict=True))
    assert (missed >= 1, found >= 1) == (True, True)
    wait_until(lambda: seen.metric('cache_bytes{cache="pictures",place="disk"') >= held_bytes + len(reply.body))
    assert seen.metric('cache_limit_bytes{cache="pictures",place="memory"') == MEMORY_BYTES
    assert 0 < seen.metric('cache_bytes{cache="pictures",place="memory"') <= MEMORY_BYTES
