"""The data directory or a file in it is moved, removed or replaced under the server: no job is accepted and lost."""

from collections.abc import Callable
from pathlib import Path

import pytest

from imgserve.jobs.queue import StorageFailing
from imgserve.jobs.sqlite import FILE_NAME, SqliteQueue
from tests.queues import SqliteHouse, accepted, claimed, ended, output, released

OTHER = output("http://place.test:80/b.png")


def move(place: Path) -> None:
    place.rename(place.with_name(f"{place.name}.away"))


def back(place: Path) -> None:
    if place.exists():
        place.unlink()
    place.with_name(f"{place.name}.away").rename(place)


def replace(place: Path) -> None:
    move(place)
    place.write_bytes(b"")


@pytest.mark.parametrize(
    ("name", "trouble", "told"),
    [
        ("", move, "was moved or removed under the server"),
        ("lock", move, "lock was removed under the server"),
        ("lock", replace, "lock was replaced under the server"),
        (FILE_NAME, move, f"{FILE_NAME} was removed under the server"),
        (FILE_NAME, replace, f"{FILE_NAME} was replaced under the server"),
        (f"{FILE_NAME}-wal", move, f"{FILE_NAME}-wal was removed under the server"),
    ],
)
async def test_nothing_is_accepted_until_it_is_back(
    tmp_path: Path, name: str, trouble: Callable[[Path], None], told: str
) -> None:
    house = SqliteHouse(tmp_path / "data")
    house.data_dir.mkdir()
    queue = await house.open()
    assert isinstance(queue, SqliteQueue)
    entry = await released(queue)
    claim = await claimed(queue)
    place = house.data_dir / name
    trouble(place)
    with pytest.raises(StorageFailing) as refused:
        await accepted(queue, OTHER)
    assert told in refused.value.detail
    assert refused.value.hint
    with pytest.raises(StorageFailing):
        await queue.settle(ended(claim, "delivered"), 1.0)
    assert [(state.name, state.detail) for state in queue.states()] == [("storage_failing", refused.value.detail)]
    back(place)
    assert (await accepted(queue, OTHER)).number == entry.number + 1
    assert list(queue.states()) == []
    await house.close()


async def test_it_is_told_without_anybody_asking_for_a_commit(house: SqliteHouse) -> None:
    queue = await house.open()
    assert isinstance(queue, SqliteQueue)
    (house.data_dir / "lock").unlink()
    assert [state.name for state in queue.states()] == ["storage_failing"]
