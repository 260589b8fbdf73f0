"""A job's state from its outputs' states, and which outputs may be retried. Pure; every engine uses it.

A job waits until its first open output is due, for the hosts of the outputs that are due then. It ends with its last
output.
"""

from collections.abc import Iterable, Sequence

import msgspec

from imgserve.errors import counted
from imgserve.jobs.faults import NotRetryable
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


class Retryable(msgspec.Struct, frozen=True):
    """An output of a job that is to be retried. ``is_overtaken``: a newer job has its destination."""

    id: int
    name: str
    status: OutputStatus
    is_overtaken: bool


class Reopening(msgspec.Struct, frozen=True):
    """The ids of the outputs to be tried again, and of those that a newer job has overtaken."""

    reopened: tuple[int, ...]
    superseded: tuple[int, ...]


def reopening(
    status: JobStatus, outputs: Sequence[Retryable], names: tuple[str, ...] | None, *, is_activated: bool
) -> Reopening:
    """The failed outputs of a job that has ended, or waits for its others; ``names`` None means all of them.

    Raises NotRetryable, also while the job runs: the attempt has yet to say how its outputs end.
    """
    if all(output.status != "failed" for output in outputs):
        raise NotRetryable(f"the job is {status}, and only a failed one can be retried", "post it anew if need be")
    if status == "running":
        raise NotRetryable("the job is running", "try again in a moment, or when it has ended")
    if not is_activated:
        raise NotRetryable("the job was refused when it was posted, so it never was in the queue", "post it anew")
    wanted = [output for output in outputs if output.status == "failed"] if names is None else _named(outputs, names)
    overtaken = [output for output in wanted if output.is_overtaken]
    if overtaken and (names is not None or len(overtaken) == len(wanted)):
        which = ", ".join(output.name for output in overtaken)
        raise NotRetryable(
            f"a newer job has the destination of {counted(len(overtaken), 'output')} ({which}), which would be"
            " overwritten", "retry the newer job instead",
        )  # fmt: skip
    reopened = tuple(output.id for output in wanted if not output.is_overtaken)
    return Reopening(reopened, tuple(output.id for output in overtaken))


def _named(outputs: Sequence[Retryable], names: tuple[str, ...]) -> list[Retryable]:
    by_name = {output.name: output for output in outputs}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise NotRetryable(f"the job has no output {unknown[0][:64]!r}", f"its outputs are {', '.join(by_name)}")
    wanted = [by_name[name] for name in dict.fromkeys(names)]
    for output in wanted:
        if output.status != "failed":
            raise NotRetryable(f"output {output.name} is {output.status}, and only a failed one can be retried")
    return wanted


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
