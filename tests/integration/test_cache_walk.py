"""The walk that makes the index agree with the directories, by itself: most of them do not exist in a small cache."""

from contextlib import closing
from pathlib import Path
from random import Random

from imgserve.engine.cache.index import Index
from imgserve.engine.cache.names import FAN, number_of, range_of
from imgserve.engine.cache.notes import Row
from imgserve.engine.cache.rebuild import Rebuild
from tests.integration.test_cache_store import store_in, write
from tests.support.caching import files, key_of

ALL = range_of(0, FAN - 1)


def test_the_index_learns_what_is_there_and_forgets_what_is_not(tmp_path: Path) -> None:
    with store_in(tmp_path) as store, closing(Index(tmp_path)) as index:
        here = [write(store, key_of(number)) for number in range(90)]
        gone = [Random(1).randbytes(24), *(bytes([first]) * 24 for first in (0, 1, 0x7F, 0xFE, 0xFF))]
        with index.transaction():
            index.put([Row(name, 4096, 1) for name in (*gone, *here[:5])] + [Row(here[5], 8192, 1)], [])
        rebuild = Rebuild(store)
        rebuild.begin(is_whole=False)
        rebuild.go_on(index, lambda: False)
        assert rebuild.is_whole
        assert index.between(ALL) == dict.fromkeys(here, 4096)


def test_an_entry_that_comes_while_the_walk_rests_stays_known(tmp_path: Path) -> None:
    """With a directory that did not exist when the walk began, in the part that is still to be walked."""
    with store_in(tmp_path) as store, closing(Index(tmp_path)) as index:
        here = [write(store, key_of(number)) for number in range(90)]
        rebuild = Rebuild(store)
        rebuild.begin(is_whole=False)
        rebuild.go_on(index, lambda: True)
        assert 0 < len(index.between(ALL)) < 90
        last = max(map(number_of, here))
        late = next(key for key in map(key_of, range(90, 100_000)) if number_of(key.name) > last)
        store.notes.take()
        write(store, late)
        index.apply(store.notes.take()[0])
        while not rebuild.is_whole:
            rebuild.go_on(index, lambda: True)
        assert index.between(ALL) == dict.fromkeys([*here, late.name], 4096)
        assert len(files(tmp_path)) == 91


def test_a_directory_that_goes_while_it_is_walked_is_empty(tmp_path: Path) -> None:
    with store_in(tmp_path) as store, closing(Index(tmp_path)) as index:
        here = [write(store, key_of(number)) for number in range(3)]
        rebuild = Rebuild(store)
        rebuild.begin(is_whole=False)
        for file in files(tmp_path):
            file.unlink()
            file.parent.rmdir()
        with index.transaction():
            index.put([Row(name, 4096, 1) for name in here], [])
        rebuild.go_on(index, lambda: False)
        assert index.between(ALL) == {}
