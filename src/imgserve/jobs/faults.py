"""Refusals of an operator's calls, raised by every queue engine."""

from imgserve.errors import ImgserveError


class NoSuchJob(ImgserveError):
    code = "no_such_job"
    status = 404
    title = "There is no such job"


class NotRetryable(ImgserveError):
    """Only a failed job can be retried, and only while it is the newest of its destinations."""

    code = "not_retryable"
    status = 409
    title = "The job cannot be retried"


class NotCancellable(ImgserveError):
    """It has ended, is being taken in, or its final picture is on its way."""

    code = "not_cancellable"
    status = 409
    title = "The job cannot be cancelled"
