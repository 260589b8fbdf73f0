"""What a queue refuses, and what keeps it from working: raised by every engine."""

from collections.abc import Mapping

from imgserve.errors import ImgserveError, Sentence

# Codes of an output's end that no class of error has, with their meaning.
ENDS: Mapping[str, str] = {
    "cancelled": "It was cancelled",
    "deadline": "Its deadline passed before an attempt succeeded",
    "poison": "Three workers died at the picture",
}


class NoSuchJob(ImgserveError):
    code = "no_such_job"
    status = 404
    title = "There is no such job"


def no_such_job(job_id: str) -> NoSuchJob:
    """The same of a job that never was, of one that was deleted, and of another principal's."""
    return NoSuchJob(f"no job has the id {job_id[:64]!r}", "ended jobs are deleted after a while")


class NotRetryable(ImgserveError):
    """Only failed outputs of a job that does not run can be retried, as long as no newer job has their destinations."""

    code = "not_retryable"
    status = 409
    title = "The job cannot be retried"


class SourceGone(ImgserveError):
    """The picture came with the request, and was kept for a day after the job had failed."""

    code = "source_gone"
    status = 409
    title = "The job's picture is not kept any more"


class NotCancellable(ImgserveError):
    """It has ended, is being taken in, or all pictures that are left are on their way."""

    code = "not_cancellable"
    status = 409
    title = "The job cannot be cancelled"


class IdempotencyKeyReused(ImgserveError):
    code = "idempotency_key_reused"
    status = 422
    title = "The idempotency key belongs to another request"


class IdempotentJobGone(ImgserveError):
    """The job that the key's first request made was deleted."""

    code = "idempotent_job_gone"
    status = 410
    title = "The job of this idempotency key is gone"


class QueueFull(ImgserveError):
    code = "queue_full"
    status = 503
    is_retryable = True
    title = "Too many jobs are waiting"


class QuotaFull(ImgserveError):
    """``part``: this principal's part of all jobs that end, as long as it has jobs waiting."""

    code = "queue_quota_full"
    status = 429
    is_retryable = True
    title = "Too many jobs of this key are waiting"

    def __init__(self, detail: str, hint: str, part: float) -> None:
        super().__init__(detail, hint)
        self.part = part


class StorageFailing(ImgserveError):
    """The queue cannot be written now; nothing was accepted.

    ``in_full``: the same for the operator, with what clients are not told, such as the address of a database.
    """

    code = "storage_failing"
    status = 503
    is_retryable = True
    charge = "none"
    title = "The queue cannot be written"

    def __init__(self, detail: str, hint: Sentence = "", in_full: "StorageFailing | None" = None) -> None:
        super().__init__(detail, hint)
        self._in_full = in_full

    @property
    def in_full(self) -> "StorageFailing":
        return self._in_full or self

    def again(self) -> "StorageFailing":
        """A new one, for another caller."""
        return type(self)(self.detail, self.hint, self._in_full)


class DiskFull(StorageFailing):
    """The disk of the data directory is full, or nearly."""

    code = "disk_full"
    title = "The disk of the queue is full"


class QueueFault(ImgserveError):
    """A bug undid the transaction; the traceback is in the log."""

    title = "The queue has a fault"
