"""How a job ends from its outputs' ends, and what a failed output owes."""

from itertools import permutations

import pytest

from imgserve.jobs.model import JobStatus, OutputStatus, PlaceholderState, conclude, owes
from imgserve.request.job import OnFailure
from tests.support.queues import output


@pytest.mark.parametrize(
    ("statuses", "end"),
    [
        (("delivered",), "succeeded"),
        (("delivered", "delivered"), "succeeded"),
        (("failed",), "failed"),
        (("cancelled",), "cancelled"),
        (("superseded",), "superseded"),
        (("delivered", "failed"), "failed"),
        (("delivered", "cancelled"), "cancelled"),
        (("delivered", "superseded"), "superseded"),
        (("failed", "superseded"), "failed"),
        (("failed", "cancelled", "superseded", "delivered"), "cancelled"),
        (("cancelled", "superseded"), "cancelled"),
        (("queued",), None),
        (("placeholder",), None),
        (("delivered", "queued"), None),
        (("failed", "placeholder"), None),
        (("superseded", "placeholder"), None),
    ],
)
def test_conclude(statuses: tuple[OutputStatus, ...], end: JobStatus | None) -> None:
    for order in permutations(statuses):
        assert conclude(order) == end


@pytest.mark.parametrize("state", ["none", "pending", "written", "unknown", "refused"])
@pytest.mark.parametrize("on_failure", ["error_image", "delete", "keep_placeholder"])
def test_owes(state: PlaceholderState, on_failure: OnFailure) -> None:
    expected = state in {"written", "unknown"} and on_failure in {"error_image", "delete"}
    assert owes(output(on_failure=on_failure), state) is expected
