"""The contract of every queue engine. tests/contract/queue runs over each engine unchanged.

Every method is one transaction: when it returns, its effect is on disk. Times are seconds since the epoch and come in
as arguments. A transaction that ends a write frees the destination and wakes the writers that wait for it.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Literal, NamedTuple, Protocol

import msgspec

from imgserve.jobs.event_views import EventPage, EventQuery, WebhookDelivery
from imgserve.jobs.model import (
    Accepted,
    Answer,
    Bound,
    Claim,
    Intent,
    NewJob,
    OutboxEntry,
    OutboxOutcome,
    PlaceholderResult,
    SentMessage,
    Settlement,
)
from imgserve.jobs.purge import Purge
from imgserve.jobs.views import JobPage, JobQuery, NodeView, OperatorJobView
from imgserve.telemetry.states import State


class Granted(msgspec.Struct, frozen=True):
    """The destination is held for this write until the transaction that reports its result.

    ``abandoned``: (output, last token) of overtaken jobs whose temporary files a crash may have left.
    """

    abandoned: tuple[tuple[int, int], ...] = ()


class Busy(msgspec.Struct, frozen=True):
    """Another write holds the destination, or was cut off when its server died; then ask again at ``until``."""

    until: float | None = None


class Denied(msgspec.Struct, frozen=True):
    """``overtaken``: a newer job has the destination. ``lost``: the claim is no longer ours."""

    why: Literal["overtaken", "lost"]


class HostRoom(msgspec.Struct, frozen=True):
    """How many more jobs each host may have: those in ``left`` so many, all others ``most``."""

    most: int = sys.maxsize
    left: Mapping[str, int] = {}


class Work(msgspec.Struct, frozen=True):
    """``due_at``: when the next job or lease that was not taken falls due, jobs for hosts without room aside.

    ``is_held_back``: there are jobs for hosts without room.
    """

    claims: tuple[Claim, ...]
    due_at: float | None
    is_held_back: bool = False


class OutboxWork(msgspec.Struct, frozen=True):
    """``due_at``: when the next entry falls due that was not taken."""

    entries: tuple[OutboxEntry, ...]
    due_at: float | None


ANY_HOST = HostRoom()


class Pruned(msgspec.Struct, frozen=True):
    """``jobs`` were deleted; ``is_done``: no more are to be deleted now."""

    jobs: int
    is_done: bool


class Counts(msgspec.Struct, frozen=True):
    """Open jobs and outputs. ``pending``, ``abandoned`` and ``unreadable``: placeholders of failed jobs, still at
    their destinations. The rows of unreadable ones cannot be read well enough to replace them. ``webhooks`` are
    still to be sent. ``upload_bytes`` are those of uploaded pictures, and of room reserved for them.

    ``oldest_at``: arrival of the oldest open job, those aside that wait for their time; ``due_at``: when the next job
    to be claimed fell due; both by the wall clock.
    """

    accepting: int
    queued: int
    running: int
    pending: int
    abandoned: int
    oldest_at: float | None
    due_at: float | None
    unreadable: int = 0
    webhooks: int = 0
    webhooks_abandoned: int = 0
    upload_bytes: int = 0

    @property
    def waiting(self) -> int:
        return self.accepting + self.queued

    @property
    def placeholders_left(self) -> int:
        return self.pending + self.abandoned + self.unreadable


class PlaceholderMemory(Protocol):
    """For intake and attempts: the placeholders of the last 24 hours, also of jobs that have ended."""

    async def placeholder_digests(self, size_bytes: int, now: float) -> frozenset[bytes]:
        """Digests of placeholders of this size that were written in the last 24 h."""


class IntakeQueue(PlaceholderMemory, Protocol):
    """For intake: a job comes in, is activated or refused, and answered."""

    def check_room(self, principal: str, digest: bytes, now: float, *, has_quota: bool) -> None:
        """Raise QueueFull, QuotaFull or StorageFailing if ``enqueue`` would, as far as is known without waiting.

        For load shedding.
        """

    async def enqueue(
        self, job: NewJob, now: float, on_late: Callable[[Accepted], None] = lambda _: None
    ) -> Accepted | Answer:
        """Store as ``accepting``, or adopt the unanswered twin of a dead intake. ``on_late`` gets a job that was stored
        after this call had been cancelled.

        A job with a ``binding`` whose key has one already gives that one's answer; its key is forgotten when it is
        refused, else after KEY_MEMORY_S, whatever becomes of the job.

        Raises QueueFull and QuotaFull, whose ``retry_after_s`` is the time until a tenth of the queue or of the
        principal's quota will be free, IdempotencyKeyReused, IdempotentJobGone, SourceGone (an upload that was not
        reserved, or was dropped) and StorageFailing.
        """

    async def binding_of(self, principal: str, key: str, now: float) -> Bound | None:
        """The job that this principal's Idempotency-Key belongs to."""

    async def until_ended(self, job_id: str, timeout_s: float) -> None:
        """Return when the job has ended, as soon as that is stored, at the latest after ``timeout_s``."""

    async def activate(self, number: int, placeholders: tuple[PlaceholderResult, ...], now: float) -> bool:
        """accepting -> queued; from here on older jobs of the same destinations are superseded. One that is not to run
        before a later time supersedes them when it is claimed.

        True: the job is as it was stored, but for these placeholders; no older job, cancellation or other server has
        changed it.
        """

    async def refuse(
        self, number: int, placeholders: tuple[PlaceholderResult, ...], error: str, detail: str, now: float
    ) -> None:
        """Delete an accepting job if no destination holds anything of it, else fail it and add its outbox entries: each
        placeholder that was taken or never answered is deleted, or replaced where nothing can be deleted.
        """

    async def answered(self, number: int) -> None:
        """The reply is on its way: the job will not be adopted."""

    async def note_placeholder(self, digest: bytes, size_bytes: int, now: float) -> None:
        """Remember for 24 h that a picture of these bytes is a placeholder."""


class RunnerQueue(PlaceholderMemory, Protocol):
    """For the runner and its attempts: due jobs, their leases, and their ends."""

    async def take_work(self, jobs: int, now: float, reserved: int = 0, hosts: HostRoom = ANY_HOST) -> Work:
        """Claim due jobs, each with a new token and those of its outputs that are due. Expired leases count as due,
        uncharged.

        Principals are served fairly: next is the oldest due job of the principal with the fewest running jobs, of
        several such principals the one whose job is older. The last ``reserved`` of the ``jobs`` are for principals
        with fewer than that running. A principal's own jobs come by priority, then by age (``jobs.lanes``).

        A job that writes to a host without room is passed over; it keeps its rank, and no other waits behind it.
        """

    async def wait_for_work(self, timeout_s: float) -> None:
        """Return when a job may have become due, at the latest after ``timeout_s``."""

    async def heartbeat(self, claims: tuple[Claim, ...], now: float) -> frozenset[int]:
        """Prolong the leases. Returns the numbers of the claims that are still ours."""

    async def until_suspect(self) -> frozenset[int]:
        """Return the numbers of jobs that another server has cancelled, when there are some: ``heartbeat`` tells which
        claims are lost.
        """

    async def record(self, settlement: Settlement, now: float) -> bool:
        """Note single outputs of an attempt that goes on, and free their destinations."""

    async def settle(self, settlement: Settlement, now: float, patience_s: float = 0.0) -> bool:
        """End an attempt; False (and no change but freed locks) when the claim was no longer ours.

        ``patience_s``: how long it may wait for company in its commit.
        """

    async def prune(self, now: float) -> Pruned:
        """Delete some of the ended jobs that are past their time, so few that no other call is delayed noticeably."""


class OutboxQueue(Protocol):
    """For the outbox: its entries, when they are due."""

    async def take_outbox(self, entries: int, now: float) -> OutboxWork:
        """Claim due entries, oldest first, each with a new token. A claim of the same job stays its holder's."""

    async def put_off(self, entry: OutboxEntry, now: float, due_at: float) -> None:
        """Give a claim back, uncharged. Without this call it ends by itself, two minutes later.

        All that are due for the same host wait too, so that others are claimed before them: each a little longer than
        the one before it, as they may be many.
        """

    async def wait_for_outbox(self, timeout_s: float) -> None:
        """Return when an entry may have become due, at the latest after ``timeout_s``."""

    async def settle_entry(
        self, entry: OutboxEntry, outcome: OutboxOutcome, now: float, sent: SentMessage | None = None
    ) -> None:
        """A number instead of an outcome: try again at that time. ``sent`` is for the log of a webhook's tries."""


class KeptUpload(NamedTuple):
    """An uploaded picture, or the room for one that comes."""

    id: str
    principal: str
    size_bytes: int


class UploadBytes(NamedTuple):
    """The size of the uploads of all servers of the queue, with reserved room."""

    of_principal: int
    total: int


class UploadQueue(Protocol):
    """For uploads: the pictures that came with their requests, each of an id. Its row is there before its first byte
    comes, and until its last one is deleted. A job whose source is one keeps it.
    """

    def check_disk(self, size_bytes: int) -> None:
        """Raise StorageFailing if so many more bytes would leave too little room in the data directory."""

    async def uploads(self) -> tuple[KeptUpload, ...]:
        """All that jobs keep."""

    async def upload_bytes(self, principal: str) -> UploadBytes: ...

    async def reserve_upload(self, upload: KeptUpload, now: float) -> None:
        """Reserve room for an hour, in which a job has to come and keep it."""

    def resize_upload(self, upload_id: str, size_bytes: int) -> None:
        """Note that the picture is there, and its size. Never waits."""

    async def drop_upload(self, upload_id: str, now: float) -> bool:
        """No job can have it from now on, and the caller deletes it; False when a job keeps it."""

    async def release_uploads(self, now: float) -> tuple[str, ...]:
        """The ids of some that no job can have from now on, for the caller to delete: those whose jobs have succeeded,
        been cancelled, superseded, refused or deleted, or failed a day ago; those that came without a job; those that
        were to be deleted a minute ago, and are not forgotten yet.
        """

    async def forget_uploads(self, upload_ids: Iterable[str]) -> None:
        """Their pictures are deleted. Those that a job keeps stay."""

    async def wait_for_uploads(self, timeout_s: float) -> None:
        """Return when one may be released, at the latest after ``timeout_s``."""


class UploadParts(Protocol):
    """For uploads whose bytes are in the queue's own database: the parts of each, counted from 0."""

    async def add(self, upload_id: str, part: int, data: bytes, *, is_last: bool) -> None:
        """When the last one is stored, all of them survive a power cut.

        Raises SourceGone when the upload has no row any more, and StorageFailing, as all do.
        """

    async def size_bytes(self, upload_id: str) -> int | None:
        """Of all parts; None without any."""

    async def read(self, upload_id: str, part: int) -> bytes | None: ...

    async def remove(self, upload_ids: Iterable[str]) -> None: ...


class DeliveryQueue(Protocol):
    """For deliveries: the locks of the destinations.

    ``id`` (letters and digits) distinguishes this queue from others whose servers may write to the same destinations.
    """

    id: str

    async def acquire(self, intent: Intent, now: float) -> Granted | Busy | Denied:
        """Hold a destination for one write, after checking token, lease and order."""

    async def until_free(self, key: str, timeout_s: float) -> None:
        """Return when the destination, Busy by ``acquire``, may be free; at the latest after ``timeout_s``."""

    def break_off(self, newer: Intent) -> None:
        """Ask the other servers to break off an older write to this destination. Never waits."""

    def when_newer(self, call: Callable[[Intent], None]) -> None:
        """``call`` gets the writes for which other servers ask this one to break off older ones."""


class PurgeQueue(Protocol):
    """For the caches of pictures that are no results of jobs: what is not right any more is told to all servers.

    A server that cannot hear is not told later.
    """

    @property
    def tells_purges(self) -> bool:
        """Whether there is another server that may have such a cache."""

    def tell_purge(self, purge: Purge) -> None:
        """Tell the other servers. Never waits."""

    def when_purged(self, purged: Callable[[Purge], object], missed: Callable[[], object]) -> None:
        """``purged`` gets what other servers tell. ``missed`` is called when some of it may have been missed."""


class OperatorQueue(Protocol):
    """For people: what there is, and their changes."""

    def states(self) -> Iterable[State]:
        """Conditions that an operator has to know now, such as a failed write. Never waits."""

    async def counts(self) -> Counts: ...

    async def nodes(self) -> tuple[NodeView, ...]:
        """The server processes of this queue, the oldest first, and those that died lately."""

    async def page(self, query: JobQuery) -> JobPage:
        """Jobs for people, newest first. Never delays the other calls, however many jobs there are."""

    async def job(self, job_id: str, principal: str | None = None) -> OperatorJobView:
        """With its timeline. Without a principal the beginning of an id is enough, where it is the only one.

        Raises NoSuchJob, also for another principal's, as ``retry`` and ``cancel`` do.
        """

    async def retry(
        self, job_id: str, names: tuple[str, ...] | None, deadline_s: float, now: float, principal: str | None = None
    ) -> int:
        """Queue failed outputs of a job again that has ended or waits (those of ``names``; None: all), with fresh
        attempts and the job's old number, and so its old place in the order; the number.

        Their outbox entries are cancelled until they fail again. Unnamed outputs whose destination a newer activated
        job has are superseded. Raises NoSuchJob, QueueFull, and NotRetryable: not failed, running, refused at intake,
        or overtaken (a named one, or all); SourceGone: its uploaded picture is not kept any more.
        """

    async def cancel(self, job_id: str, now: float, principal: str | None = None) -> int:
        """End those open outputs whose destination no final holds; the job's number. A cancelled job stays as it is.

        A job that ends by it is cancelled, with a failed job's outbox entries, and its claim is lost at once. Raises
        NoSuchJob, and NotCancellable: accepting, ended, or no output could be ended.
        """

    async def webhook_log(self, job_id: str, principal: str | None = None) -> tuple[WebhookDelivery, ...]:
        """The webhooks of a job, oldest first. Raises NoSuchJob."""

    async def replay_webhooks(self, job_id: str, now: float, principal: str | None = None) -> int:
        """Make the job's webhooks due again that were sent or abandoned, with the same ids and bytes; their number.

        Raises NoSuchJob.
        """


class EventWatch(Protocol):
    async def until_more(self, timeout_s: float) -> None:
        """Return when there may be events that came after the watch began, or after the last call returned; at the
        latest after ``timeout_s``.
        """


class EventQueue(Protocol):
    """For streams of events. A reader enters a watch, then reads and waits in turn, and so misses none."""

    async def newest_event(self) -> int:
        """The number of the newest event; 0 before the first."""

    async def events_after(self, query: EventQuery, now: float) -> EventPage:
        """Events of all jobs but refused ones, in the order in which they were stored: a number that is seen has none
        below it that comes later. Never delays the other calls.
        """

    def watch_events(self, principal: str | None = None, job_id: str = "") -> AbstractContextManager[EventWatch]:
        """``principal`` None: the events of all; ``job_id`` empty: those of all jobs."""


class Queue(
    IntakeQueue, RunnerQueue, OutboxQueue, UploadQueue, DeliveryQueue, PurgeQueue, OperatorQueue, EventQueue, Protocol
):  # fmt: skip
    """Durable jobs in the order of their numbers, and the locks of their destinations: what an engine is.

    Its opener may give it an ``on_end``, which gets each job's end once, when it is stored. ``upload_parts`` is None
    where the queue itself keeps no pictures.
    """

    upload_parts: UploadParts | None

    def share_commits(self, under_way: Callable[[], int]) -> None:
        """``under_way`` tells how many jobs are taken in or worked on here. While they are many, a change may wait for
        others for some milliseconds.
        """

    async def aclose(self) -> None:
        """A further call waits for the end of the first. Changes that come later raise StorageFailing."""
