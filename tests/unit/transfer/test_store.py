"""The store of picture bytes: what is kept, and what goes first."""

from imgserve.transfer.store import SMALLEST_CHARGE_BYTES, Store


def test_the_store_drops_the_oldest() -> None:
    unit = SMALLEST_CHARGE_BYTES
    store: Store[str] = Store(10 * unit)
    store.keep("a", "A", 6 * unit)
    store.keep("b", "B", 4 * unit)
    store.keep("c", "C", 3 * unit)
    assert store.take("a") is None
    assert store.take("b") == "B"
    assert store.take("b") is None
    store.keep("c", "C2", 5 * unit)
    assert store.size_bytes == 5 * unit
    store.keep("huge", "H", 10 * unit + 1)
    assert store.take("huge") is None
    assert store.take("c") == "C2"
    assert store.size_bytes == 0
    store.keep("small", "S", 1)
    assert store.size_bytes == unit


def test_the_store_keeps_no_more_than_so_many_and_the_newest_for_a_place() -> None:
    dropped: list[str] = []
    store: Store[str] = Store(10**9, 3, on_drop=dropped.append)
    for name in "abcd":
        store.keep(name, name.upper(), 1)
    assert dropped == ["A"]
    store.keep("e", "E", 1, "there")
    store.keep("f", "F", 1, "there")
    assert dropped == ["A", "B", "E"]
    assert store.take("f") == "F"
    store.keep("g", "G", 1, "there")
    store.keep("g", "G2", 1, "elsewhere")
    assert dropped == ["A", "B", "E", "G"]
    store.keep("h", "H", 1, "there")
    assert dropped == ["A", "B", "E", "G", "C"]
    assert [store.take(name) for name in "cdgh"] == [None, "D", "G2", "H"]
    assert store.size_bytes == 0


def test_a_value_that_was_looked_at_goes_last() -> None:
    store: Store[str] = Store(10**9, 2)
    store.keep("a", "A", 1)
    store.keep("b", "B", 1)
    assert store.get("a") == "A"
    store.keep("c", "C", 1)
    assert [store.get(name) for name in "abc"] == ["A", None, "C"]
    assert store.take("a") == "A"
    assert store.get("a") is None
