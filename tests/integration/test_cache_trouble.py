"""A cache whose server is killed, whose files are damaged, whose disk is full or whose index is lost: that costs hits,
and nothing wrong is ever sent.
"""

import asyncio
import contextlib
import itertools
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import apsw
import pytest

from imgserve import failpoint
from imgserve.engine.cache.cache import Cache, PurgeFailed
from imgserve.engine.cache.entry import Key
from imgserve.engine.cache.index import cause_of_fault
from imgserve.engine.cache.names import BLOCK_BYTES, FAN, directory_of
from imgserve.engine.cache.purge import OfPrefix, OfRendering, OfSource, Scope
from tests.support import cache_victim, preloaded
from tests.support.caching import (
    body_of,
    cache_in,
    files,
    key_of,
    lose_index,
    meta_of,
    put,
    put_on_disk,
    settled,
    stored_bytes,
    until,
)
from tests.support.daemon import WARNINGS
from tests.support.sizes import PATIENCE_S, sized

POINTS = [name for name in failpoint.NAMES if name.startswith("cache_")]


class Acknowledged:
    """What the victim has said before it was killed."""

    def __init__(self) -> None:
        self.keys = cache_victim.keys()
        # The bodies that each key may have: every version since its last purge.
        self.versions: dict[Key, list[int]] = {key: [] for key in self.keys}

    def take(self, output: str) -> None:
        for line in output.splitlines():
            word, *fields = line.split(" ")
            if word == "storing":
                self.versions[self.keys[int(fields[0])]].append(int(fields[1]))
            elif word == "purged":
                self.forget(OfSource(fields[0]))
            else:
                self.forget(OfPrefix(fields[0]))

    def forget(self, scope: Scope) -> None:
        for key in self.keys:
            if scope.covers(key):
                self.versions[key].clear()

    async def check(self, cache: Cache) -> int:
        """The number of hits."""
        hits = 0
        for key in self.keys:
            body = await body_of(cache, key)
            if body is not None:
                hits += 1
                assert body in [cache_victim.body_of(key, version) for version in self.versions[key]]
        return hits


def run_victim(directory: Path, point: str, nth: int, seed: int, lives_s: float | None = None) -> str:
    """All that it said."""
    words = [str(directory), point, str(nth), str(seed)]
    environment = {**os.environ, "PYTHONWARNINGS": WARNINGS}
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        victim = preloaded.start("tests.support.cache_victim", words, environment, output, errors)
        try:
            status = victim.wait(lives_s or PATIENCE_S)
        except subprocess.TimeoutExpired:
            victim.kill()
            victim.wait(PATIENCE_S)
            assert lives_s, f"{point} was never reached: {text_of(errors)}"
            assert text_of(errors) == ""
        else:
            # Two threads may come there at once.
            assert (status, set(text_of(errors).splitlines())) == (137, {f"failpoint {point}"})
        said = text_of(output)
    # A last line that is half written says nothing.
    return said[: said.rfind("\n") + 1]


def text_of(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


@pytest.mark.parametrize("point", POINTS)
async def test_killed_at_every_step(tmp_path: Path, point: str) -> None:
    acknowledged, hits = Acknowledged(), 0
    for seed in range(sized(2, 20)):
        times = [1, 2, 7] if "purge" in point or "evict" in point else [1, 20, 60]
        # The first life ends at the first time: later, a purge may have left nothing to be found.
        nth = random.Random(f"{point} {seed}").choice(times) if seed else 1
        acknowledged.take(await asyncio.to_thread(run_victim, tmp_path, point, nth, seed))
        async with cache_in(tmp_path, cache_victim.CAP_BYTES) as cache:
            hits += await acknowledged.check(cache)
            await settled(cache)
            hits += await acknowledged.check(cache)
            assert list((tmp_path / "new").iterdir()) == []
            assert cache.stats().entries == len(files(tmp_path)), "the index knows all files"
            assert cache.stats().size_bytes == stored_bytes(tmp_path)
            assert cache.stats().damaged == 0, "no half file ever has a name"
    # A purge of everything reaches these, and leaves nothing that could be found.
    assert hits > 0 or "purge" in point or point == "cache_noted"


async def test_killed_at_any_time(tmp_path: Path) -> None:
    acknowledged = Acknowledged()
    for seed in range(sized(1, 30)):
        lives_s = random.Random(seed).uniform(0.5, 1.5)
        acknowledged.take(await asyncio.to_thread(run_victim, tmp_path, "", 1, 100 + seed, lives_s))
        async with cache_in(tmp_path, cache_victim.CAP_BYTES) as cache:
            await acknowledged.check(cache)


@pytest.mark.parametrize("size", [3000, 1_200_000])
async def test_files_that_were_changed_by_hand_are_misses_and_go(tmp_path: Path, size: int) -> None:
    chance = random.Random(size)
    async with cache_in(tmp_path, cap_bytes=1_000_000_000) as cache:
        for _ in range(sized(60, 1000)):
            body = chance.randbytes(size)
            await put_on_disk(cache, key_of(1), body)
            [file] = files(tmp_path)
            whole = file.read_bytes()
            position = chance.randrange(len(whole))
            flipped = bytearray(whole)
            flipped[position] ^= 1 << chance.randrange(8)
            zeros = whole[:position] + bytes(len(whole) - position)
            file.write_bytes(chance.choice([whole[:position], bytes(flipped), zeros, whole + b"\0"]))
            if file.read_bytes() != whole:
                assert await cache.find(key_of(1)) is None
                assert not file.exists()
        assert cache.stats().damaged > 50


async def test_what_is_no_entry_is_left_alone(tmp_path: Path) -> None:
    async with cache_in(tmp_path) as cache:
        await put_on_disk(cache, key_of(1), b"picture")
        [file] = files(tmp_path)
        for name in ("README", "ab", file.name.upper().replace("0", "A"), file.name[:-2]):
            (file.parent / name).write_text("mine")
        (file.parent / ("d" * 48)).mkdir()
    lose_index(tmp_path)
    async with cache_in(tmp_path) as cache:
        await settled(cache)
        assert cache.stats().entries == 1
        assert len(files(tmp_path)) == 5


@contextlib.contextmanager
def small_disk(at: Path, size: int = 3_000_000) -> Iterator[None]:
    at.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(at)], check=True, timeout=10)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True, timeout=10)


def fill_up(directory: Path) -> Path:
    ballast = directory / "ballast"
    with ballast.open("wb", buffering=0) as file:
        while os.statvfs(directory).f_bavail:
            file.write(bytes(4096))
    return ballast


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


@needs_root
async def test_a_full_disk_costs_hits_and_no_answer(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk):
        async with cache_in(disk, memory_bytes=1_000_000) as cache:
            await put_on_disk(cache, key_of(1), b"one")
            await put_on_disk(cache, key_of(2), b"older")
            ballast = fill_up(disk)
            for number in range(2, 40):
                await put_on_disk(cache, key_of(number), b"%d" % number * 3000)
            states = list(cache.states())  # the index may find room in its file's last page
            assert {state.name for state in states} == {"cache_failing"}
            assert any("the disk is full" in state.sentence for state in states), states
            assert all("free disk space" in state.remedy for state in states), states
            assert [await body_of(cache, key_of(number)) for number in (1, 39)] == [b"one", b"39" * 3000]
            assert cache.stats().skipped > 30, "a full disk is not asked for each picture"
            ballast.unlink()
            await until(lambda: not list(cache.states()))
            await put_on_disk(cache, key_of(50), b"fifty")
        async with cache_in(disk) as cache:
            assert [await body_of(cache, key_of(number)) for number in (1, 39, 50)] == [b"one", None, b"fifty"]
            # The older one leaves a block, which the newer one gets, or the index.
            assert await body_of(cache, key_of(2)) in (None, b"2" * 3000)


def test_an_index_without_room_says_so_as_the_files_do() -> None:
    with apsw.Connection(":memory:") as db:
        db.execute("PRAGMA max_page_count = 1")
        with pytest.raises(apsw.FullError) as full:
            db.execute("CREATE TABLE one (x); CREATE TABLE two (x)")
    assert cause_of_fault(full.value) == ("the disk is full", "free disk space")


@needs_root
async def test_a_disk_that_is_full_at_the_start(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk):
        ballast = fill_up(disk)
        async with cache_in(disk / "cache", memory_bytes=1_000_000) as cache:
            put(cache, key_of(1), b"one")
            assert await body_of(cache, key_of(1)) == b"one"
            assert [state.name for state in cache.states()] == ["cache_failing"]
            ballast.unlink()
            await until(lambda: cache.stats().is_whole)
            await put_on_disk(cache, key_of(2), b"two")
        async with cache_in(disk / "cache") as cache:
            assert await body_of(cache, key_of(2)) == b"two"


@needs_root
async def test_the_cache_gives_room_to_others(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk, 20_000_000):
        async with cache_in(disk, min_free_bytes=4_000_000) as cache:
            for number in range(60):
                await put_on_disk(cache, key_of(number), bytes(150_000))
            await settled(cache)
            before = cache.stats().entries
            (disk / "others").write_bytes(bytes(8_000_000))
            await until(lambda: os.statvfs(disk).f_bavail * 4096 >= 4_000_000)
            await until(lambda: 5 < cache.stats().entries < before)  # counted after the files are gone
            await settled(cache)
            assert cache.stats().entries == len(files(disk))


async def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with cache_in(tmp_path / "file" / "cache", memory_bytes=1_000_000) as cache:
        put(cache, key_of(1), b"one")
        assert await body_of(cache, key_of(1)) == b"one"
        [state] = cache.states()
        assert "a file stands where a directory is expected" in state.sentence
        with pytest.raises(PurgeFailed, match="could not be opened"):
            await cache.purge(OfSource(key_of(1).source))
        assert cache.look_up(key_of(1)) is None, "what this server can send is gone all the same"


async def test_two_servers_do_not_share_a_directory(tmp_path: Path) -> None:
    async with cache_in(tmp_path) as one:
        await put_on_disk(one, key_of(1), b"one")
        async with cache_in(tmp_path) as other:
            assert await other.find(key_of(1)) is None
            [state] = other.states()
            assert "another server uses this directory" in state.sentence
        assert await body_of(one, key_of(1)) == b"one"


@pytest.mark.parametrize("damage", ["lost", "noise", "cut", "version", "tables"])
async def test_an_index_that_is_lost_is_made_anew(tmp_path: Path, damage: str) -> None:
    async with cache_in(tmp_path) as cache:
        for number in range(30):
            await put_on_disk(cache, key_of(number), bytes(3000))
    index = tmp_path / "index.sqlite"
    if damage == "lost":
        lose_index(tmp_path)
    elif damage == "noise":
        index.write_bytes(random.Random(1).randbytes(index.stat().st_size))
    elif damage == "cut":
        os.truncate(index, 5000)
    else:
        with apsw.Connection(str(index)) as db:
            db.execute("PRAGMA user_version = 99" if damage == "version" else "DROP TABLE total")
    async with cache_in(tmp_path) as cache:
        assert await body_of(cache, key_of(1)) == bytes(3000), "a hit needs no index"
        await settled(cache)
        assert cache.stats().entries == 30
        assert cache.stats().size_bytes == stored_bytes(tmp_path)
    async with cache_in(tmp_path, cap_bytes=20 * 4096) as cache:
        await settled(cache)
        assert len(files(tmp_path)) <= 20, "so that the cap is right again"


async def test_an_index_that_is_deleted_while_it_is_used(tmp_path: Path) -> None:
    async with cache_in(tmp_path) as cache:
        await put_on_disk(cache, key_of(1), b"one")
        await settled(cache)
        lose_index(tmp_path)
        await put_on_disk(cache, key_of(2), b"two")
        assert await body_of(cache, key_of(1)) == b"one"
    async with cache_in(tmp_path) as cache:
        await settled(cache)
        assert cache.stats().entries == 2


async def test_the_index_forgets_files_that_are_gone(tmp_path: Path) -> None:
    async with cache_in(tmp_path) as cache:
        for number in range(10):
            await put_on_disk(cache, key_of(number), bytes(3000))
        await settled(cache)
        copy = (tmp_path / "index.sqlite").read_bytes()
    (tmp_path / "index.whole").unlink()
    for file in files(tmp_path)[:4]:
        file.unlink()
    lose_index(tmp_path)
    (tmp_path / "index.sqlite").write_bytes(copy)  # as a killed server leaves it
    async with cache_in(tmp_path) as cache:
        await settled(cache)
        assert cache.stats().entries == 6


async def test_entries_that_were_stored_while_the_index_could_not_be_opened(tmp_path: Path) -> None:
    """By a server that is killed then."""
    home, killed = tmp_path / "home", tmp_path / "killed"
    async with cache_in(home) as cache:
        await put_on_disk(cache, key_of(1), b"one")
        await settled(cache)
    with contextlib.closing(apsw.Connection(str(home / "index.sqlite"))) as other:
        other.execute("BEGIN EXCLUSIVE; DELETE FROM entry WHERE name = ''")
        async with cache_in(home) as cache:
            while len(await asyncio.to_thread(files, home)) < 2:  # not while the cache leaves its disk alone
                await put_on_disk(cache, key_of(2), b"two")
            await asyncio.to_thread(shutil.copytree, home, killed)
        other.execute("ROLLBACK")
    async with cache_in(killed) as cache:
        await cache.purge(OfPrefix("http://"))
        await settled(cache)
        assert (cache.stats().entries, files(killed)) == (0, [])


@pytest.mark.parametrize(
    "scope", [OfSource(key_of(1).source), OfRendering(key_of(1).source, "w:100"), OfPrefix("http")]
)
async def test_a_purge_stops_a_picture_that_is_being_made(tmp_path: Path, scope: Scope) -> None:
    async with cache_in(tmp_path, memory_bytes=1_000_000) as cache:
        await put_on_disk(cache, key_of(1), b"older")
        generation = cache.generation_of(key_of(1))
        with cache.begin(key_of(1)) as work:
            await cache.purge(scope)
            assert cache.generation_of(key_of(1)) != generation
            cache.store(work, b"made from the older source", meta_of())
        await cache.written()
        assert await cache.find(key_of(1)) is None
        assert await asyncio.to_thread(files, tmp_path) == [] or isinstance(scope, OfPrefix)
        await put_on_disk(cache, key_of(1), b"newer")
        await settled(cache)
        assert await body_of(cache, key_of(1)) == b"newer"
    async with cache_in(tmp_path) as cache:
        assert await body_of(cache, key_of(1)) == b"newer", "the purge does not cover what came after it"


async def test_a_purge_against_writes_and_reads(tmp_path: Path) -> None:
    """Many at once, in all orders that the threads find."""
    chance = random.Random(5)
    async with cache_in(tmp_path) as cache:
        for number in range(sized(150, 3000)):
            key = key_of(number % 5)
            scopes: list[Scope] = [OfSource(key.source), OfPrefix("http://"), OfRendering(key.source, key.rendering)]
            scope = chance.choice(scopes)
            await put_on_disk(cache, key, b"older")
            put(cache, key, b"older too")
            reads = [asyncio.create_task(body_of(cache, key)) for _ in range(3)]
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
            await cache.purge(scope)
            assert await body_of(cache, key) is None
            await asyncio.gather(*reads)
            await cache.written()
            assert await body_of(cache, key) is None


async def test_a_purge_holds_while_the_index_is_rebuilt_and_after_a_restart(tmp_path: Path) -> None:
    async with cache_in(tmp_path) as cache:
        for number in range(40):
            await put_on_disk(cache, key_of(number), b"older")
    lose_index(tmp_path)
    prefix = "http://source.test/3/"
    async with cache_in(tmp_path) as cache:
        await cache.purge(OfPrefix(prefix))
        assert await cache.find(key_of(3)) is None
        await put_on_disk(cache, key_of(13), b"newer")
    lose_index(tmp_path)
    async with cache_in(tmp_path) as cache:
        assert [await body_of(cache, key_of(number)) for number in (3, 13, 4)] == [None, b"newer", b"older"]
        await settled(cache)
        assert cache.stats().purging == 0
        assert len(files(tmp_path)) == 37
        assert [await body_of(cache, key_of(number)) for number in (3, 13, 4)] == [None, b"newer", b"older"]


async def test_a_purge_holds_where_a_directory_could_not_be_listed_for_a_while(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with cache_in(tmp_path) as cache:
        for number in range(40):
            await put_on_disk(cache, key_of(number), b"older")
    lose_index(tmp_path)
    there = {path.name for path in (tmp_path / "entries").iterdir()}
    broken = tmp_path / "entries" / next(name for name in map(directory_of, range(FAN)) if name not in there)
    broken.touch()
    async with cache_in(tmp_path) as cache:
        await cache.purge(OfPrefix("http://source.test/3/"))
        await until(lambda: cache.stats().failures > 1)  # it is tried again, and said once
        said = [record.levelname for record in caplog.records if record.message.startswith("cache_failing")]
        assert said == ["WARNING"]
        assert cache.stats().entries == 40  # of the others all is known
        broken.unlink()
        await settled(cache)
        assert [await body_of(cache, key_of(number)) for number in (3, 13, 4)] == [None, None, b"older"]
        assert cache.stats().entries == len(files(tmp_path)) == 36


async def test_entries_that_cannot_be_listed_at_all_are_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with cache_in(tmp_path) as cache:
        await put_on_disk(cache, key_of(1), b"older")
        await settled(cache)
        entries_fd = cache.upkeep._store._entries_fd
        listable, path_alone = os.dup(entries_fd), os.open(tmp_path / "entries", os.O_PATH)
        try:
            os.dup2(path_alone, entries_fd)  # files can be opened by it, but it cannot be read
            cache.upkeep._distrust_index()
            cache.upkeep.wake()
            await until(lambda: cache.stats().failures > 2)
            assert [state.name for state in cache.states()] == ["cache_failing"]
            os.dup2(listable, entries_fd)
        finally:
            os.close(listable)
            os.close(path_alone)
        await settled(cache)
        await until(lambda: not list(cache.states()))
        assert await body_of(cache, key_of(1)) == b"older"
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert [warning.partition(" ")[0] for warning in warnings] == ["cache_failing"]


async def test_the_cap_holds_where_a_directory_cannot_be_listed(tmp_path: Path) -> None:
    async with cache_in(tmp_path):
        pass
    lose_index(tmp_path)
    (tmp_path / "entries" / directory_of(0)).touch()
    async with cache_in(tmp_path, cap_bytes=20 * BLOCK_BYTES) as cache:
        await until(lambda: cache.stats().failures > 0)
        async with asyncio.timeout(PATIENCE_S):
            for number in itertools.count():
                await put_on_disk(cache, key_of(number), bytes(3000))
                if cache.stats().evicted:
                    break
        assert not cache.stats().is_whole
        assert stored_bytes(tmp_path) <= 20 * BLOCK_BYTES


@pytest.mark.parametrize("text", [None, "", "nonsense"])
async def test_without_its_purges_nothing_is_trusted(tmp_path: Path, text: str | None) -> None:
    async with cache_in(tmp_path) as cache:
        await put_on_disk(cache, key_of(1), b"perhaps purged")
        await settled(cache)  # so that its index is closed as one that knows all files
    purges = tmp_path / "purges.json"
    purges.unlink()
    if text is not None:
        purges.write_text(text)
    async with cache_in(tmp_path) as cache:
        assert await cache.find(key_of(1)) is None
        await put_on_disk(cache, key_of(2), b"two")
        await settled(cache)
        assert await body_of(cache, key_of(2)) == b"two"
        assert list((tmp_path / "old").iterdir()) == []
        assert cache.stats().entries == 1


async def test_killed_behind_setting_entries_aside(tmp_path: Path) -> None:
    async with cache_in(tmp_path) as cache:
        await put_on_disk(cache, key_of(1), b"perhaps purged")
        await settled(cache)
    (tmp_path / "purges.json").unlink()
    await asyncio.to_thread(run_victim, tmp_path, "cache_purge_recorded", 0, 1)
    async with cache_in(tmp_path) as cache:
        await settled(cache)
        assert files(tmp_path) == []
        assert cache.stats().entries == 0, "the index forgets it"


async def test_a_purge_that_fails_says_so(tmp_path: Path) -> None:
    async with cache_in(tmp_path) as cache:
        await put_on_disk(cache, key_of(1), b"one")
        [file] = files(tmp_path)
        file.unlink()
        file.mkdir()
        with pytest.raises(PurgeFailed, match="could not be deleted"):
            await cache.purge(OfSource(key_of(1).source))
        file.rmdir()
        assert await cache.purge(OfSource(key_of(1).source)) == 0
