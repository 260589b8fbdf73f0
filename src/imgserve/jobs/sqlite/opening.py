"""A queue's file taken over by one server process: brought up to date, mended, watched. For ``queue``."""

import msgspec

from imgserve.clock import Clock
from imgserve.jobs.config import Config
from imgserve.jobs.sqlite import admission, backlog, heads, texts
from imgserve.jobs.sqlite import clock as clocks
from imgserve.jobs.sqlite.connection import Connection, transaction
from imgserve.jobs.sqlite.placeholders import KnownPlaceholders
from imgserve.jobs.sqlite.schema import migrate


class TakenOver(msgspec.Struct, frozen=True):
    """``id`` is the data directory's, ``epoch`` this server's among all that have had the file."""

    id: str
    epoch: int
    now: float


def take_over(db: Connection, start: float | Clock, config: Config, placeholders: KnownPlaceholders) -> TakenOver:
    """One transaction. ``start`` is the time, or a clock, which then goes on where the last server's ended."""
    with transaction(db):
        migrate(db)
        if isinstance(start, Clock):
            clocks.resume(db, start, config)
        now = start() if isinstance(start, Clock) else start
        texts.mend(db)
        clocks.spare_the_overdue(db, now)
        backlog.watch(db)
        heads.watch(db)
        placeholders.load(db)
        return TakenOver(db.execute("SELECT id FROM owner").get, admission.take_over(db, config, now), now)
