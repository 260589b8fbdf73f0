"""Two programs with keys of their own: one floods, the other is served. The operator's socket knows no such bounds."""

import json
import os
import re
import signal
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chaos.sources import Sources
from tests.support.daemon import LOOPBACK, Daemon, Reply, wait_until
from tests.support.operating import submitted
from tests.support.pictures import encoded, scene

FLOOD, CALM = "the-key-of-the-flood-1", "the-key-of-the-calm-1"
SPARE = "the-other-key-of-the-flood-2"
# A comment longer than what a held source sends before it is released: its size cannot be read until then.
_PLAIN = encoded(scene(200, 150), "jpeg")
SLOW = _PLAIN[:2] + b"\xff\xfe\xff\xff" + b" " * 0xFFFD + _PLAIN[2:]


class Place:
    def __init__(self, top: Path, sources: Sources) -> None:
        self.top = top
        self.sources = sources
        self.keys = top / "keys"
        self.keys.write_text(f"flood:{FLOOD}\ncalm:{CALM}\n")
        self._made = 0

    def server(self, *, has_keys: bool = True, **settings: object) -> Daemon:
        flags = ("--api-key-file", str(self.keys)) if has_keys else ()
        return Daemon(self.top / "data", *LOOPBACK, "--write-root", str(self.top), *flags, switches=settings)

    def job(self, source: str = "held/good-1.png") -> dict[str, object]:
        self._made += 1
        return {
            "operationType": "resize", "srcURL": f"{self.sources.url}/{source}",
            "dstURL": f"file://{self.top}/{self._made}.png", "args": {"width": 20, "height": 10},
        }  # fmt: skip

    def post(self, server: Daemon, key: str, source: str = "held/good-1.png") -> Reply:
        return server.post(self.job(source), headers={"Authorization": f"Bearer {key}"})


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with Sources({"slow.jpg": SLOW}) as sources:
        yield Place(tmp_path, sources)


def metric(server: Daemon, name: str, key: str = CALM) -> float:
    request = urllib.request.Request(server.url + "/metrics", headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        found = re.search(rf"^{re.escape(name)} (\S+)$", answer.read().decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def is_turned_away(reply: Reply, words: str) -> bool:
    assert reply.body.get("code") in (None, 301), reply
    if reply.body.get("code") is None:
        return False
    assert reply.status == 503
    assert words in str(reply.body["detail"])
    return True


def test_who_posts_too_often_is_told_when_to_come_back(place: Place) -> None:
    with place.server(rate_limit_per_minute=20, rate_limit_burst=3) as server:
        replies = [place.post(server, FLOOD) for _ in range(4)]
        assert [is_turned_away(reply, "20 jobs a minute") for reply in replies] == [False, False, False, True]
        assert replies[3].headers["retry-after"] in ("2", "3"), "a token comes every three seconds"
        assert not is_turned_away(place.post(server, CALM), "")
        submitted(server.data_dir, json.dumps(place.job()).encode())
        assert metric(server, 'imgserve_refusals_total{reason="rate_limited"}') == 1
        wait_until(lambda: "code=rate_limited classic_code=301 principal=flood" in server.log)
        wait_until(lambda: not is_turned_away(place.post(server, FLOOD), "a minute"), every_s=0.5)


def test_an_old_key_and_its_successor_are_one_caller(place: Place) -> None:
    with place.server(rate_limit_per_minute=1, rate_limit_burst=2) as server:
        assert not is_turned_away(place.post(server, FLOOD), "")
        place.keys.write_text(f"flood:{FLOOD}\nflood:{SPARE}\ncalm:{CALM}\n")
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: "reloaded keys=3" in server.log)
        assert not is_turned_away(place.post(server, SPARE), "")
        assert is_turned_away(place.post(server, FLOOD), "1 jobs a minute")
        assert is_turned_away(place.post(server, f"flood:{SPARE}"), "1 jobs a minute")


def test_one_fills_its_part_of_the_queue_and_the_other_has_room(place: Place) -> None:
    with place.server(max_waiting=10, queue_quota=0.4) as server:
        replies = [place.post(server, FLOOD) for _ in range(6)]
        assert [is_turned_away(reply, "its quota") for reply in replies] == [False] * 4 + [True] * 2
        assert 1 <= int(replies[-1].headers["retry-after"]) <= 600
        assert not is_turned_away(place.post(server, CALM), "")
        submitted(server.data_dir, json.dumps(place.job()).encode())
        server.kill()
        server.start()
        assert is_turned_away(place.post(server, FLOOD), "its quota")
        assert not is_turned_away(place.post(server, CALM), "")
        assert metric(server, 'imgserve_refusals_total{reason="queue_quota_full"}') == 1
        place.sources.release("good-1.png")
        wait_until(lambda: not is_turned_away(place.post(server, FLOOD), "its quota"), every_s=0.1)


def test_a_flood_that_waits_at_the_door_leaves_turns_for_others(place: Place) -> None:
    with place.server(max_intake=8, queue_quota=0.25, intake_host_quota=1) as server, ThreadPoolExecutor(12) as threads:
        flood = [threads.submit(place.post, server, FLOOD, "held/slow.jpg") for _ in range(12)]
        wait_until(lambda: metric(server, 'imgserve_transfers{state="running"}') >= 2)
        assert not is_turned_away(place.post(server, CALM, "plain/good-1.png"), "")
        assert not any(reply.done() for reply in flood)
        place.sources.release("slow.jpg")
        assert not any(is_turned_away(reply.result(), "") for reply in flood)


@pytest.mark.parametrize("has_keys", [True, False])
def test_who_is_alone_has_the_whole_queue(place: Place, has_keys: bool) -> None:
    place.keys.write_text(f"flood:{FLOOD}\nflood:{SPARE}\n")
    with place.server(has_keys=has_keys, max_waiting=4, queue_quota=0.25) as server:
        replies = [place.post(server, FLOOD) for _ in range(5)]
        assert [is_turned_away(reply, "which is the limit") for reply in replies] == [False] * 4 + [True]
