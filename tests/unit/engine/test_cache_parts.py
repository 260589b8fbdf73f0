"""Memory, the notes for the index, and the marks on work under way."""

from pathlib import Path
from random import Random

import apsw
import pytest

from imgserve.engine.cache import purge
from imgserve.engine.cache.entry import Header, Key, Meta
from imgserve.engine.cache.health import PAUSE_S, Health
from imgserve.engine.cache.index import Index, remove_index, take_over
from imgserve.engine.cache.memory import Hit, Memory, hit_of
from imgserve.engine.cache.names import FAN, directory_number, directory_of, number_of, range_of
from imgserve.engine.cache.notes import Notes, Row
from imgserve.engine.cache.parallel import each
from imgserve.engine.cache.purge import OfPrefix, OfRendering, OfSource, Record, Records, Scope, UnderWay, is_refused

META = Meta("image/png", '"e"', 0, 0)


def hit(source: str, size: int, rendering: str = "") -> Hit:
    return hit_of(Header(Key(source, rendering), META), bytes(size))


def test_memory_drops_the_least_recently_used() -> None:
    memory = Memory(100_000)
    for name in "abc":
        memory.put(hit(name, 10_000))
    assert memory.get(Key("a")) is not None
    for name in "defghi":
        memory.put(hit(name, 10_000))
    assert [name for name in "abcdefghi" if memory.get(Key(name)) is not None] == list("acdefghi")


def test_memory_counts_what_it_holds() -> None:
    memory = Memory(100_000)
    for size in (1, 12_000, 5):
        memory.put(hit("a", size))
    one = memory.size_bytes
    memory.put(hit("b", 100))
    assert memory.size_bytes > one + 100
    memory.drop(Key("b"))
    memory.drop(Key("b"))
    assert (memory.size_bytes, len(memory)) == (one, 1)
    memory.drop(Key("a"))
    assert (memory.size_bytes, len(memory)) == (0, 0)


def test_a_too_large_answer_takes_the_older_one_with_it() -> None:
    memory = Memory(100_000)
    memory.put(hit("a", 10))
    memory.put(hit("a", 50_000))
    assert memory.get(Key("a")) is None


@pytest.mark.parametrize(
    ("scope", "left"),
    [
        (OfSource("ab"), {"a", "abc"}),
        (OfSource("x"), {"a", "ab", "ab2", "abc"}),
        (OfRendering("ab", "2"), {"a", "ab", "abc"}),
        (OfPrefix("ab"), {"a"}),
        (OfPrefix(""), set()),
    ],
)
def test_scopes(scope: Scope, left: set[str]) -> None:
    memory = Memory(1_000_000)
    keys = {"a": Key("a"), "ab": Key("ab"), "ab2": Key("ab", "2"), "abc": Key("abc")}
    for key in keys.values():
        memory.put(hit_of(Header(key, META), b""))
    work = UnderWay()
    held = {name: work.begin(key, 1) for name, key in keys.items()}
    for one in held.values():
        work.hold(one)
    assert memory.purge(scope) == 4 - len(left)
    work.void(scope)
    assert {name for name, key in keys.items() if memory.get(key) is not None} == left
    assert {name for name, one in held.items() if not one.is_void} == left
    for one in held.values():
        work.release(one)
    assert len(work) == 0


def test_work_stays_until_its_last_holder_is_gone() -> None:
    work = UnderWay()
    one = work.begin(Key("a"), 1)
    with work.held(one):
        work.hold(one)
    work.void(OfSource("a"))
    assert one.is_void
    work.release(one)
    assert len(work) == 0


def test_records_outlive_their_server(tmp_path: Path) -> None:
    records = Records(tmp_path)
    assert not records.load()
    records.reset()
    for prefix in ("http://a/1", "http://b", "http://a"):
        records.add(prefix)
    assert not records.deletable
    records.marked(4)
    assert records.deletable == (Record("http://a", 4),)
    other = Records(tmp_path)
    assert other.load()
    assert other.deletable == other.pending
    assert other.pending == (Record("http://b", 3), Record("http://a", 4)), "a shorter prefix covers a longer one"
    assert is_refused(Header(Key("http://a/2"), META, 3), other.pending)
    assert not is_refused(Header(Key("http://a/2"), META, 4), other.pending)
    assert not is_refused(Header(Key("http://b/"), META, 3), other.pending)
    other.remove(other.pending[:1])
    assert other.deletable == (Record("http://a", 4),)
    other.remove(other.pending)
    again = Records(tmp_path)
    assert again.load()
    assert (again.pending, again.epoch) == ((), 4), "an epoch is never given again"


@pytest.mark.parametrize("text", ["", "{", '{"epoch": "x"}', "\x00" * 50])
def test_damaged_records_are_no_records(tmp_path: Path, text: str) -> None:
    (tmp_path / "purges.json").write_text(text)
    assert not Records(tmp_path).load()


def test_more_records_than_a_purge_should_write_become_one_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge, "_MOST_RECORDS", 3)
    records = Records(tmp_path)
    for number in range(3):
        records.add(f"https://a.test/{number}/")
    assert [record.prefix for record in records.pending] == [f"https://a.test/{number}/" for number in range(3)]
    assert records.add("https://a.test/1/") == 5
    assert [record.epoch for record in records.pending] == [2, 4, 5], "an equal one takes the place of the older"
    assert records.add("https://b.test/") == 6
    assert records.pending == (Record("", 6),)
    again = Records(tmp_path)
    assert again.load()
    assert again.pending == records.pending


def row(name: int, size: int = 10, used_at: int = 5, epoch: int = 1, source: str = "") -> Row:
    return Row(name.to_bytes(24), size, used_at, epoch, source or f"s{name}")


def test_the_last_note_counts() -> None:
    notes = Notes()
    notes.used(row(1).name, 3)
    notes.stored(row(1))
    notes.used(row(1).name, 9)
    notes.stored(row(2))
    notes.removed(row(2).name)
    notes.used(row(2).name, 9)
    notes.used(row(3).name, 9)
    taken, added, is_whole = notes.take()
    assert taken == {row(1).name: row(1), row(2).name: None, row(3).name: 9}
    assert (added, notes.added_bytes, notes.is_empty, is_whole) == (20, 20, True, True)
    notes.counted(added)
    assert notes.added_bytes == 0


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 100])
def test_results_of_many_threads_are_in_order(count: int) -> None:
    assert each(str, range(count)) == [str(number) for number in range(count)]


def test_notes_that_grow_too_many_are_known_to_be_lost() -> None:
    notes = Notes()
    for number in range(100_001):
        notes.used(row(number).name, 3)
    assert [notes.take()[2] for _ in range(2)] == [False, True]


def test_the_index_counts_and_orders(tmp_path: Path) -> None:
    index = Index(tmp_path)
    index.apply({each.name: each for each in (row(1, used_at=7), row(2, 20, 6), row(3, 30, 8))})
    index.apply({row(2).name: 9, row(3).name: row(3, 35, 1), row(4).name: 5, row(1).name: None})
    assert (index.is_new, index.totals()) == (True, (2, 55))
    assert index.oldest(5) == [(row(3).name, 35), (row(2).name, 20)], "a later use is never forgotten"
    index.close(is_whole=True)
    assert [take_over(tmp_path), take_over(tmp_path)] == [True, False]
    index = Index(tmp_path)
    assert (index.is_new, index.totals()) == (False, (2, 55))
    index.close()
    assert not take_over(tmp_path)
    remove_index(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_index_finds_prefixes_of_older_epochs(tmp_path: Path) -> None:
    index = Index(tmp_path)
    sources = ["a/1", "a/2", "a", "b", "a\u00e9", "A/1", "a_1", "a%1"]
    rows = [row(number, epoch=number % 2 + 1, source=source) for number, source in enumerate(sources)]
    index.apply({each.name: each for each in rows})

    def found(prefix: str, epoch: int) -> set[str | None]:
        names = index.of_prefix(prefix, epoch, 100)
        return {each.source for each in rows if each.name in names}

    assert found("a/", 3) == {"a/1", "a/2"}
    assert found("a/", 2) == {"a/1"}
    assert found("a_", 3) == {"a_1"}
    assert found("", 3) == set(sources)
    assert found("a", 3) == {source for source in sources if source.startswith("a")}
    index.close()


def test_the_index_knows_whose_source_it_does_not_know(tmp_path: Path) -> None:
    index = Index(tmp_path)
    unread = [Row(row(number).name, 10, 5) for number in (1, 2)]
    index.put([*unread, row(3)], [])
    index.put([row(2)], [])
    assert index.unread(b"", 10) == unread[:1]
    assert index.unread(unread[0].name, 10) == []
    assert index.of_prefix("", 9, 10) == [row(2).name, row(3).name]
    assert index.between(range_of(0, 0)) == {row(number).name: 10 for number in (1, 2, 3)}
    index.close()


def test_a_large_index_takes_little_memory_but_for_a_rebuild(tmp_path: Path) -> None:
    """A name is a digest, so that each row is in another page."""
    before, index = apsw.memory_used(), Index(tmp_path)
    random = Random(1)

    def held_bytes() -> int:
        index.apply(
            {name: Row(name, 10, 5, source=name.hex()) for name in (random.randbytes(24) for _ in range(50_000))}
        )
        return apsw.memory_used() - before

    assert held_bytes() < 4_000_000
    index.hold_pages(for_rebuild=True)
    assert held_bytes() > 8_000_000
    index.hold_pages(for_rebuild=False)
    assert apsw.memory_used() - before < 4_000_000
    index.close()


def test_each_name_is_in_the_range_of_its_directory() -> None:
    for number in (0, 1, 15, 16, 2047, FAN - 1):
        low, high = range_of(number, number)
        for name in (low + bytes(22), low[:1] + bytes([low[1] | 15]) + b"\xff" * 22):
            assert number_of(name) == number
            assert low <= name < high
        assert number_of(bytes.fromhex(f"{number:03x}5" + "00" * 22)) == number


def test_directories_are_known_by_their_names() -> None:
    for number in (0, 1, 0x3FA, FAN - 1):
        assert directory_number(directory_of(number)) == number
    for text in ("", "1", "0x1", "3FA", " 3f", "+01", "0_1", "fff0", "1000", "-01", "words", "\u0661\u0661\u0661"):
        assert directory_number(text) is None, text


def test_a_failing_disk_is_left_alone_for_a_while() -> None:
    now = 100.0
    health = Health("test", lambda: now)
    assert health.may_write
    health.failed("entries", "the disk is full", "free disk space")
    health.failed("index", "SQLite reports: full", "")
    assert not health.may_write
    assert [state.detail for state in health.states()] == [
        "the entries of the cache for test cannot be written: the disk is full",
        "the index of the cache for test cannot be written: SQLite reports: full",
    ]
    now += PAUSE_S
    assert health.may_write, "to see whether it is well again"
    health.worked("entries")
    assert health.is_failing("index")
    health.worked("index")
    assert list(health.states()) == []
