"""The promise as rules over what destinations were sent and what the queue says. Returns sentences; none is good.

``entries`` are the jobs that were accepted, as the queue has them; ``writes`` all that one destination took, in
order; ``at_rest`` is what lies there in the end, None for nothing.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.chaos.receiving import UNSEEN, Write
from tests.chaos.stored import Select, Stored, number_of

ENDS = {"succeeded", "failed", "cancelled", "superseded"}


class Entry(NamedTuple):
    """A job with its one output. ``job`` is the tests' number, ``number`` the queue's."""

    number: int
    job: int
    status: str
    error: str
    attempts: int
    crashes: int
    placeholder: str
    outbox: str
    outbox_attempts: int


def entries_of(data_dir: Path) -> tuple[Entry, ...]:
    """Those of a queue's file, oldest first; may be asked while the server runs."""
    return entries_in(Stored(data_dir).select)


def entries_in(select: Select) -> tuple[Entry, ...]:
    rows = select(
        "SELECT number, spec, job.status, error, output.attempts, crashes, placeholder,"
        " coalesce(outbox.state, 'none'), coalesce(outbox.attempts, 0) FROM job"
        " JOIN output ON output.job = job.number LEFT JOIN outbox ON outbox.output = output.id ORDER BY number"
    )
    return tuple(Entry(number, number_of(spec), *rest) for number, spec, *rest in rows)


def judge(
    place: str, entries: Sequence[Entry], writes: Sequence[Write], at_rest: Write | None, *, is_form: bool
) -> list[str]:
    """What is wrong at one destination, with what led to it. A write that nobody saw may have been any."""
    unseen = sum(write.kind == UNSEEN for write in writes)
    writes = [write for write in writes if write.kind != UNSEEN]
    faults = list(_ends(entries, writes, is_form=is_form))
    missing = list(_missing(entries, writes))
    faults += missing if len(missing) > unseen else []
    ranks = {entry.job: entry.number for entry in entries}
    first = {entry.job: entry.number for entry in reversed(entries)}
    strangers = [
        write for write in writes if write.job not in ranks or write.kind not in ("placeholder", "final", "failed")
    ]
    faults += [f"came from no accepted job: {write}" for write in strangers]
    if not strangers:
        posted = Counter(entry.job for entry in entries)
        faults += _order(ranks, first, posted, writes, is_form=is_form)
    if writes and at_rest != writes[-1]:
        faults.append(f"the last write was {writes[-1]}, there lies {at_rest}")
    if not faults:
        return []
    told = "\n  ".join([*faults, *map(str, entries), *(f"{write.job} {write.kind}" for write in writes)])
    return [f"{place}:\n  {told}"]


def _ends(entries: Sequence[Entry], writes: Sequence[Write], *, is_form: bool) -> Iterator[str]:
    """Each accepted job has one end, and its destination shows it."""
    for entry in entries:
        if entry.status not in ENDS:
            yield f"job {entry.job} is still {entry.status}"
        if entry.outbox in ("pending", "abandoned"):
            yield f"job {entry.job} still owes a failure picture"
        if entry.status == "superseded" and (is_form or entry is entries[-1]):
            yield f"job {entry.job} is superseded by nobody"
    if entries and not is_form:
        newest = entries[-1]
        wanted = {"succeeded": "final", "failed": "failed"}.get(newest.status)
        last = (writes[-1].job, writes[-1].kind) if writes else None
        if last != (newest.job, wanted):
            yield f"expected the {wanted} of job {newest.job} last, it is {last}"


def _missing(entries: Sequence[Entry], writes: Sequence[Write]) -> Iterator[str]:
    kinds = {(write.job, write.kind) for write in writes}
    for entry in entries:
        if entry.status == "succeeded" and (entry.job, "final") not in kinds:
            yield f"job {entry.job} succeeded, its picture never came"
        if entry.outbox == "done" and (entry.job, "failed") not in kinds:
            yield f"job {entry.job} is done, its failure picture never came"


def _order(
    ranks: dict[int, int], first: dict[int, int], posted: Counter[int], writes: Sequence[Write], *, is_form: bool
) -> Iterator[str]:
    """Nothing comes after what must stay last: the same job's end, or the final of a newer job.

    A job that had failed before its caller asked again is not adopted: what is posted then begins anew, and the failure
    before it may be the one that was posted ``first``, before a job that came in between.
    """
    ended: dict[int, str] = {}
    for write in writes:
        for job, kind in ended.items():
            begins_anew = kind == "failed" and posted[job] > 1
            is_older = ranks[write.job] < (first if begins_anew else ranks)[job] and not is_form
            is_own = write.job == job and write.kind != kind and not begins_anew
            if is_older or is_own:
                yield f"the {write.kind} of job {write.job} came after the {kind} of job {job}"
        if write.kind in ("final", "failed"):
            ended.setdefault(write.job, write.kind)
