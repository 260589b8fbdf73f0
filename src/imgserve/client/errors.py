"""The errors of the client. All are ``ImgserveError``s, with a ``detail`` and a ``hint`` for people."""

from typing import TYPE_CHECKING

import msgspec

from imgserve.api.control_socket import FieldFault, Problem
from imgserve.errors import ImgserveError

if TYPE_CHECKING:
    from imgserve.client.answers import Job


class ApiError(ImgserveError):
    """The server's refusal, with the fields of its problem (RFC 9457).

    ``code`` is stable, and empty if the answer is no problem of imgserve's, as from a proxy in between. ``errors`` name
    the fields at fault.
    """

    def __init__(self, problem: Problem, retry_after_s: float | None = None) -> None:
        super().__init__(problem.detail, problem.hint)
        self.status = problem.status
        self.code = problem.code
        self.type = problem.type
        self.is_retryable = bool(problem.retryable)
        self.request_id = problem.request_id
        self.errors: tuple[FieldFault, ...] = problem.errors
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.sentence()}"


class Unreachable(ImgserveError):
    """No answer: the server cannot be reached, or the connection was cut. A job may have been accepted."""


class AnswerInvalid(ImgserveError):
    """An answer that this client cannot read."""


class StillRunning(ImgserveError, TimeoutError):
    """The job has not ended within the time of ``wait``. It goes on; ``job`` is its last state."""

    def __init__(self, job: "Job", waited_s: float) -> None:
        super().__init__(f"job {job.id} is {job.status} after {waited_s:g} s", "it goes on: wait again")
        self.job = job


class SignatureInvalid(ImgserveError):
    """A webhook without a valid signature: it is not from the server, or not from the last five minutes."""


class OptionInvalid(ImgserveError, ValueError):
    """An option, a key or a source that no URL of a picture can be made of."""


def api_error(status: int, body: bytes, retry_after: str) -> ApiError:
    """``retry_after``: the header's text; empty for none."""
    after_s = float(retry_after) if retry_after.isascii() and retry_after.isdecimal() else None
    try:
        return ApiError(msgspec.json.decode(body, type=Problem), after_s)
    except msgspec.DecodeError:
        detail = f"the answer is {status}, and no problem of imgserve's"
        return ApiError(Problem("about:blank", "", status, detail, ""), after_s)
