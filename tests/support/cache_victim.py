"""A process that uses a cache until it is killed. Its standard output says, line by line, what has returned.

python -m tests.support.cache_victim DIRECTORY FAILPOINT NTH SEED

It is killed when it comes to the failpoint for the NTH time after its first entries; 0: while it opens the cache.
"""

import asyncio
import random
import sys
from pathlib import Path

from imgserve import failpoint
from imgserve.engine.cache.entry import Key
from imgserve.engine.cache.purge import OfPrefix, OfSource
from tests.support.caching import Clock, cache_in, meta_of, put, settled

CAP_BYTES = 100_000


def keys() -> list[Key]:
    return [Key(f"http://s.test/{number % 3}/{number % 12}", f"w:{number // 12}") for number in range(48)]


def body_of(key: Key, version: int) -> bytes:
    """Which can be told from any other key's, and from any other version's."""
    return random.Random(f"{key} {version}").randbytes(3000 + version % 7000)


def say(word: str, *fields: object) -> None:
    sys.stdout.write(" ".join(map(str, (word, *fields))) + "\n")
    sys.stdout.flush()


async def main(directory: Path, point: str, nth: int, seed: int) -> None:
    chance, everything = random.Random(seed), keys()
    version = seed * 1_000_000
    if point and not nth:
        failpoint.arm(point, 1)
    async with cache_in(directory, CAP_BYTES, memory_bytes=50_000, clock=Clock()) as cache:
        for number in range(8):  # so that something is there to be found, whenever the end comes
            version += 1
            say("storing", number, version)
            put(cache, everything[number], body_of(everything[number], version), meta_of())
        await settled(cache)
        if point:
            failpoint.arm(point, nth)
        while True:
            for _ in range(chance.randrange(8)):
                version += 1
                number = chance.randrange(len(everything))
                say("storing", number, version)
                put(cache, everything[number], body_of(everything[number], version), meta_of())
            if chance.random() < 0.5:
                await cache.written()
            number = chance.randrange(len(everything))
            if chance.random() < 0.7 or "evict" in point:  # purges leave nothing to evict
                await settled(cache)
            elif chance.random() < 0.7:
                await cache.purge(OfSource(everything[number].source))
                say("purged", everything[number].source)
            else:
                prefix = everything[number].source[: chance.choice([0, 15])]
                await cache.purge(OfPrefix(prefix))
                say("purged_prefix", prefix)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
