"""The root of every error that a user may see.

    ImgserveError
    ├─ errors.py               FileUnusable
    ├─ request/faults.py       RequestInvalid
    ├─ request/geometry.py     SourceTooSmall, NothingLeft, NotSvg
    ├─ request/native.py       PresetsOnly
    ├─ request/dialects/       UrlRefused
    ├─ request/dialects/imgproxy/refused.py  ImgproxyRefused, InvalidUrl, Forbidden, OptionForbidden, FormatUnsupported,
    │                          PictureRefused
    ├─ request/dialects/iiif/  BadRequest, Unsigned, NotFound, NotOffered
    ├─ request/dialects/thumbor/refused.py  BadUrl, NotSigned, UrlExpired, FormatUnknown, SizeTooLarge
    ├─ imaging/faults.py       SourceUnreadable, PageMissing, SvgInvalid, PictureTooLarge, RenderTimeout, WorkerDied,
    │                          NoWorker, RenderFailed, MaxBytesUnreachable, PageUnreadable
    ├─ imaging/pool.py         PoolCannotStart
    ├─ transfer/faults.py      TransferError, SourceUnavailable, SourceNotFound, SourceLost, SourceTooLarge,
    │                          SourceDigestMismatch, SourceRefused, DestinationRefused, DeliveryFailed,
    │                          DestinationExpired, DeliveryUnknown, WebhookRefused, WebhookFailed, WebhookGone,
    │                          TransfersBusy, CredentialNotAllowed, RootUnavailable, CannotAsk, NotOurs, NewerThere,
    │                          UploadNotStored
    ├─ descriptors.py          OutOfDescriptors
    ├─ jobs/faults.py          NoSuchJob, NotRetryable, NotCancellable, SourceGone, IdempotencyKeyReused,
    │                          IdempotentJobGone, QueueFault, QueueFull, QuotaFull, StorageFailing, DiskFull
    ├─ engine/delivery.py      Overtaken, ClaimLost, Kept, DestinationBusy
    ├─ engine/attempt.py       SourceIsPlaceholder, AttemptTimeout, AttemptBug
    ├─ engine/intake.py        Draining
    ├─ engine/keys.py          KeyInUse
    ├─ engine/pictures.py      PicturesUnusable
    ├─ engine/admission.py     IntakeFull, IntakeQuotaFull
    ├─ engine/ondemand_slots.py OnDemandFull, OnDemandQuotaFull
    ├─ engine/uploads.py       UploadQuotaFull, UploadsFull
    ├─ engine/cache/           PurgeFailed
    ├─ settings/load.py        SettingsInvalid
    ├─ server/lifecycle.py     CannotStart
    ├─ server/pidfile.py       AlreadyRunning
    ├─ telemetry/tracing.py    TracingUnavailable
    ├─ api/problems.py         NoSuchPage, MethodNotAllowed
    ├─ api/negotiate.py        NotAcceptable
    ├─ api/v1/submit.py        ClassicJob
    ├─ api/v1/streams.py       StreamsFull, StreamQuotaFull
    ├─ api/v1/json_body.py     MediaTypeUnsupported
    ├─ api/v1/form.py          JobPartNotFirst
    ├─ api/http/body.py        BodyTooLarge, BodyTooSlow, BodyCutOff
    ├─ api/http/parts.py       BodyInvalid
    ├─ client/errors.py        ApiError, Unreachable, AnswerInvalid, StillRunning, SignatureInvalid, OptionInvalid
    ├─ cli/control.py          NoServer, NotAllowed, Silent, Refused
    ├─ cli/                    NotEnded, RunByAnother, SecretUnusable, UrlNotMade, NotImported
    ├─ api/keyfile.py          KeyFileInvalid
    ├─ api/http/listener.py    CannotListen
    ├─ api/http/tls.py         CertificateInvalid
    ├─ api/protected.py        NotAuthorised
    └─ api/rate.py             RateLimited

A class names the kind of fault, once; an instance has the event (``detail``, one sentence for the user, never with a
credential in it) and the remedy (``hint``).
"""

import contextlib
import errno
import json
import math
import os
import pwd
from collections.abc import Callable, Iterator
from typing import Annotated, ClassVar, Literal, Self

import msgspec

# The count of a job that a failed attempt is charged to: the server's own trouble is charged to none.
Charge = Literal["none", "attempt", "crash"]

Path = tuple[str | int, ...]
# For an error that may be the picture's own: each attempt at it costs as much as the last one.
FEW_ATTEMPTS = 10

# A hostile worker's hint can name nothing that is no field's name.
Word = Annotated[str, msgspec.Meta(pattern=r"^[a-z_]{1,40}\Z")]


class FieldRef(msgspec.Struct, frozen=True, array_like=True):
    """A field of a request inside a sentence; ``value`` is what the sentence wants it set to, if it says so."""

    path: Annotated[tuple[Word | int, ...], msgspec.Meta(max_length=8)]
    value: bool | Word | None = None


Sentence = str | Annotated[tuple[str | FieldRef, ...], msgspec.Meta(max_length=8)]
Spelling = Callable[[FieldRef], str]


def assigned(name: str, value: bool | str | None) -> str:
    return name if value is None else f"{name} = {json.dumps(value)}"


def dotted(field: FieldRef) -> str:
    """The native spelling: ``outputs[1].operations[0].width``, ``outputs[0].load.strict = false``."""
    names = (f"[{name}]" if isinstance(name, int) else f".{name}" for name in field.path)
    return assigned("".join(names).removeprefix("."), field.value)


def spell(sentence: Sentence, spelling: Spelling = dotted) -> str:
    parts = (sentence,) if isinstance(sentence, str) else sentence
    return "".join(part if isinstance(part, str) else spelling(part) for part in parts)


def put_beneath(sentence: Sentence, path: Path) -> Sentence:
    """The sentence with the fields that it names beneath ``path``."""
    if isinstance(sentence, str):
        return sentence
    return tuple(part if isinstance(part, str) else FieldRef(path + part.path, part.value) for part in sentence)


class ImgserveError(Exception):
    """Base of all faults with a public face.

    ``code`` is stable and used in logs and metrics; a protocol that has numbers of its own looks them up by it;
    ``status`` is the HTTP status of the native API, ``title`` its text; ``is_retryable``: time alone can heal it;
    ``retry_after_s``: how long that may take, if it is known. An error that no API answers with needs none of them.

    ``charge``: the count that a failed attempt goes to; ``retry_delay_s``: the fixed pause before the next attempt, for
    errors without back-off; ``overdue_s``: how long after the deadline such an error may still be followed by one.
    ``max_attempts``: the number of attempts that may end with such an error; None: as many as the deadline allows.

    ``path`` leads to the field of a request at fault, such as the one that names a further picture. Empty, it leads to
    the operation that raised the error if ``is_of_operation``, else to the source if ``is_of_source``. ``others`` are
    further errors of the same step, each with its path.
    """

    code: str = "internal"
    status: int = 500
    is_retryable: bool = False
    is_of_source: bool = False
    is_of_operation: ClassVar[bool] = False
    retry_after_s: float | None = None
    charge: ClassVar[Charge] = "attempt"
    retry_delay_s: ClassVar[float] = 1.0
    overdue_s: ClassVar[float] = math.inf
    max_attempts: ClassVar[int | None] = None
    title: ClassVar[str] = "Something went wrong inside imgserve"

    def __init__(self, detail: str, hint: Sentence = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.path: Path = ()
        self.others: tuple[ImgserveError, ...] = ()

    def at(self, path: Path) -> Self:
        """A copy of this error, of the field at this path. Fields of its hint stay as they are."""
        error = type(self).__new__(type(self), *self.args)
        error.__dict__.update(self.__dict__)
        error.path = path
        return error

    def beneath(self, path: Path) -> "ImgserveError":
        """This error, once its field and those that its hint names have been put beneath ``path``."""
        self.hint = put_beneath(self.hint, path)
        if self.path or self.is_of_operation:
            self.path = path + self.path
        return self

    def located(self, spelling: Spelling = dotted) -> str:
        """Field and detail."""
        return f"{spelling(FieldRef(self.path))}: {self.detail}" if self.path else self.detail

    def sentence(self, spelling: Spelling = dotted) -> str:
        """Field, detail and hint in one sentence, for a reply or a log line."""
        located = self.located(spelling)
        return f"{located} ({spell(self.hint, spelling)})" if self.hint else located


def let_go(error: BaseException) -> None:
    """Drop the frames that an answered error came through, and those of its causes and of the others beside it.

    One of them often has the error as a variable. Such a circle keeps the connection, what was read of the body and all
    else that these frames hold until the garbage collector looks for it: minutes later, if it was open for some time.
    """
    left: list[BaseException | None] = [error]
    while left:
        each = left.pop()
        if each is not None and each.__traceback__ is not None:
            each.__traceback__ = None
            left += each.__cause__, each.__context__, *(each.others if isinstance(each, ImgserveError) else ())


class FileUnusable(ImgserveError):
    """The system refuses a file that an operator has named, or that belongs to the server."""


# The meaning of the system's error numbers, and the remedy.
_DENIED = ("{who} has no permission", "give that user the right to it")
_FULL = ("the disk is full", "free disk space")
_CAUSES = {
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.ENOSPC: _FULL,
    errno.EDQUOT: ("{who} has used up the quota of this disk", "free disk space"),
    errno.EROFS: ("the file system is mounted read-only", "mount it for writing"),
    errno.ENOENT: ("No such file or directory", "check the path"),
    errno.ENOTDIR: ("a file stands where a directory is expected", "check the path, or remove that file"),
    errno.EEXIST: ("a file stands where a directory is expected", "check the path, or remove that file"),
    errno.EISDIR: ("it is a directory, expected a file", "name a file, or move that directory away"),
    errno.ELOOP: ("it is a symbolic link, expected a file", "name the file itself"),
    errno.ENAMETOOLONG: ("its name is too long for the file system", "choose a shorter one"),
    errno.EMFILE: ("too many files are open", "raise the limit of open files (ulimit -n)"),
    errno.ENFILE: ("too many files are open on this machine", "raise fs.file-max"),
    errno.EIO: ("the disk fails", "mend it; the system's log (dmesg) says more"),
}


def cause_of(error: OSError, who: str = "") -> tuple[str, str]:
    """The cause and its remedy; the remedy is empty for an error number that is not in the table.

    ``who`` takes the place of this process's user, whose name is for the operator only.
    """
    cause, remedy = _CAUSES.get(error.errno or 0, (error.strerror or str(error), ""))
    return cause.format(who=who or f"the user {user_name(os.geteuid())}"), remedy


def counted(number: int, noun: str) -> str:
    """``1 warning``, ``2 warnings``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # containers run users that no file names
        return str(uid)


@contextlib.contextmanager
def using(thing: str, option: str = "") -> Iterator[None]:
    """Turns an OSError inside the block into a sentence about ``thing``, a noun with its path.

    ``option``: the flag that names another one. Raises FileUnusable.
    """
    try:
        yield
    except OSError as error:
        cause, remedy = cause_of(error)
        remedies = [remedy] if remedy else []
        remedies += [f"name another with {option}"] if option else []
        raise FileUnusable(f"{thing} cannot be used: {cause}", ", or ".join(remedies)) from error


def sentence_of(error: ImgserveError | OSError) -> str:
    """One sentence for a terminal or the log."""
    if isinstance(error, ImgserveError):
        return error.sentence()
    cause, remedy = cause_of(error)
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{cause} ({remedy})" if remedy else f"{where}{cause}"
