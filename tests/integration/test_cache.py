"""The whole cache on a real disk: what was stored is found, byte for byte, until it is evicted or purged."""

import asyncio
import os
import random
from pathlib import Path

import pytest

from imgserve.blob import PIECE_BYTES, Blob
from imgserve.engine.cache import writes
from imgserve.engine.cache.body import OpenBody
from imgserve.engine.cache.cache import Cache
from imgserve.engine.cache.entry import Key
from imgserve.engine.cache.purge import OfPrefix, OfRendering, OfSource, Scope
from tests.support.caching import (
    Clock,
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
)
from tests.support.sizes import PATIENCE_S, sized

LARGE = 1_500_000


async def test_an_answer_is_found_in_memory_and_after_a_restart(tmp_path: Path) -> None:
    key, meta = key_of(1), meta_of('"e"', headers=((b"x-one", b"1"),), last_modified_s=5)
    async with cache_in(tmp_path, memory_bytes=1_000_000) as cache:
        assert cache.look_up(key) is None
        assert await cache.find(key) is None
        put(cache, key, b"picture", meta)
        hit = cache.look_up(key)
        assert hit is not None
        assert hit.meta == meta
    async with cache_in(tmp_path, memory_bytes=1_000_000) as cache:
        assert cache.look_up(key) is None
        hit = await cache.find(key)
        assert hit is not None
        assert (hit.body, hit.meta) == (b"picture", meta)
        assert hit.head == (
            (b"content-type", b"image/jpeg"), (b"content-length", b"7"), (b"etag", b'"e"'), (b"x-one", b"1"),
        )  # fmt: skip
        assert cache.look_up(key) is hit, "the disk's hits go into memory"
        stats = cache.stats()
        assert (stats.memory_hits, stats.disk_hits, stats.misses) == (1, 1, 0)


async def test_who_waits_for_the_disk_does_not_wait_for_further_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writes, "_GATHER_S", 10 * PATIENCE_S)
    async with asyncio.timeout(PATIENCE_S), cache_in(tmp_path) as cache:
        await put_on_disk(cache, key_of(1), b"picture")
        assert len(files(tmp_path)) == 1
        put(cache, key_of(2), b"picture")
        put(cache, key_of(3), b"picture")
    assert len(files(tmp_path)) == 3


async def test_an_absent_entry_is_a_miss_without_a_look(tmp_path: Path) -> None:
    async with cache_in(tmp_path) as cache:
        await put_on_disk(cache, key_of(1), b"picture")
        await put_on_disk(cache, key_of(2), b"picture")
        with pytest.raises(StopIteration):  # it has returned without a wait for a thread
            cache.find(key_of(3)).send(None)
        assert await body_of(cache, key_of(1)) == b"picture"
        assert cache.stats().misses == 1


@pytest.mark.parametrize("size", [0, 1, 60_000, 70_000, LARGE, 5 * PIECE_BYTES + 7])
@pytest.mark.parametrize("is_blob", [False, True])
async def test_all_sizes_come_back(tmp_path: Path, size: int, is_blob: bool) -> None:
    body = os.urandom(size)
    async with cache_in(tmp_path) as cache:
        if is_blob:
            with Blob.of(body) as blob:
                put(cache, key_of(1), blob)
        else:
            put(cache, key_of(1), body)
        assert await body_of(cache, key_of(1)) == body, "while it is being written"
        await cache.written()
        assert await body_of(cache, key_of(1)) == body


async def test_a_large_answer_is_an_open_file_that_outlives_its_entry(tmp_path: Path) -> None:
    body = os.urandom(LARGE)
    async with cache_in(tmp_path) as cache:
        await put_on_disk(cache, key_of(1), body)
        hit = await cache.find(key_of(1))
        assert hit is not None
        with hit:
            assert await cache.purge(OfSource(key_of(1).source)) == 1
            assert isinstance(hit.body, OpenBody)
            assert hit.body.read(10, 5) == body[5:15]
            assert hit.body.read(10, LARGE - 3) == body[-3:]
            with hit.body.blob() as blob:
                assert blob.read() == body
        assert await cache.find(key_of(1)) is None


async def test_a_cancelled_search_leaves_no_file_open(tmp_path: Path) -> None:
    async with cache_in(tmp_path) as cache:
        await put_on_disk(cache, key_of(1), os.urandom(LARGE))
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            search = asyncio.create_task(cache.find(key_of(1)))
            await asyncio.sleep(0)
            search.cancel()
            with pytest.raises(asyncio.CancelledError):
                await search
    assert len(os.listdir("/proc/self/fd")) < before


async def test_keys_that_differ_in_one_part_are_different(tmp_path: Path) -> None:
    keys = [Key("a", "b", "c", "d"), Key("a", "b", "c"), Key("a", "b", "cd"), Key("ab", "", "c", "d"), Key("a")]
    async with cache_in(tmp_path) as cache:
        for number, key in enumerate(keys):
            await put_on_disk(cache, key, b"%d" % number)
        assert [await body_of(cache, key) for key in keys] == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_file_under_another_entry_s_name_is_a_miss(tmp_path: Path) -> None:
    async with cache_in(tmp_path) as cache:
        await put_on_disk(cache, key_of(1), b"one")
        [file] = files(tmp_path)
        await put_on_disk(cache, key_of(2), b"two")
        [other] = set(files(tmp_path)) - {file}
        file.rename(other)
        assert await cache.find(key_of(2)) is None


async def test_errors_are_cached_in_memory_alone(tmp_path: Path) -> None:
    async with cache_in(tmp_path, memory_bytes=1_000_000) as cache:
        await put_on_disk(cache, key_of(1), b"picture")
        await put_on_disk(cache, key_of(1), b"", meta_of("", status=404))
        hit = cache.look_up(key_of(1))
        assert hit is not None
        assert hit.meta.status == 404
        assert files(tmp_path) == [], "the older picture must not come back"


async def test_a_header_too_long_for_a_file_stays_in_memory(tmp_path: Path) -> None:
    async with cache_in(tmp_path, memory_bytes=1_000_000) as cache:
        await put_on_disk(cache, key_of(1), b"old")
        await put_on_disk(cache, key_of(1), b"new", meta_of(headers=((b"x", b"y" * 40_000),)))
        assert await body_of(cache, key_of(1)) == b"new"
        assert files(tmp_path) == []


@pytest.mark.parametrize("is_void", [False, True])
async def test_the_picture_that_was_begun_last_wins(tmp_path: Path, is_void: bool) -> None:
    async with cache_in(tmp_path) as cache:
        with cache.begin(key_of(1)) as older, cache.begin(key_of(1)) as newer:
            if is_void:
                cache.store(newer, b"newer", meta_of())
            cache.store(older, b"older", meta_of())
            assert older.is_void is is_void
            cache.store(newer, b"newer", meta_of())
            assert older.is_void
        await cache.written()
        assert await body_of(cache, key_of(1)) == b"newer"


async def test_without_a_directory_it_is_in_memory_alone(tmp_path: Path) -> None:
    cache = Cache("test", None, 1_000_000, 1_000_000)
    await cache.open()
    put(cache, key_of(1), b"picture")
    assert await body_of(cache, key_of(1)) == b"picture"
    assert await cache.purge(OfPrefix("")) == 1
    assert await cache.purge(OfSource("a")) == 0
    assert await cache.find(key_of(1)) is None
    assert cache.stats().is_whole
    await cache.close()
    assert files(tmp_path) == []


async def test_after_the_end_answers_are_neither_found_nor_kept(tmp_path: Path) -> None:
    async with cache_in(tmp_path) as cache:
        await put_on_disk(cache, key_of(1), b"picture")
    put(cache, key_of(1), b"picture")
    assert await cache.find(key_of(1)) is None


async def test_the_caps_hold_and_the_least_recently_used_go(tmp_path: Path) -> None:
    clock = Clock()
    async with cache_in(tmp_path, cap_bytes=400_000, clock=clock) as cache:
        for number in range(60):
            clock.now_s += 100
            await put_on_disk(cache, key_of(number), b"x" * 4000)
            assert await body_of(cache, key_of(0)) is not None
            if number % 5 == 4:
                await settled(cache)
            assert stored_bytes(tmp_path) <= 400_000
        assert cache.stats().evicted > 0
        assert await body_of(cache, key_of(1)) is None
        assert await body_of(cache, key_of(59)) is not None


async def test_a_burst_does_not_pass_the_cap(tmp_path: Path) -> None:
    async with cache_in(tmp_path, cap_bytes=200_000) as cache:
        for number in range(200):
            put(cache, key_of(number), b"x" * 4000)
        await cache.written()
        assert stored_bytes(tmp_path) <= 200_000
        assert cache.stats().skipped > 100


async def test_room_is_made_for_an_answer_that_does_not_fit(tmp_path: Path) -> None:
    """Though the entries take less than what begins an eviction."""
    async with cache_in(tmp_path, cap_bytes=100_000) as cache:
        for number in range(11):
            await put_on_disk(cache, key_of(number), b"x" * 4000)
            await settled(cache)
        assert cache.stats().evicted == 0
        for _ in range(2):
            await put_on_disk(cache, key_of(50), b"x" * 15_000)
            await settled(cache)
        assert await body_of(cache, key_of(50)) is not None
        assert 1 <= cache.stats().evicted < 8


async def test_memory_holds_its_cap(tmp_path: Path) -> None:
    async with cache_in(tmp_path, memory_bytes=100_000) as cache:
        for number in range(50):
            put(cache, key_of(number), b"x" * 4000)
            assert cache.look_up(key_of(0)) is not None
            assert cache.stats().memory_bytes <= 100_000
        assert 10 < cache.stats().memory_entries < 25
        put(cache, key_of(0), b"x" * 50_000)
        assert cache.stats().memory_entries < 25
        assert await body_of(cache, key_of(0)) == b"x" * 50_000, "a large one is not in memory, but on the disk"


class Walk:
    """Stores, purges and reads at random, and what each key may answer: its last body, or nothing."""

    def __init__(self, seed: int, clock: Clock) -> None:
        self.chance = random.Random(seed)
        self.clock = clock
        self.last: dict[Key, bytes] = {}
        self.found = 0
        self.keys = [Key(f"http://s.test/{n % 4}/{n % 8}", f"w:{n % 3}", "webp" * (n // 12)) for n in range(24)]

    async def go(self, cache: Cache) -> None:
        for _ in range(60):
            self.clock.now_s += 30
            reads = [asyncio.create_task(self.read(cache)) for _ in range(self.chance.randrange(4))]
            step = self.chance.random()
            if step < 0.6:
                await self.store(cache)
            elif step < 0.7:
                await self.purge(cache)
            elif step < 0.8:
                await cache.written()
            await asyncio.gather(*reads)
            await self.read(cache)

    def any_key(self) -> Key:
        return self.chance.choice(self.keys)

    async def read(self, cache: Cache) -> None:
        key = self.any_key()
        before = self.last.get(key)
        body = await body_of(cache, key)
        # It was there when the search began, or was stored meanwhile.
        assert body in (None, before, self.last.get(key))
        self.found += body is not None

    async def store(self, cache: Cache) -> None:
        key, body = self.any_key(), self.chance.randbytes(self.chance.choice([0, 10, 5000, 70_000, 1_200_000]))
        with cache.begin(key) as work:
            await asyncio.sleep(0)
            self.last[key] = body
            cache.store(work, body, meta_of())

    async def purge(self, cache: Cache) -> None:
        key = self.any_key()
        prefix = key.source[: self.chance.choice([0, 16, 18])]
        scopes: list[Scope] = [OfSource(key.source), OfRendering(key.source, key.rendering), OfPrefix(prefix)]
        scope = self.chance.choice(scopes)
        await cache.purge(scope)
        self.last = {key: body for key, body in self.last.items() if not scope.covers(key)}


@pytest.mark.parametrize("seed", range(sized(2, 60)))
@pytest.mark.parametrize("memory_bytes", [0, 300_000])
async def test_a_reader_sees_what_was_stored_last_or_nothing(tmp_path: Path, seed: int, memory_bytes: int) -> None:
    """Through stores, purges, evictions, restarts and lost indexes, with many reads under way at once."""
    clock = Clock()
    walk = Walk(seed, clock)
    for life in range(4):
        if life == 2:
            lose_index(tmp_path)
        async with cache_in(tmp_path, 6_000_000, memory_bytes, clock=clock) as cache:
            await walk.go(cache)
    assert walk.found > 20
