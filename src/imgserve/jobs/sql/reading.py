"""One job's rows as people see it. For ``listing`` and ``feed``, and for ``webhooks`` inside a transaction.

The connection has the function ``as_text`` (``texts``), since a disk may have changed a text.
"""

import msgspec

from imgserve.jobs.shown import StoredEntry, StoredEvent, StoredJob, StoredOutput, WallOf, timeline_of, view_of
from imgserve.jobs.sql.database import Reader, rows
from imgserve.jobs.sql.queries import load
from imgserve.jobs.views import MAX_TIMELINE, OperatorJobView

SQL = load("reading")


class Reading(msgspec.Struct, frozen=True):
    """A job, and the names of its outputs by their ids."""

    job: OperatorJobView
    names: dict[int, str]

    def name_of(self, output: int | None) -> str | None:
        return None if output is None else self.names.get(output)


def read(db: Reader, number: int, wall_of: WallOf, *, has_timeline: bool = False) -> Reading:
    job = StoredJob(*db.execute(SQL["job"], (number,)).get)
    outputs = [StoredOutput(*row) for row in rows(db, SQL["outputs"], (number,))]
    entries = [StoredEntry(*row) for row in rows(db, SQL["entries"], (number,))]
    view = view_of(job, outputs, entries, wall_of)
    names = {output.id: seen.name for output, seen in zip(outputs, view.outputs, strict=True)}
    if has_timeline:
        events = [StoredEvent(*row) for row in reversed(rows(db, SQL["newest_events"], (number, MAX_TIMELINE)))]
        view = msgspec.structs.replace(view, timeline=timeline_of(job, names, events, wall_of))
    return Reading(view, names)
