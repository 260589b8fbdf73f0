"""What is known to be absent from a cache's directory: never an entry that is there."""

import os
import random

from imgserve.engine.cache.absent import Absent
from imgserve.engine.cache.names import FAN, number_of

HERE, THERE = 0x3FA, 0x3FB


def name_in(number: int) -> bytes:
    return (number << 4).to_bytes(2) + os.urandom(22)


def test_a_directory_that_does_not_exist_has_no_entries() -> None:
    absent = Absent([HERE])
    assert not absent.lacks(name_in(HERE)), "nobody has looked there yet"
    assert all(absent.lacks(name_in(number)) for number in range(FAN) if number != HERE)


def test_what_is_there_is_never_lacking() -> None:
    choice = random.Random(1)
    absent, there = Absent([HERE]), set[bytes]()
    absent.listed(HERE, ())
    for _ in range(2_000):
        name = name_in(choice.choice([HERE, THERE]))
        match choice.randrange(4):
            case 0 if there:
                gone = there.pop()
                absent.removed(gone)
                if not absent.is_listed(number_of(gone)):
                    absent.listed(number_of(gone), [one for one in there if number_of(one) == number_of(gone)])
            case _ if len(there) < 300:
                absent.added(name)
                there.add(name)
        assert not any(map(absent.lacks, there))
    unknown = [name_in(HERE) for _ in range(1_000)]
    assert sum(map(absent.lacks, unknown)) > 600, "300 entries in two directories take less than a third of the bits"


def test_bits_of_removed_names_go_with_a_listing() -> None:
    absent = Absent(())
    names = [name_in(HERE) for _ in range(40)]
    for name in names:
        absent.added(name)
    for name in names:
        assert not absent.lacks(name)
        absent.removed(name)
    assert not absent.is_listed(HERE)
    absent.listed(HERE, ())
    assert absent.is_listed(HERE)
    assert all(map(absent.lacks, names))
