"""Whatever happens to a cache of GETs, each answer is a whole picture of its source as that was during the request.

Readers ask for pictures of all dialects, without a pause, and compare each byte with what a server without any cache
makes of the same source. Meanwhile sources change, are purged in every way and are written by jobs; the caches are so
small that entries have to go; files of theirs are damaged; and the server is killed, at failpoints too, and started
again.
"""

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chaos.cached_server import BUSY_TARGETS, CachedServer, Plan
from tests.chaos.cached_sources import Asking, Source
from tests.chaos.cached_truth import BUSY, TARGETS, WEBP, Shown, Truth, path_of, shown
from tests.support.daemon import wait_until
from tests.support.getting import Client, Reply
from tests.support.sizes import IS_FULL, Figures, sized

READERS = 4
# A reading takes so long, and has at least so many answers.
READS_S = sized(0.0, 1500.0)
LEAST_ANSWERS = sized(250, 5_000)
ANSWERS_OF_AN_EDIT = sized(6, 20)
ANSWERS_OF_A_LIFE = sized(45, 250)
# Of each reader, so that all of them leave a processor to others.
PAUSE_S = sized(0.0, 0.03)
MOST_FAULTS = 10
# The server closes a connection that is not used for ten seconds, perhaps just when it is.
IDLE_S = 5.0
# A large picture gets a place on the disk if it is no more than a quarter of the cap.
SIZES = {"sources": sized(6, 12), "pictures": sized(3, 8), "cap_bytes": sized(150_000, 4_750_000)}
PLANS = {
    "memory": Plan(memory_bytes=300_000, is_asked=False, **SIZES),
    "disk": Plan(memory_bytes=0, is_asked=False, **SIZES),
    "asked": Plan(memory_bytes=100_000, is_asked=True, **SIZES),
}


class Reading:
    """``faults`` are answers that were not right; ``statuses`` counts all, ``broken`` those that a kill cut off."""

    def __init__(self, cached: CachedServer, truth: Truth, ends_at: float) -> None:
        self.cached, self.truth, self.ends_at = cached, truth, ends_at
        self.faults: list[str] = []
        self.is_stopped = False
        self.statuses: Counter[int] = Counter()
        self.broken = 0
        # The body of each ETag that was seen.
        self._tags: dict[tuple[str, str, str], dict[str, Shown]] = {}
        self._lock = threading.Lock()

    @property
    def is_over(self) -> bool:
        is_done = time.monotonic() > self.ends_at and self.answers >= LEAST_ANSWERS
        return self.is_stopped or is_done or len(self.faults) >= MOST_FAULTS

    @property
    def answers(self) -> int:
        return self.statuses.total()

    def wait_for(self, answers: int) -> None:
        wanted = self.answers + answers
        wait_until(lambda: self.answers >= wanted or self.is_over)

    def read(self, seed: int) -> None:
        chance = random.Random(seed)
        while not self.is_over:
            self.cached.is_up.wait()
            with Client(self.cached.server.url) as client:
                turn, used_s = self.cached.turns, time.monotonic()
                while turn == self.cached.turns and time.monotonic() < used_s + IDLE_S and not self.is_over:
                    used_s = time.monotonic()
                    source, target = self._choice(chance)
                    if not self._ask(client, source, target, chance):
                        time.sleep(0.05)  # it may be gone for a while
                        break
                    time.sleep(PAUSE_S * 2 * chance.random())

    def _choice(self, chance: random.Random) -> tuple[Source, str]:
        """Many requests are for what is being changed and purged, so that they meet each other and the purge."""
        if chance.random() < 0.4:
            return self.cached.busy, chance.choice(TARGETS[:BUSY_TARGETS])
        sources = self.cached.sources
        return sources[int(len(sources) * chance.random() ** 2)], TARGETS[int(len(TARGETS) * chance.random() ** 1.5)]

    def _ask(self, client: Client, source: Source, target: str, chance: random.Random) -> bool:
        """False: the connection is gone."""
        accept = WEBP if target.startswith("/thumbor") and chance.random() < 0.4 else "*/*"
        tags = self._tags.setdefault((source.name, target, accept), {})
        headers = {"Accept": accept}
        kind = chance.random()
        if kind < 0.1 and tags:
            headers["If_None_Match"] = chance.choice([*tags])
        elif kind < 0.15 and not target.endswith("info.json") and "/meta/" not in target:
            headers["Range"] = f"bytes={chance.randrange(20)}-{chance.randrange(20, 3000)}"
        turn = self.cached.turns
        with source.asking(target) as asking:
            try:
                reply = client.get(path_of(target, source.url), **headers)
            except (OSError, http.client.HTTPException) as error:
                if turn == self.cached.turns and turn % 2 == 0:
                    self._add(f"no answer to {path_of(target, source.url)}: {error!r}")
                self.broken += 1
                return False
            contents = source.seen_by(asking)
        self.statuses[reply.status] += 1
        if reply.status == BUSY and reply["retry-after"]:  # this machine has other work too
            return True
        fault = self._fault(source, target, headers, reply, contents, tags)
        if fault:
            self._add(f"{fault}\n{self._told(source, target, headers, reply, asking)}")
        return True

    def _fault(
        self,
        source: Source,
        target: str,
        headers: dict[str, str],
        reply: Reply,
        contents: frozenset[int],
        tags: dict[str, Shown],
    ) -> str:
        """Empty if the answer is right."""
        right = [self.truth.of(source, content, target, headers["Accept"]) for content in contents]
        etag = reply["etag"]
        if reply.status == 304:
            if etag != headers.get("If_None_Match"):
                return "304 with another ETag"
            return "" if tags[etag] in right else "304 for a picture that is no longer right"
        if reply.status == 206:
            parts = [_part(one, headers["Range"]) for one in right]
            return "" if (reply["content-range"], reply.body) in parts else "a part of another picture"
        answer = shown(reply.status, reply["content-type"], reply.body, source.url)
        if answer not in right:
            return "another answer"
        if reply.status == 200 and (not etag or tags.setdefault(etag, answer) != answer):
            return "an ETag of two pictures"
        return ""

    def _told(self, source: Source, target: str, headers: dict[str, str], reply: Reply, asking: Asking) -> str:
        answer = shown(reply.status, reply["content-type"], reply.body, source.url)
        named = self.truth.named(source, target, headers["Accept"], answer)
        return (
            f"{time.strftime('%H:%M:%S')} {path_of(target, source.url)} {headers}: {reply.status} {reply.headers}"
            f" {len(reply.body)} bytes, which would be right of {named};"
            f" versions {asking.oldest} to {asking.newest} are of {sorted(asking.contents)}"
        )

    def _add(self, fault: str) -> None:
        with self._lock:
            self.faults.append(fault)


def _part(whole: Shown, asked: str) -> tuple[str, bytes]:
    first, last = map(int, asked.removeprefix("bytes=").split("-"))
    size = len(whole.body)
    return f"bytes {first}-{min(last, size - 1)}/{size}", whole.body[first : last + 1]


def edit(cached: CachedServer, reading: Reading, chance: random.Random) -> None:
    """One thing after the other; a kill now and then, since a server without a warm cache shows little."""
    often: dict[Callable[[], None], int] = {
        cached.change: 20, cached.change_and_purge: 40, cached.purge: 10, cached.deliver: 15, cached.damage: 15,
        cached.reload: 2,
    }  # fmt: skip
    ends: list[Callable[[], None]] = [
        cached.kill, cached.kill_at_a_failpoint, cached.stop, cached.lose_what_may_be_lost, cached.kill_at_a_failpoint,
    ]  # fmt: skip
    number, ends_with = 0, ANSWERS_OF_A_LIFE
    while not reading.is_over:
        if reading.answers > ends_with:
            ends[number % len(ends)]()
            number += 1
            ends_with = reading.answers + int(2 * ANSWERS_OF_A_LIFE * chance.random())
        chance.choices([*often], [*often.values()])[0]()
        cached.look_after_jobs()
        reading.wait_for(ANSWERS_OF_AN_EDIT)
    cached.until_jobs_ended()


@pytest.mark.parametrize("name", sized(["memory"], [*PLANS]))
def test_no_answer_is_wrong_or_half(tmp_path: Path, name: str, figures: Figures) -> None:
    seed = f"{name} {sized(1, time.time_ns())}"
    truth = Truth(tmp_path / "truth")
    with truth.running():
        cached = CachedServer(tmp_path / "cached", PLANS[name], truth, random.Random(seed))
        with cached.running(), ThreadPoolExecutor(READERS) as threads:
            reading = Reading(cached, truth, time.monotonic() + READS_S)
            readers = [threads.submit(reading.read, number) for number in range(READERS)]
            try:
                edit(cached, reading, random.Random(seed))
            except BaseException:
                reading.is_stopped = True
                raise
            for reader in readers:
                reader.result()
            cached.count()
    assert reading.statuses[BUSY] < reading.statuses[200]
    assert reading.faults == [], "\n".join([seed, *reading.faults])
    if IS_FULL:
        assert cached.counted["evicted"] > 0
        assert min(reading.statuses[status] for status in (206, 304)) > 100
        assert min(cached.counted[word] for word in ("disk_hits", "damaged")) > 20
    figures("answers", dict(sorted(reading.statuses.items())))
    figures("cut off by a kill", reading.broken)
    figures("meanwhile", dict(sorted(cached.done.items())))
    figures("caches", dict(cached.counted))
