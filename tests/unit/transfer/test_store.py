"""The store of picture bytes: what is kept, and what is closed first."""

from imgserve.transfer.store import SMALLEST_CHARGE_BYTES, Store

UNIT = SMALLEST_CHARGE_BYTES


class Values:
    """``closed`` are the names of those that were closed, in their order."""

    def __init__(self, capacity_bytes: int = 10**9, capacity: int = 1_000_000) -> None:
        self.store: Store[Value] = Store(capacity_bytes, capacity)
        self.closed = ""

    def keep(self, name: str, size_bytes: int = 1, group: str = "", value: str = "") -> None:
        self.store.keep(name, Value(self, value or name.upper()), size_bytes, group)

    def take(self, name: str) -> str | None:
        value = self.store.take(name)
        return None if value is None else value.name


class Value:
    def __init__(self, values: Values, name: str) -> None:
        self.values = values
        self.name = name

    def close(self) -> None:
        self.values.closed += self.name


def test_the_store_closes_the_oldest() -> None:
    values = Values(10 * UNIT)
    values.keep("a", 6 * UNIT)
    values.keep("b", 4 * UNIT)
    values.keep("c", 3 * UNIT)
    assert values.closed == "A"
    assert values.take("a") is None
    assert values.take("b") == "B"
    assert values.take("b") is None
    values.keep("c", 5 * UNIT, value="D")
    assert values.closed == "AC"
    assert values.store.size_bytes == 5 * UNIT
    values.keep("e", 10 * UNIT + 1)
    assert values.closed == "ACE"
    assert values.take("e") is None
    assert values.take("c") == "D"
    assert values.store.size_bytes == 0
    values.keep("f", 1)
    assert values.store.size_bytes == UNIT
    values.keep("g", 1)
    values.store.close()
    assert values.store.size_bytes == 0
    assert values.closed == "ACEFG"


def test_the_store_keeps_no_more_than_so_many_and_the_newest_of_a_group() -> None:
    values = Values(capacity=3)
    for name in "abcd":
        values.keep(name)
    assert values.closed == "A"
    values.keep("e", group="there")
    values.keep("f", group="there")
    assert values.closed == "ABE"
    assert values.take("f") == "F"
    values.keep("g", group="there")
    values.keep("g", group="elsewhere", value="X")
    assert values.closed == "ABEG"
    values.keep("h", group="there")
    assert values.closed == "ABEGC"
    assert [values.take(name) for name in "cdgh"] == [None, "D", "X", "H"]
    assert values.store.size_bytes == 0


def test_one_too_large_closes_no_others() -> None:
    values = Values(3 * UNIT)
    values.keep("a", 3 * UNIT)
    values.keep("b", 4 * UNIT, group="there")
    assert values.closed == "B"
    assert values.take("a") == "A"


def test_a_value_that_was_looked_at_goes_last() -> None:
    values = Values(capacity=2)
    values.keep("a")
    values.keep("b")
    looked_at = values.store.get("a")
    assert looked_at is not None
    values.keep("c")
    assert values.closed == "B"
    assert values.take("a") == looked_at.name == "A"
    assert values.store.get("a") is None
