"""A cache that may have missed purges, and the generations by which requests share work."""

from pathlib import Path

from imgserve.engine.cache.cache import Cache
from imgserve.engine.cache.entry import Key
from imgserve.engine.cache.freshness import freshness
from imgserve.engine.cache.purge import OfPrefix, OfSource
from tests.support.caching import NOW, Clock, cache_in, key_of, meta_of, put


async def state_of(cache: Cache, key: Key, clock: Clock) -> str:
    hit = await cache.find(key)
    assert hit is not None
    with hit:
        return freshness(hit.meta, clock())


async def test_what_was_stored_before_is_fresh_no_longer(tmp_path: Path) -> None:
    old, new, clock = key_of(1), key_of(2), Clock()
    meta = meta_of(stale_until_s=NOW + 120, error_until_s=NOW + 180)
    async with cache_in(tmp_path, memory_bytes=1_000_000, clock=clock) as cache:
        put(cache, old, b"old", meta)
        await cache.written()
        clock.now_s += 1
        cache.distrust()
        assert cache.look_up(old) is None
        assert await state_of(cache, old, clock) == "error", "it is sent only where its source cannot be asked"
        assert cache.look_up(old) is not None
        assert await state_of(cache, old, clock) == "error", "from memory too"
        put(cache, new, b"new", meta_of(stored_at_s=clock.now_s))
        put(cache, old, b"asked again", meta_of(stored_at_s=clock.now_s))
        for key in (old, new):
            assert await state_of(cache, key, clock) == "fresh"
    async with cache_in(tmp_path, clock=clock) as cache:
        assert await state_of(cache, old, clock) == "fresh"


async def test_what_is_being_made_is_not_stored(tmp_path: Path) -> None:
    key = key_of(1)
    async with cache_in(tmp_path, memory_bytes=1_000_000) as cache:
        with cache.begin(key) as work:
            cache.distrust()
            cache.store(work, b"of an older source", meta_of())
        assert await cache.find(key) is None


async def test_a_purge_ends_the_generation_of_what_it_covers_alone(tmp_path: Path) -> None:
    one, other = key_of(1), key_of(2)
    async with cache_in(tmp_path) as cache:

        def generations() -> tuple[object, object]:
            return cache.generation_of(one), cache.generation_of(other)

        seen = [generations()]
        await cache.purge(OfSource(one.source))
        seen.append(generations())
        assert seen[1][0] != seen[0][0]
        assert seen[1][1] == seen[0][1]
        await cache.purge(OfPrefix(""))
        seen.append(generations())
        await cache.purge(OfSource(one.source))
        seen.append(generations())
        cache.distrust()
        seen.append(generations())
        assert len({each for each, _ in seen}) == len(seen)
        assert len({each for _, each in seen}) == 3


async def test_a_flood_of_purges_keeps_no_more_than_some_generations(tmp_path: Path) -> None:
    async with cache_in(tmp_path) as cache:
        seen = set()
        for number in range(3):
            await cache.purge(OfSource("the one"))
            seen.add(cache.generation_of(Key("the one")))
            for place in range(10_000 if number == 1 else 0):
                cache._generations.purged(OfSource(str(place)))
        assert len(seen) == 3
        assert len(cache._generations._of_source) <= 10_000
