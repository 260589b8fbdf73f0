"""A job's state from its outputs' states. Pure; every engine writes what this says.

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
    found = tuple(outputs)
    still_open = [output for output in found if output.status in OPEN]
    if not still_open:
        return JobState(conclude(output.status for output in found))
    due_at = min(output.due_at for output in still_open)
    return JobState(None, due_at, hosts_of(output.key for output in still_open if output.due_at == due_at))


def conclude(statuses: Iterable[OutputStatus]) -> JobStatus:
    """The end of a job whose outputs have all ended. An operator's word goes first."""
    seen = set(statuses)
    for status in ("cancelled", "failed", "superseded"):
        if status in seen:
            return status
    return "succeeded"


def owed(output: ResolvedOutput, placeholder: PlaceholderState) -> OutboxKind | None:
    """What an output that fails owes for its placeholder."""
    if placeholder not in ("written", "unknown") or output.placement.on_failure == "keep_placeholder":
        return None
    return "deletion" if output.placement.on_failure == "delete" else "error_image"
