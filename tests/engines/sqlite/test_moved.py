"""The data directory or a file in it is moved, removed or replaced under the server: no job is accepted and lost."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.sqlite.datadir import OpenFiles
from imgserve.jobs.sqlite.queue import FILE_NAME, SqliteQueue
from tests.support.queues import accepted, claimed, ended, output, released
from tests.support.sqlite import SqliteHouse

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
    await house.crash()


async def test_it_is_told_without_anybody_asking_for_a_commit(house: SqliteHouse) -> None:
    queue = await house.open()
    assert isinstance(queue, SqliteQueue)
    (house.data_dir / "lock").unlink()
    assert [state.name for state in queue.states()] == ["storage_failing"]


async def test_a_move_in_the_same_tick_as_another_change_is_found(tmp_path: Path) -> None:
    """The kernel's clock for files goes on every few milliseconds: two changes may leave the same time."""
    for turn in range(20):
        place = tmp_path / str(turn)
        place.mkdir()
        for name in ("lock", FILE_NAME):
            (place / name).touch()
        files = OpenFiles(place, FILE_NAME)
        (place / "other").touch()
        assert files.look_again() is None
        (place / FILE_NAME).rename(tmp_path / f"{turn}.away")
        assert files.look_again() is not None


async def test_a_move_is_found_although_the_directorys_time_was_put_back(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).touch()
    long_ago = 1_000_000_000
    os.utime(tmp_path, ns=(long_ago, long_ago))
    files = OpenFiles(tmp_path, FILE_NAME)
    assert files.look_again() is None
    move(tmp_path / FILE_NAME)
    os.utime(tmp_path, ns=(long_ago, long_ago))
    assert files.look_again() is not None


@pytest.mark.parametrize("name", ["lock", FILE_NAME])
async def test_a_move_of_what_a_link_leads_to_is_found(tmp_path: Path, name: str) -> None:
    """Nothing changes in the data directory itself."""
    place, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    place.mkdir()
    elsewhere.touch()
    (place / name).symlink_to(elsewhere)
    files = OpenFiles(place, FILE_NAME)
    assert files.look_again() is None
    move(elsewhere)
    assert files.look_again() is not None
    back(elsewhere)
    assert files.look_again() is None
