"""The composition root: builds the components of a server process from its settings. ``lifecycle`` starts them."""

import contextlib
import os
from collections.abc import Callable, Iterator

from imgserve.api.protected import Protected
from imgserve.api.refusals import Refusals
from imgserve.api.v1.streams import Streams
from imgserve.api.v1.waits import Waits
from imgserve.clock import Clock
from imgserve.engine import pages
from imgserve.engine.admission import Admission
from imgserve.engine.attempt import Attempts
from imgserve.engine.delivery import Deliveries
from imgserve.engine.existing import Existing
from imgserve.engine.intake import Intake
from imgserve.engine.ondemand import OnDemand
from imgserve.engine.operator import JobAdmin
from imgserve.engine.outbox import Outbox, senders
from imgserve.engine.pictures import NamedPictures
from imgserve.engine.placeholder import Placeholders
from imgserve.engine.render import Renderer, Rendition
from imgserve.engine.runner import Runner
from imgserve.engine.uploaded_parts import UploadedParts
from imgserve.engine.uploads import Uploads
from imgserve.engine.webhooks import DefaultWebhooks
from imgserve.imaging.pool import Pool
from imgserve.jobs.model import Ended
from imgserve.jobs.protocol import Queue
from imgserve.jobs.sqlite import datadir
from imgserve.jobs.sqlite.queue import FILE_NAME, SqliteQueue
from imgserve.request.classic.spelling import output_spelling
from imgserve.server.onthefly import OnTheFly
from imgserve.settings.tree import Settings
from imgserve.telemetry import logs, metrics
from imgserve.telemetry.states import States
from imgserve.transfer.credentials import Credentials
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.fetch import Fetch
from imgserve.transfer.protocols.uploaded import Uploaded
from imgserve.transfer.protocols.uploaded_objects import UploadedObjects
from imgserve.transfer.store import Store
from imgserve.transfer.uploads import UploadStore

PREFETCH_BYTES = 64_000_000


class Components:
    def __init__(
        self,
        settings: Settings,
        queue: Queue,
        clock: Clock,
        is_shared: Callable[[], bool],
        max_kept: int,
        max_connections: int,
    ) -> None:
        """``max_kept``: the most pictures in each store, however small they are. ``max_connections`` of clients."""
        self.settings = settings
        self.queue = queue
        self.clock = clock
        self.pool = Pool(settings.pool, settings.limits, is_shared)
        credentials = Credentials(settings.credentials, is_shared)
        self.transfers = Transfers(settings.transfer, settings.limits, pages.reader(self.pool), credentials)
        store = self._upload_store(settings)
        self.transfers.read_uploads_of(store)
        most_bytes = settings.limits.source_bytes
        self.uploads = Uploads(queue, store, settings.uploads, settings.queue.quota, most_bytes, clock)
        # The attempt that would finish a download runs in another process, unless this one claims jobs too.
        prefetched: Store[Fetch] = Store(PREFETCH_BYTES if settings.role == "all" else 0, max_kept)
        placeholders = Placeholders(self.pool, settings.placeholder)
        deliveries = Deliveries(queue, self.transfers, clock)
        self.named = NamedPictures()
        renderer = Renderer(self.transfers, self.pool, self.named)
        renditions: Store[Rendition] = Store(settings.attempt.kept_renditions_bytes, max_kept)
        self.webhooks = DefaultWebhooks(settings.webhooks)
        self._owners = (prefetched, placeholders, renditions, self.named)
        attempts = Attempts(
            queue, renderer, deliveries, prefetched, renditions, settings.attempt, clock,
            classic_spelling=output_spelling,
        )  # fmt: skip
        existing = Existing(queue, self.transfers, placeholders, clock)
        by_kind = senders(deliveries, placeholders, existing, self.transfers, settings.attempt.delivery_timeout_s)
        outbox = Outbox(queue, by_kind, settings.runner.max_outbox, settings.attempt.retry_delay_s, clock)
        self.runner = Runner(queue, attempts, outbox, settings.runner, settings.queue, is_shared, clock)
        self.job_admin = JobAdmin(queue, self.runner, prefetched, settings.intake.deadline_s, clock)
        intake = settings.intake
        admission = Admission(intake.max_at_once, intake.max_waiting, settings.queue.quota, intake.host_quota)
        self.intake = Intake(
            queue, self.transfers, self.pool, placeholders, deliveries, prefetched, admission, settings.limits, intake,
            clock, spelling=output_spelling(None), named=self.named, webhooks=self.webhooks,
            wall_of=clock.wall_of,
        )  # fmt: skip
        queue.share_commits(lambda: admission.held + self.runner.under_way)
        self.on_demand = OnDemand(
            self.transfers, self.pool, renderer, self.named, settings.limits, intake.defaults(),
            settings.on_demand.within(max_connections), settings.queue.quota, intake.host_quota,
            settings.transfer.source_timeout_s,
        )  # fmt: skip
        self.on_the_fly = OnTheFly(settings, self.transfers, self.pool, renderer, self.on_demand, self.named, queue)
        deliveries.when_written(self.on_the_fly.purging.delivered)
        self.protected = Protected(settings.api.origins())
        self.refusals = Refusals()
        self.waits, self.streams = Waits(), Streams()
        self.states = States(
            self.protected.states,
            self.intake.states,
            queue.states,
            self.transfers.files.states,
            self.pool.states,
            self.on_the_fly.states,
        )

    def _upload_store(self, settings: Settings) -> UploadStore:
        if settings.uploads.bucket:
            timeout_s = settings.attempt.delivery_timeout_s
            return UploadedObjects(settings.uploads.bucket, self.transfers.s3, self.transfers.receive, timeout_s)
        parts = self.queue.upload_parts
        return Uploaded(settings.data_dir / datadir.UPLOADS) if parts is None else UploadedParts(parts)

    def close(self) -> None:
        """Free the pictures that were kept for later."""
        for owner in self._owners:
            owner.close()


@contextlib.contextmanager
def data_dir_held(settings: Settings) -> Iterator[None]:
    """Hold the directory's lock: its control socket has one server. The engine of a queue file takes it itself.

    Raises StorageFailing, also if another server holds it.
    """
    if not settings.queue_address.is_postgres:
        yield
        return
    lock = datadir.lock(settings.data_dir)
    if (file := settings.data_dir / FILE_NAME).exists():
        detail = f"no server carries out the jobs in {file}: the queue is in a database"
        logs.event("queue_file_left", level=logs.WARNING, detail=detail, hint="imgserve queue move, or delete the file")
    try:
        yield
    finally:
        os.close(lock)


async def open_queue(settings: Settings, clock: Clock) -> Queue:
    """Raises StorageFailing."""
    if settings.queue_address.is_postgres:
        from imgserve.jobs.postgres.address import Address
        from imgserve.jobs.postgres.queue import PostgresQueue  # it loads psycopg, which no other queue needs

        place = settings.queue_address
        address, home = Address.of(place), datadir.home(settings.data_dir, clock.mark().boot)
        queue = await PostgresQueue.open(address, settings.queue, clock, _count_end, settings.role, home)
        logs.event("queue_joined", queue=place.shown, role=settings.role)
        return queue
    return await SqliteQueue.open(settings.data_dir, settings.queue, clock, _count_end)


def _count_end(ended: Ended) -> None:
    metrics.job_ended(ended.status, ended.error, ended.ended_at - ended.created_at)
