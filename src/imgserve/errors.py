"""The root of every error that a user may see.

    ImgserveError
    ├─ spec/faults.py        RequestInvalid (101-116)
    ├─ spec/geometry.py      SourceTooSmall (203), NotSvg (204)
    ├─ imaging/faults.py     SourceUnreadable (202), SvgInvalid (204), PictureTooLarge (206), RenderTimeout,
    │                        WorkerDied, NoWorker (301), RenderFailed
    ├─ transfer/faults.py    SourceUnavailable (201), SourceTooLarge (206), SourceRefused (115),
    │                        DestinationRefused (116), DeliveryFailed (205 for a placeholder), DeliveryUnknown,
    │                        TransfersBusy, RootUnavailable (301)
    ├─ jobs/queue.py         QueueFull, ShareFull, StorageFailing, DiskFull (301)
    ├─ jobs/view.py          NoSuchJob, NotRetryable, NotCancellable
    ├─ delivery.py           Overtaken, ClaimLost, DestinationBusy (301)
    ├─ attempt.py            SourceIsPlaceholder, AttemptTimeout, AttemptBug
    ├─ intake.py             Draining (301)
    ├─ crowd.py              IntakeFull (301)
    ├─ settings/load.py      SettingsInvalid
    ├─ service.py            CannotStart
    ├─ pidfile.py            AlreadyRunning
    ├─ tracing.py            TracingUnavailable
    ├─ api/problems.py       BodyNoJob, BodyTooSlow
    ├─ client.py             NoServer, NotAllowed, Silent, Refused
    ├─ commands/             NotEnded, RunByAnother, RenderRefused
    ├─ api/auth.py           NotAuthorised (302), KeyFileInvalid
    └─ api/rate.py           RateLimited (301)

A class says what kind of fault it is, once; an instance says what happened (``detail``, one sentence for the
user, never with a credential in it) and what would mend it (``hint``).
"""

from typing import ClassVar, Self


class ImgserveError(Exception):
    """Base of all faults with a public face.

    ``code`` is stable and used in logs and metrics; ``classic_code`` is the number of the original protocol;
    ``status`` is the HTTP status of the native API; ``is_retryable`` tells whether time alone can heal it, and
    ``retry_after_s`` how long it may take, where that is known.
    """

    code: ClassVar[str] = "internal"
    classic_code: ClassVar[int | None] = None
    status: ClassVar[int] = 500
    is_retryable: bool = False
    retry_after_s: float | None = None
    title: ClassVar[str] = "Something went wrong inside imgserve"

    def __init__(self, detail: str, hint: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint

    def as_value(self) -> Self:
        """Without the frames that it came through: they and it would hold each other, and the pictures in them."""
        self.__traceback__ = self.__context__ = self.__cause__ = None
        return self

    def sentence(self) -> str:
        """What happened and what would mend it, for a reply or a log line."""
        return f"{self.detail} ({self.hint})" if self.hint else self.detail


def sentence_of(error: ImgserveError | OSError) -> str:
    """What to tell a person at a terminal, or who reads the log."""
    if isinstance(error, ImgserveError):
        return error.sentence()
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"
