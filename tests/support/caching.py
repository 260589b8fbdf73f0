"""Caches with a clock of the test's own, and answers for them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from imgserve.blob import Blob
from imgserve.engine.cache.cache import Cache
from imgserve.engine.cache.entry import Key, Meta
from imgserve.engine.cache.memory import Hit
from tests.support.sizes import PATIENCE_S

NOW = 1_800_000_000.0
PAUSE_S = 0.5


class Clock:
    def __init__(self) -> None:
        self.now_s = NOW

    def __call__(self) -> float:
        return self.now_s


def key_of(number: int, rendering: str = "w:100", variant: str = "") -> Key:
    return Key(f"http://source.test/{number % 10}/{number}.jpg", rendering, variant, "imgserve 1")


def meta_of(etag: str = '"1"', **fields: object) -> Meta:
    return msgspec.structs.replace(Meta("image/jpeg", etag, NOW, NOW + 60), **fields)


@asynccontextmanager
async def cache_in(
    directory: Path,
    cap_bytes: int = 10_000_000,
    memory_bytes: int = 0,
    min_free_bytes: int = 0,
    clock: Clock | None = None,
) -> AsyncIterator[Cache]:
    cache = Cache("test", directory, cap_bytes, memory_bytes, min_free_bytes, clock or Clock(), PAUSE_S)
    await cache.open()
    try:
        yield cache
    finally:
        await cache.close()


def put(cache: Cache, key: Key, body: bytes | Blob, meta: Meta | None = None) -> None:
    with cache.begin(key) as work:
        cache.store(work, body, meta or meta_of())


async def put_on_disk(cache: Cache, key: Key, body: bytes | Blob, meta: Meta | None = None) -> None:
    put(cache, key, body, meta)
    await cache.written()


async def body_of(cache: Cache, key: Key) -> bytes | None:
    """What a client would be sent."""
    hit = await cache.find(key)
    if hit is None:
        return None
    with hit:
        return bytes_of(hit)


def bytes_of(hit: Hit) -> bytes:
    return hit.body if isinstance(hit.body, bytes) else hit.body.read()


async def settled(cache: Cache) -> None:
    """The index knows all, and nothing is left to be deleted."""
    await cache.written()

    def is_reached() -> bool:
        if is_settled(cache):
            return True
        cache.upkeep.wake()
        return False

    await until(is_reached)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


def is_settled(cache: Cache) -> bool:
    stats = cache.stats()
    return stats.is_whole and stats.purging == 0 and cache.upkeep.is_idle


def files(directory: Path) -> list[Path]:
    return sorted(path for path in (directory / "entries").rglob("*") if path.is_file())


def stored_bytes(directory: Path) -> int:
    """What the entries' files take on the disk, those that go meanwhile left out."""
    found = 0
    for file in files(directory):
        with suppress(FileNotFoundError):
            found += file.stat().st_blocks * 512
    return found


def lose_index(directory: Path) -> None:
    for file in directory.glob("index.sqlite*"):
        file.unlink()
