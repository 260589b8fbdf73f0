"""Native jobs with several outputs, one picture each, at destinations of all kinds: how they are posted and judged.

Each output has a number of its own, by whose size its pictures are known (``receiving``).
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from examples.receivers import Behaviour

from tests.chaos.lane import KINDS, Kind, Lane, Place
from tests.chaos.receiving import shown, size_of
from tests.chaos.stored import number_of
from tests.support.native import Answer, Caller

State = Literal["placeholder", "final"]


class Posted(NamedTuple):
    """A job of a lane: the numbers of its outputs and their places. The last one is at a place that refuses it."""

    numbers: range
    places: tuple[Place, ...]


class OutputEntry(NamedTuple):
    number: int
    job: str
    is_activated: bool
    status: str
    outbox: str


def places_of(lane: Lane, name: str, count: int, first: Kind) -> tuple[Place, ...]:
    """Of all kinds in turn; the last one is a PUT."""
    kinds = [KINDS[(index + KINDS.index(first)) % len(KINDS)] for index in range(count - 1)]
    return tuple(lane.place(kind, f"{name}-{index}") for index, kind in enumerate((*kinds, "put")))


def prepared(lane: Lane, name: str, count: int, refuses: State = "final", first: Kind = "file") -> Posted:
    """A job whose last destination refuses this state of a picture."""
    start = max(lane.posted, default=-1) + 1
    posted = Posted(range(start, start + count), places_of(lane, name, count, first))
    lane.posted.update(zip(posted.numbers, posted.places, strict=True))
    lane.web.behave(f"/{posted.places[-1].name}", Behaviour(status=403, kinds=("PUT",), states=(refuses,)))
    return posted


def native_job(lane: Lane, posted: Posted, source: str) -> dict[str, object]:
    outputs = []
    for number, place in zip(posted.numbers, posted.places, strict=True):
        width, height = size_of(number)
        destination: dict[str, object] = {"url": place.url}
        destination |= {"put": {"method": "PUT"}, "form": {"field_name": "image_file"}}.get(place.kind, {})
        outputs.append(
            {
                "operations": [{"operation": "resize", "width": width, "height": height}],
                "destination": destination if len(destination) > 1 else place.url,
                "placeholder": {"style": "text", "color": "#e0e000"},
            }
        )
    return {"source": f"{lane.sources.url}/{source}", "outputs": outputs}


def post(lane: Lane, job: dict[str, object], key: str = "") -> Answer | None:
    """None when the server went away before it answered."""
    headers = {"Idempotency_Key": key} if key else {}
    try:
        return Caller(lane.daemon).submit(job, **headers)
    except OSError:
        return None


def accept(lane: Lane, posted: Posted, source: str) -> None:
    answer = post(lane, native_job(lane, posted, source))
    assert answer is not None, "no answer"
    assert answer.status == 202, answer


def entries_of(lane: Lane, posted: Posted) -> tuple[OutputEntry, ...]:
    """None for a job that was never stored, or refused without a trace."""
    rows = lane.stored.select(
        "SELECT spec, job.status, is_activated, output.status, coalesce(outbox.state, 'none') FROM job"
        " JOIN output ON output.job = job.number LEFT JOIN outbox ON outbox.output = output.id"
    )
    found = [(number_of(spec), *rest) for spec, *rest in rows]
    return tuple(
        OutputEntry(number, job, bool(is_activated), status, outbox)
        for number, job, is_activated, status, outbox in found
        if number in posted.numbers
    )


def is_over(lane: Lane, posted: Posted) -> bool:
    entries = entries_of(lane, posted)
    return all(entry.job in ("succeeded", "failed") and entry.outbox != "pending" for entry in entries)


def faults(lane: Lane, posted: Posted, *, refuses: str) -> Iterator[str]:
    """What is wrong with a job that is over, whose last destination refuses this state of a picture."""
    entries = {entry.number: entry for entry in entries_of(lane, posted)}
    is_refused = not entries or not any(entry.is_activated for entry in entries.values())
    for number, place in zip(posted.numbers, posted.places, strict=True):
        at_rest = shown(place.name, place.path.read_bytes()) if place.path.exists() else None
        kind = None if at_rest is None else at_rest.kind
        is_refusing = refuses == "final" and number == posted.numbers[-1]
        if is_refused:
            expected = "failed" if place.kind == "form" and lane.writes_to(place) else None
        else:
            expected = "failed" if is_refusing else "final"
            status = "failed" if is_refusing else "delivered"
            if entries[number].status != status:
                yield f"output {number} is {entries[number].status}, expected {status}"
        if kind != expected:
            yield f"at {place.name} lies {kind}, expected {expected}"
        if at_rest is not None and at_rest.job != number:
            yield f"at {place.name} lies a picture of {at_rest.job}, expected one of {number}"
        kinds = [write.kind for write in lane.writes_to(place)]
        if "final" in kinds and {"placeholder", "failed"} & set(kinds[kinds.index("final") :]):
            yield f"{place.name} was sent {kinds}"
    yield from (*lane.web_log.faults, *lane.ftp_log.faults)
    yield from (f"left behind: {path}" for path in lane.root.glob("*/**/.imgserve-*"))
