"""Watches of events begin and end while transactions run in the committer's thread."""

import asyncio

from imgserve.jobs.sql.watches import EventWatch, Watches


async def is_woken(watch: EventWatch) -> bool:
    waiting = asyncio.create_task(watch.until_more(60.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    return waiting.done()


async def test_a_commit_that_was_under_way_when_a_watch_began_wakes_it() -> None:
    """Its transactions saw nobody who watches, and noted nothing."""
    watches = Watches()
    assert not watches
    with watches.watch("ann", "") as watch:
        assert watches
        watches.committed()
        assert await is_woken(watch)
        watches.committed()
        assert not await is_woken(watch)
        watches.note("ann", "job")
        watches.committed()
        assert await is_woken(watch)
    assert not watches


async def test_events_that_were_undone_wake_nobody() -> None:
    watches = Watches()
    with watches.watch(None, "") as watch:
        watches.committed()
        assert await is_woken(watch)
        watches.note("ann", "job")
        watches.rolled_back()
        watches.committed()
        assert not await is_woken(watch)
