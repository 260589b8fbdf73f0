"""A server with a small cache, which is killed, whose files are damaged, and whose sources change and are purged."""

import os
import random
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from examples.events import Event, Log
from examples.receivers import HttpReceiver

from imgserve import failpoint
from tests.chaos.cached_sources import ABSENT, NO_PICTURE, Source, painted
from tests.chaos.cached_truth import BUSY, MOUNTS, TARGETS, Truth, path_of
from tests.support.caching import lose_index
from tests.support.daemon import LOOPBACK, Daemon, wait_until
from tests.support.native import Caller
from tests.support.pictures import encoded

POINTS = [name for name in failpoint.NAMES if name.startswith("cache_")]
COUNTED = ("memory_hits", "disk_hits", "misses", "stored", "skipped", "evicted", "damaged", "failures")
# Those that most requests are for.
BUSY_TARGETS = 4
# Larger answers are sent from their file.
_LARGE_BYTES = 1_048_576


class Forgetful(Log):
    """Nobody asks what the sources' host saw in an hour."""

    def add(self, event: Event) -> None:
        """Keep nothing."""


class Plan(NamedTuple):
    """``is_asked``: the server asks each source each time. ``pictures`` of each source, one of which it is."""

    memory_bytes: int
    is_asked: bool
    sources: int
    pictures: int
    cap_bytes: int


class CachedServer:
    """Its sources are files, and files behind HTTP; every third one is so large that its bytes are sent from a file.

    ``turns`` is odd while the server may be going or coming, so that broken connections mean nothing.
    """

    def __init__(self, top: Path, plan: Plan, truth: Truth, chance: random.Random) -> None:
        self._top, self._plan, self._truth, self._chance = top, plan, truth, chance
        for name in ("files", "masters", "web"):
            (top / name).mkdir(parents=True)
        self._web = HttpReceiver(top / "web")
        self._web.log = Forgetful()
        self._failpoint = top / "failpoint"
        self.server = self._daemon()
        self.sources = [self._source(number) for number in range(plan.sources)]
        self.busy = self.sources[0]  # the source that was dealt with last
        self._jobs: dict[Source, tuple[str, int]] = {}
        self.turns = 1
        self.is_up = threading.Event()
        self.done: Counter[str] = Counter()
        self.counted: Counter[str] = Counter()

    def _daemon(self) -> Daemon:
        config = self._top / "imgserve.toml"
        config.write_text(MOUNTS.replace("DIR", str(self._top / "files")).replace("WEB", self._web.url))
        switches: dict[str, object] = {
            "cache_bytes": self._plan.cap_bytes,
            "source_cache_bytes": self._plan.cap_bytes,
            "cache_memory_bytes": self._plan.memory_bytes,
            "cache_fresh_s": 0 if self._plan.is_asked else 31_536_000,
            "stale_while_revalidate_s": 0,
            "stale_if_error_s": 0,
            "cache_negative_s": 0,
            "quiet_s": 0.5,
            "failpoint_file": str(self._failpoint),
        }
        given = (*LOOPBACK, "--config", str(config), "--write-root", str(self._top / "files"))
        return Daemon(self._top / "data", *given, "--read-root", str(self._top), switches=switches)

    def _source(self, number: int) -> Source:
        is_large = number % 3 == 2
        kind = "png" if is_large or number % 2 else "jpeg"
        name = f"{number}.{'png' if kind == 'png' else 'jpg'}"
        pictures = []
        for content in range(self._plan.pictures):
            master = self._top / "masters" / f"{content}-{number}.png"
            master.write_bytes(encoded(painted(number, content, is_large=is_large), "png"))
            pictures.append(self._truth.rendered(master, {"format": kind}))
        place = "web" if number % 2 else "files"
        base = self._web.url if number % 2 else f"file://{self._top}/files"
        path = self._top / place / name
        return Source(name, f"{base}/{name}", path, tuple(pictures), is_asked=self._plan.is_asked)

    @contextmanager
    def running(self) -> Iterator[None]:
        with self._web, self.server:
            self._came()
            try:
                yield
            finally:
                self.is_up.set()  # nobody waits for ever

    # What an editor does.

    def change(self) -> None:
        self.busy = source = self._chance.choice(self.sources)
        if source in self._jobs:
            return
        others = [content for content in range(self._plan.pictures) if content != source.content]
        source.write(self._chance.choice([*others, ABSENT, NO_PICTURE] if self._chance.random() < 0.3 else others))
        self.done["changes"] += 1

    def change_and_purge(self) -> None:
        self.change()
        self.purge()

    def purge(self) -> None:
        source = self.busy
        match self._chance.choices(["source", "url", "prefix", "all"], [8, 6, 3, 1])[0]:
            case "source":
                self._purge({"source": source.url}, [source])
            case "url":
                target = self._chance.choice(TARGETS[:BUSY_TARGETS])
                self._purge({"url": path_of(target, source.url)}, [source], target)
            case "prefix":
                begin = source.url[: self._chance.choice([-1, -4, -6])]
                self._purge({"prefix": begin}, [one for one in self.sources if one.url.startswith(begin)])
            case _:
                self._purge({"all": True}, self.sources)

    def _purge(self, scope: Mapping[str, object], sources: list[Source], target: str = "") -> None:
        versions = [source.written for source in sources]
        answer = Caller(self.server)("POST", "/v1/cache/purge", scope)
        assert answer.status == 200, answer
        for source, version in zip(sources, versions, strict=True):
            source.purged(version, target)
        self.done[f"purges of {next(iter(scope))}"] += 1

    def deliver(self) -> None:
        """Begin a job whose result is a source's next version, and look after those of before."""
        self.busy = source = self._chance.choice(self.sources)
        if source not in self._jobs:
            content = self._chance.randrange(self._plan.pictures)
            number, kind = source.name.split(".")
            destination: object = source.url
            if source.url.startswith("http"):
                destination = {"url": source.url, "method": "PUT"}
            output = {"encode": {"format": {"jpg": "jpeg"}.get(kind, kind)}, "destination": destination}
            job = {
                "source": f"file://{self._top}/masters/{content}-{number}.png",
                "outputs": [{**output, "placeholder": "none"}],
            }
            source.begin(content)
            answer = Caller(self.server).submit(job)
            while answer.status == BUSY:
                answer = Caller(self.server).submit(job)
            assert answer.status == 202, answer
            self._jobs[source] = answer.body["id"], content
        self.look_after_jobs()

    def look_after_jobs(self) -> None:
        for source, (job_id, content) in [*self._jobs.items()]:
            job = Caller(self.server).job(job_id)
            if job["ended_at"] is not None:
                assert job["status"] == "succeeded", job
                assert source.path.read_bytes() == source.bytes_of(content)
                source.wrote()
                source.purged(source.written)
                del self._jobs[source]
                self.done["deliveries"] += 1

    def until_jobs_ended(self) -> None:
        def have_ended() -> bool:
            self.look_after_jobs()
            return not self._jobs

        wait_until(have_ended)

    def damage(self) -> None:
        """Files of the cache, while the server uses them."""
        entries = self._entries()
        for file in self._chance.sample(entries, min(len(entries), 3)):
            with suppress(FileNotFoundError):  # one that has just gone
                self._damage(file, entries)
        self.done["damaged files"] += 3

    def _damage(self, file: Path, entries: list[Path]) -> None:
        whole = file.read_bytes()
        if not whole:
            return
        position = self._chance.randrange(len(whole))
        flipped = bytearray(whole)
        flipped[position] ^= 1 << self._chance.randrange(8)
        other = self._chance.choice(entries).read_bytes()
        zeros = whole[:position] + bytes(len(whole) - position)
        damaged = self._chance.choice([whole[:position], bytes(flipped), zeros, whole + b"\0", other])
        if len(whole) > _LARGE_BYTES:  # may be being sent, and was verified before
            part = self._top / "part"
            part.write_bytes(damaged)
            part.rename(file)
        else:
            file.write_bytes(damaged)

    def _entries(self) -> list[Path]:
        return [path for path in (self.server.data_dir / "cache").glob("*/entries/*/*") if path.is_file()]

    def reload(self) -> None:
        os.kill(self.server.pid, signal.SIGHUP)
        self.done["reloads"] += 1

    def kill(self) -> None:
        self._goes()
        self.server.kill()
        self.done["kills"] += 1
        self._start_again()

    def stop(self) -> None:
        self._goes()
        assert self.server.stop() == 0
        self.done["stops"] += 1
        self._start_again()

    def kill_at_a_failpoint(self) -> None:
        """It ends at a step of the cache, if one comes there in a while, in the middle of purges perhaps."""
        self.count()
        self.turns += 1
        self._failpoint.write_text(self._chance.choice(POINTS))
        with suppress(OSError):
            for _ in range(4):
                self.change()
                prefix = self._chance.choice(self.sources).url[:-1]
                Caller(self.server)("POST", "/v1/cache/purge", {"prefix": prefix})
        with suppress(AssertionError):
            wait_until(lambda: not self.server.is_running, 1.0)
        self.done["ends at failpoints"] += not self.server.is_running
        self.is_up.clear()
        self._failpoint.unlink()
        self.server.kill()
        self._start_again()

    def lose_what_may_be_lost(self) -> None:
        """While it is down: the index, the record of purges, single files."""
        self._goes()
        self.server.kill()
        for directory in (self.server.data_dir / "cache").iterdir():
            match self._chance.randrange(4):
                case 0:
                    lose_index(directory)
                case 1:
                    (directory / "purges.json").write_bytes(b"{")
                case 2:
                    shutil.rmtree(directory)
        self.damage()
        self.done["losses"] += 1
        self._start_again()

    def _goes(self) -> None:
        self.count()
        self.turns += 1
        self.is_up.clear()

    def _start_again(self) -> None:
        """With a log of its own, since an hour's would take long to be read."""
        assert "ResourceWarning: Blob(" not in self.server.log
        assert "Traceback" not in self.server.log, self.server.log[-8000:]
        self.server.log_path.unlink()
        self.server.start()
        self._came()

    def _came(self) -> None:
        self.turns += 1
        self.is_up.set()

    def count(self) -> None:
        body = Caller(self.server)("GET", "/v1/cache").body
        for name in COUNTED:
            self.counted[name] += sum(body[cache][name] for cache in ("pictures", "sources"))
