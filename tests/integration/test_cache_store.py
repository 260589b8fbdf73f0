"""The directory of a cache by itself: what is noted, what is durable, and what is nobody's entry."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from imgserve.engine.cache.entry import Header, Key, source_prefix
from imgserve.engine.cache.names import directory_of, number_of
from imgserve.engine.cache.purge import OfSource
from imgserve.engine.cache.store import Store
from tests.support.caching import NOW, cache_in, files, key_of, lose_index, meta_of, put_on_disk, settled


@contextmanager
def store_in(directory: Path) -> Iterator[Store]:
    store = Store(directory)
    with closing(store):
        store.open()
        yield store


def write(store: Store, key: Key) -> bytes:
    assert store.write(Header(key, meta_of()), b"picture", NOW, lambda: True)
    return key.name


def test_an_entry_that_goes_is_noted_as_gone_even_if_it_was_just_replaced(tmp_path: Path) -> None:
    with store_in(tmp_path) as store:
        name = write(store, key_of(1))
        store.notes.take()  # the index knows it, and gives it up; meanwhile it is stored again
        write(store, key_of(1))
        assert store.remove(name)
        assert store.notes.take()[0] == {name: None}
        assert not store.remove(name)
        assert store.notes.take()[0] == {name: None}, "else the index would give up the same row for ever"


def test_a_directory_is_listed_by_the_first_look_for_an_absent_entry(tmp_path: Path) -> None:
    with store_in(tmp_path) as store:
        assert store.lacks(key_of(1).name), "the cache is new"
        there = write(store, key_of(1))
        assert not store.lacks(there)
    with store_in(tmp_path) as store:
        assert not store.lacks(there)
        near = there[:-2] + bytes(byte ^ 1 for byte in there[-2:])
        assert not store.lacks(near)
        assert store.read(near, 1_000) is None
        assert store.lacks(near)
        assert store.read(there, 1_000) is not None
        assert not store.lacks(there)
        store.set_aside()
        assert store.lacks(there)
        assert not store.lacks(write(store, key_of(1)))


@pytest.mark.parametrize("count", [0, 1, 7, 100])
def test_many_are_deleted_at_once(tmp_path: Path, count: int) -> None:
    with store_in(tmp_path) as store:
        names = [write(store, key_of(number)) for number in range(count)]
        store.notes.take()
        kept = write(store, key_of(1000))
        assert store.remove_many([*names, key_of(2000).name]) == count
        assert [file.name for file in files(tmp_path)] == [kept.hex()]
        assert [name for name, note in store.notes.take()[0].items() if note is not None] == [kept]


def test_an_entry_stored_since_the_index_chose_it_stays(tmp_path: Path) -> None:
    """A purge of a prefix, or the cap, is over the entry that was there before."""
    with store_in(tmp_path) as store:
        names = [write(store, key_of(number)) for number in range(9)]
        store.notes.take()
        write(store, key_of(4))
        assert store.remove_many(names) == 8
        assert [file.name for file in files(tmp_path)] == [names[4].hex()]
        assert [name for name, note in store.notes.take()[0].items() if note is not None] == [names[4]]
        assert store.remove_many(names) == 1


def test_one_that_cannot_be_deleted_is_reported(tmp_path: Path) -> None:
    with store_in(tmp_path) as store:
        names = [write(store, key_of(number)) for number in range(50)]
        [bad] = [file for file in files(tmp_path) if file.name == names[0].hex()]
        bad.unlink()
        bad.mkdir()
        store.notes.take()
        with pytest.raises(OSError, match=bad.name):
            store.remove_many(names)
        assert files(tmp_path) == []
        assert store.notes.take()[0] == dict.fromkeys(names[1:])


async def test_what_only_looks_like_an_entry_is_neither_counted_nor_deleted(tmp_path: Path) -> None:
    """In a directory before its own, and in one behind it; and a directory in a file's place."""
    async with cache_in(tmp_path) as cache:
        await put_on_disk(cache, key_of(1), b"picture")
    own = number_of(key_of(2).name)
    for number in (0, own, 4095):
        at = tmp_path / "entries" / directory_of(number)
        at.mkdir(exist_ok=True)
        if number == own:
            (at / key_of(2).name.hex()).mkdir()
        else:
            (at / key_of(2).name.hex()).write_bytes(bytes(20_000))
    lose_index(tmp_path)
    async with cache_in(tmp_path, cap_bytes=4096) as cache:
        await settled(cache)
        assert cache.stats().entries == 0, "the picture was evicted, since it takes the whole cap"
        assert cache.stats().failures == 0
    assert len(files(tmp_path)) == 2


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that were synced, as they come."""
    paths = list[str]()
    fsync = os.fsync

    def recorded(fd: int) -> None:
        paths.append(os.readlink(f"/proc/self/fd/{fd}"))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", recorded)
    return paths


async def test_a_purge_makes_earlier_deletions_of_its_pictures_durable(tmp_path: Path, synced: list[str]) -> None:
    """Those of an eviction, or of a picture that is an error now: they are synced by nobody else, and after a power cut
    the purged picture would be there again.
    """
    source = key_of(1).source
    home = str(tmp_path / "entries" / directory_of(number_of(source_prefix(source))))
    async with cache_in(tmp_path) as cache:
        await put_on_disk(cache, key_of(1), b"picture")
        assert await cache.purge(OfSource(source)) == 1
        assert synced.count(home) == 1
        await cache.purge(OfSource(source))
        assert synced.count(home) == 1, "nothing has changed"
        await put_on_disk(cache, key_of(1), b"picture")
        await put_on_disk(cache, key_of(1), b"", meta_of("", status=404))
        assert files(tmp_path) == []
        assert await cache.purge(OfSource(source)) == 0
        assert synced.count(home) == 2
    async with cache_in(tmp_path) as cache:
        await cache.purge(OfSource(source))
        assert synced.count(home) == 3, "the last server may have been killed before its sync"


async def test_an_index_is_trusted_once_alone_even_after_a_power_cut(tmp_path: Path, synced: list[str]) -> None:
    async with cache_in(tmp_path) as cache:
        await put_on_disk(cache, key_of(1), b"picture")
        await settled(cache)
    assert (tmp_path / "index.whole").exists()
    synced.clear()
    async with cache_in(tmp_path):
        assert not (tmp_path / "index.whole").exists()
        assert str(tmp_path) in synced
