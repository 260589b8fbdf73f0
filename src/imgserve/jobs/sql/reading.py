"""The rows of jobs as people see them. For ``listing`` and ``feed``, and for ``webhooks`` inside a transaction.

The connection has the function ``as_text`` (``texts``), since a disk may have changed a text.
"""

from collections.abc import Collection

import msgspec

from imgserve.jobs.shown import StoredEntry, StoredEvent, StoredJob, StoredOutput, WallOf, timeline_of, view_of
from imgserve.jobs.sql.database import Reader, rows
from imgserve.jobs.sql.queries import load
from imgserve.jobs.views import MAX_TIMELINE, OperatorJobView

SQL = load("reading")


class Reading(msgspec.Struct, frozen=True):
    """A job as it is stored and shown, and the names of its outputs by their ids."""

    stored: StoredJob
    job: OperatorJobView
    names: dict[int, str]

    def name_of(self, output: int | None) -> str | None:
        return None if output is None else self.names.get(output)


def read(db: Reader, number: int, wall_of: WallOf, *, has_timeline: bool = False) -> Reading:
    reading = read_all(db, [number], wall_of)[number]
    if not has_timeline:
        return reading
    events = [StoredEvent(*row) for row in reversed(rows(db, SQL["newest_events"], (number, MAX_TIMELINE)))]
    timeline = timeline_of(reading.stored, reading.names, events, wall_of)
    return msgspec.structs.replace(reading, job=msgspec.structs.replace(reading.job, timeline=timeline))


def read_all(db: Reader, numbers: Collection[int], wall_of: WallOf) -> dict[int, Reading]:
    """By number. Three statements, however many jobs."""
    chosen = (msgspec.json.encode(list(numbers)).decode(),)
    outputs: dict[int, list[StoredOutput]] = {number: [] for number in numbers}
    entries: dict[int, list[StoredEntry]] = {number: [] for number in numbers}
    jobs = [StoredJob(*row) for row in rows(db, SQL["jobs"], chosen)]
    for number, *row in rows(db, SQL["outputs"], chosen):
        outputs[number].append(StoredOutput(*row))
    for number, *row in rows(db, SQL["entries"], chosen):
        entries[number].append(StoredEntry(*row))
    return {job.number: _reading(job, outputs[job.number], entries[job.number], wall_of) for job in jobs}


def _reading(
    job: StoredJob, outputs: list[StoredOutput], entries: list[StoredEntry], wall_of: WallOf
) -> Reading:  # fmt: skip
    view = view_of(job, outputs, entries, wall_of)
    return Reading(job, view, {output.id: seen.name for output, seen in zip(outputs, view.outputs, strict=True)})
