"""A job's state from its outputs' states. Pure; every engine uses it.

A job waits until its first open output is due, for the hosts of the outputs that are due then. It ends with its last
output.
"""

from collections.abc import Iterable

import msgspec

from imgserve.jobs.model import OPEN, JobStatus, OutboxKind, OutputStatus, PlaceholderState
from imgserve.request.destination import hosts_of
from imgserve.request.job import ResolvedOutput


class OutputState(msgspec.Struct, frozen=True):
    """``key`` names the output's destination."""

    status: OutputStatus
    due_at: float
    key: str


class JobState(msgspec.Struct, frozen=True):
    """``end`` is None while an output is open; then ``due_at`` and ``hosts`` say when and for whom the job waits."""

    end: JobStatus | None
    due_at: float | None = None
    hosts: str = ""


def fold(outputs: Iterable[OutputState]) -> JobState:
    states = tuple(outputs)
    open_ones = [output for output in states if output.status in OPEN]
    if not open_ones:
        ends = {output.status for output in states}
        # The operator's cancellation comes first.
        worst: tuple[JobStatus, ...] = ("cancelled", "failed", "superseded")
        return JobState(next((end for end in worst if end in ends), "succeeded"))
    due_at = min(output.due_at for output in open_ones)
    return JobState(None, due_at, hosts_of(output.key for output in open_ones if output.due_at == due_at))


def outbox_kind(
    output: ResolvedOutput, placeholder: PlaceholderState, *, is_refused: bool = False
) -> OutboxKind | None:
    """The kind of entry that replaces or deletes the placeholder of a failed output.

    ``is_refused``: the job was refused at intake. Its client has no use for any placeholder, whatever ``on_failure``
    says.
    """
    if placeholder not in ("written", "unknown"):
        return None
    placement = output.placement
    if is_refused:
        return "deletion" if placement.destination.can_delete else "error_image"
    if placement.on_failure == "keep_placeholder":
        return None
    return "deletion" if placement.on_failure == "delete" else "error_image"
