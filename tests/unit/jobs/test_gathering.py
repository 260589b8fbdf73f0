"""When a commit waits for more changes."""

import asyncio

import pytest

from imgserve.jobs.sql.gathering import MANY, Gathering

NEVER_S = 3600.0


def gathering(jobs: int, apart_s: float = NEVER_S) -> tuple[Gathering, asyncio.Event]:
    """With so many jobs under way, and an event that its end sets."""
    begun = asyncio.Event()
    one = Gathering(apart_s, begun.set)
    one.under_way = lambda: jobs
    return one, begun


async def test_the_first_commit_waits_for_nothing() -> None:
    one, _ = gathering(16)
    assert not one.waits(1)
    assert not one.is_waiting


async def test_while_few_jobs_are_under_way_no_commit_waits() -> None:
    one, _ = gathering(MANY - 1)
    one.began()
    assert not one.waits(1)


async def test_while_many_are_the_next_commit_waits_for_half_of_them() -> None:
    one, begun = gathering(16)
    one.began()
    assert all(one.waits(changes) for changes in range(1, 8))
    assert one.is_waiting
    assert not one.waits(8)
    assert not one.is_waiting
    assert not begun.is_set(), "the caller begins it"


async def test_a_commit_that_waits_is_begun_when_its_time_is_over() -> None:
    one, begun = gathering(16, 0.001)
    one.began()
    assert one.waits(1)
    await begun.wait()
    assert not one.is_waiting
    assert not one.waits(1), "it has waited"


async def test_jobs_that_have_ended_are_not_waited_for() -> None:
    one, _ = gathering(16)
    one.began()
    assert one.waits(1)
    one.under_way = lambda: MANY - 1
    assert not one.waits(1)
    assert not one.is_waiting


@pytest.mark.parametrize("jobs", [0, 1, MANY, 1000])
async def test_a_store_without_a_distance_never_waits(jobs: int) -> None:
    one, _ = gathering(jobs, 0.0)
    one.began()
    assert not one.waits(1)
