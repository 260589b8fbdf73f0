"""The faults of transfers. Details hold no credentials."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Literal

import msgspec

from imgserve.errors import FieldRef, ImgserveError, Sentence

# The step that an FTP server refused: to enter or make the directory, to take the file, or a command such as RNFR.
Step = Literal["", "directory", "file", "command"]


class TransferError(ImgserveError):
    """``is_retryable``: it is transient (connect, time-out, 5xx, 429, FTP 4yz). ``retry_after_s``: from the host.
    ``is_late``: the other side took too long. ``answered``: the status of HTTP that it refused with.
    """

    is_late = False
    answered: int | None = None

    def __init__(
        self, detail: str, hint: Sentence = "", *, is_retryable: bool = False, retry_after_s: float | None = None
    ) -> None:
        super().__init__(detail, hint)
        self.is_retryable = self.is_retryable or is_retryable
        self.retry_after_s = retry_after_s


class SourceUnavailable(TransferError):
    code = "source_unavailable"
    status = 422
    is_of_source = True
    title = "The source cannot be retrieved"


class SourceNotFound(SourceUnavailable):
    """The host says that there is no such file."""

    code = "source_not_found"
    title = "The source does not exist"


class SourceLost(SourceUnavailable):
    """The file of an uploaded picture is missing: the data directory was restored or copied without it."""

    code = "source_lost"
    title = "The uploaded picture is gone"


class UploadNotStored(TransferError):
    """Of an uploaded picture nothing was accepted: its file cannot be written now."""

    code = "upload_not_stored"
    status = 503
    title = "The uploaded picture cannot be stored"
    is_retryable = True


class SourceTooLarge(TransferError):
    code = "source_too_large"
    status = 422
    is_of_source = True
    title = "The source is too large"


class SourceDigestMismatch(TransferError):
    code = "source_digest_mismatch"
    status = 422
    is_of_source = True
    title = "The source is another picture than was asked for"


class SourceRefused(TransferError):
    """Refused by policy: scheme off, address, port, root."""

    code = "source_refused"
    status = 422
    is_of_source = True
    title = "The source is refused by policy"


class DestinationRefused(TransferError):
    """Refused by policy: scheme off, address, port, root."""

    code = "destination_refused"
    status = 422
    title = "The destination is refused by policy"


class CredentialNotAllowed(TransferError):
    """The settings have no such credential for this principal, URL and use; which of these is not told."""

    code = "credential_not_allowed"
    status = 422
    title = "The credential cannot be used here"


class WebhookRefused(TransferError):
    """Refused by policy: address, port."""

    code = "webhook_refused"
    status = 422
    title = "The webhook is refused by policy"


class WebhookFailed(TransferError):
    """A message did not arrive, or was refused; a later try may heal it."""

    code = "webhook_failed"
    is_retryable = True
    title = "The webhook does not take the message"


class WebhookGone(WebhookFailed):
    """Its host says that nobody listens there any more."""

    code = "webhook_gone"
    is_retryable = False
    title = "The webhook is gone"


class RootUnavailable(TransferError):
    """The root of a file: URL is unmounted, renamed, or on a server that does not answer."""

    code = "root_unavailable"
    status = 503
    title = "The directory for files is not there"
    is_retryable = True


USE_REPLACE = ("use ", FieldRef(("placeholder", "if_exists"), "replace"))


class CannotAsk(TransferError):
    """The destination does not tell whether a file lies there."""

    code = "existence_unknown"
    status = 422
    title = "The destination does not tell what lies there"


class NotOurs(TransferError):
    """The file at the destination is not the one that imgserve wrote, so it is left alone."""

    code = "not_ours"


class NewerThere(NotOurs):
    """The file at the destination is a newer job's, so it is left alone."""

    code = "newer_there"


class DeliveryFailed(TransferError):
    """A definite refusal: no address, connection refused or timed out, TLS or login failed, a bad answer."""

    code = "delivery_failed"
    status = 422
    title = "The destination did not take the picture"


class DestinationExpired(DeliveryFailed):
    """Refused after the time at which the presigned URL says that it expires."""

    code = "destination_expired"
    title = "The presigned URL of the destination has expired"


class DeliveryUnknown(TransferError):
    """Bytes were sent and no answer came: the destination may or may not hold them."""

    code = "delivery_unknown"
    status = 502
    title = "The destination did not say whether it took the picture"
    is_retryable = True


class TransfersBusy(TransferError):
    """No transfer slot was free in time: the load is ours, not the host's."""

    code = "transfers_busy"
    status = 503
    charge = "none"
    # A job whose deadline passes while all transfer slots are taken still gets its attempt, within an hour.
    overdue_s = 3600.0
    title = "Too many transfers are under way"
    is_retryable = True


@dataclass(eq=False, repr=False)
class ExchangeFailed(Exception):
    """An exchange without an answer, as the client saw it. Each protocol turns it into one of the faults above.

    ``is_refused``: our own policy ended it. ``is_sent``: bytes of a write were sent. ``is_busy``: no transfer slot was
    free in time. ``is_late``: the other side took too long. ``is_reused``: it used a pooled connection; ``is_stale``:
    which was dead, so nothing was done.
    ``is_undecodable``: the body is not encoded as its header says. ``reply`` is the number of an FTP refusal, ``step``
    the refused step, ``replies`` are the last lines of the FTP server's replies.
    """

    detail: str
    hint: str = ""
    _: KW_ONLY
    is_retryable: bool = False
    is_refused: bool = False
    is_sent: bool = False
    is_busy: bool = False
    is_late: bool = False
    is_reused: bool = False
    is_stale: bool = False
    is_undecodable: bool = False
    step: Step = ""
    reply: int = 0
    replies: tuple[str, ...] = ()


class _Mapping(msgspec.Struct, frozen=True):
    """Each transfer enters such a block several times, and a generator would cost more."""

    fault_of: Callable[[ExchangeFailed], TransferError]

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ExchangeFailed):
            raise self.fault_of(error) from None


# Of an FTP server: there is no such file, or it may not be read.
_NO_FILE = 550


def source_fault(failure: ExchangeFailed) -> TransferError:
    if failure.is_refused:
        return SourceRefused(failure.detail, failure.hint)
    if failure.is_busy:
        return TransfersBusy(failure.detail, "try again later")
    if failure.reply == _NO_FILE:
        return SourceNotFound(failure.detail, failure.hint)
    fault = SourceUnavailable(failure.detail, failure.hint, is_retryable=failure.is_retryable)
    fault.is_late = failure.is_late
    return fault


def delivery_fault(failure: ExchangeFailed) -> TransferError:
    if failure.is_refused:
        return DestinationRefused(failure.detail, failure.hint)
    if failure.is_busy:
        return TransfersBusy(failure.detail, "try again later")
    if failure.is_sent:
        return DeliveryUnknown(failure.detail, failure.hint)
    return DeliveryFailed(failure.detail, failure.hint, is_retryable=failure.is_retryable)


def webhook_fault(failure: ExchangeFailed) -> TransferError:
    kind = WebhookRefused if failure.is_refused else TransfersBusy if failure.is_busy else WebhookFailed
    return kind(failure.detail, failure.hint)


# Blocks that turn a failed exchange into the fault of a source, of a delivery, and of a webhook.
fetching = _Mapping(source_fault)
delivering = _Mapping(delivery_fault)
notifying = _Mapping(webhook_fault)
