"""A job's state from its outputs' states, and what a failed output owes."""

from itertools import product

import msgspec
import pytest

from imgserve.jobs.model import JobStatus, OutboxKind, OutputStatus, PlaceholderState
from imgserve.jobs.rules import JobState, OutputState, fold, outbox_kind
from imgserve.request.job import OnFailure, ResolvedOutput
from tests.support.queues import output

STATUSES: tuple[OutputStatus, ...] = ("queued", "placeholder", "delivered", "failed", "cancelled", "superseded")
KEYS = ("http://a.test:80/1.png", "http://b.test:80/2.png", "http://a.test:80/3.png")
ENDS: tuple[tuple[OutputStatus, JobStatus], ...] = (
    ("cancelled", "cancelled"), ("failed", "failed"), ("superseded", "superseded"), ("delivered", "succeeded"),
)  # fmt: skip


def expected(statuses: tuple[OutputStatus, ...], times: tuple[float, ...]) -> JobState:
    """As docs/guarantees.md has it, in other words than the code's."""
    waiting = sorted(
        (at, key) for status, at, key in zip(statuses, times, KEYS, strict=False) if status in ("queued", "placeholder")
    )
    if not waiting:
        return JobState(next(end for status, end in ENDS if status in statuses))
    hosts = {"a" if key.startswith("http://a") else "b" for at, key in waiting if at == waiting[0][0]}
    return JobState(None, waiting[0][0], " ".join(f"http://{host}.test:80" for host in sorted(hosts)))


def test_a_job_is_the_fold_of_its_outputs() -> None:
    """Every combination of up to three outputs, each of them due first, later, or with another."""
    count = 0
    for size in (1, 2, 3):
        for statuses in product(STATUSES, repeat=size):
            for times in product((5.0, 7.0, 9.0), repeat=size):
                outputs = [OutputState(*row) for row in zip(statuses, times, KEYS, strict=False)]
                assert fold(outputs) == expected(statuses, times), (statuses, times)
                count += 1
    assert count == 18 + 18**2 + 18**3


@pytest.mark.parametrize("state", ["none", "pending", "written", "unknown", "refused", "kept"])
@pytest.mark.parametrize("on_failure", ["error_image", "delete", "keep_placeholder"])
def test_owes(state: PlaceholderState, on_failure: OnFailure) -> None:
    kinds = {"error_image": "error_image", "delete": "deletion", "keep_placeholder": None}
    kind = kinds[on_failure] if state in {"written", "unknown"} else None
    assert outbox_kind(output(on_failure=on_failure), state) == kind


@pytest.mark.parametrize("state", ["none", "pending", "written", "unknown", "refused", "kept"])
@pytest.mark.parametrize("on_failure", ["error_image", "delete", "keep_placeholder"])
@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (output(), "deletion"),
        (output(f"{KEYS[0]}?X-Amz-Signature=1"), "error_image"),
        (output(kind="form"), "error_image"),
    ],
    ids=["put", "presigned", "form"],
)
def test_a_refused_job_owes_that_nothing_of_it_stays(
    place: ResolvedOutput, expected: OutboxKind, state: PlaceholderState, on_failure: OnFailure
) -> None:
    placement = msgspec.structs.replace(place.placement, on_failure=on_failure)
    kind = outbox_kind(msgspec.structs.replace(place, placement=placement), state, is_refused=True)
    assert kind == (expected if state in {"written", "unknown"} else None)
