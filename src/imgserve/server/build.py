"""The composition root: builds the components of a server process from its settings. ``lifecycle`` starts them."""

import contextlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

import msgspec

from imgserve.api import app
from imgserve.api.auth import Keys, client
from imgserve.api.classic import Classic
from imgserve.api.config import Config
from imgserve.api.control_socket import QuotaView
from imgserve.api.health import health_page, live_page
from imgserve.api.http.asgi import App
from imgserve.api.http.body import Body
from imgserve.api.metrics import metrics_page
from imgserve.api.presets import Presets
from imgserve.api.problems import native
from imgserve.api.protected import Protected
from imgserve.api.rate import NO_RATE, Rates
from imgserve.api.refusals import Refusals
from imgserve.api.routes import CALL_BYTES, table
from imgserve.api.v1 import cache as cache_pages
from imgserve.api.v1 import events as event_pages
from imgserve.api.v1 import facts, render, server, submit
from imgserve.api.v1 import jobs as job_pages
from imgserve.api.v1 import presets as preset_pages
from imgserve.api.v1 import webhooks as webhook_pages
from imgserve.api.v1.cache import Caches
from imgserve.api.v1.describe import description_apps
from imgserve.api.v1.events import Events
from imgserve.api.v1.jobs import Jobs
from imgserve.api.v1.posted_job import FormLimits
from imgserve.api.v1.presets import PresetPage
from imgserve.api.v1.refusals import RefusalList
from imgserve.api.v1.server import Itself
from imgserve.api.v1.streams import Streams
from imgserve.api.v1.submit import Submit
from imgserve.api.v1.waits import Waits
from imgserve.api.v1.webhooks import Webhooks
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
from imgserve.request.encode import Format
from imgserve.request.limits import Limits
from imgserve.server.onthefly import OnTheFly
from imgserve.settings.tree import Settings
from imgserve.telemetry import logs, metrics
from imgserve.telemetry.states import States
from imgserve.transfer.config import Config as TransferConfig
from imgserve.transfer.credentials import Credentials
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.fetch import Fetch
from imgserve.transfer.protocols.uploaded import Uploaded
from imgserve.transfer.protocols.uploaded_objects import UploadedObjects
from imgserve.transfer.store import Store
from imgserve.transfer.uploads import UploadStore

PREFETCH_BYTES = 64_000_000
UPLOAD_AT_MOST_S = 300.0
MOST_FORM_BYTES = 200_000_000  # of a job with its picture
PARTS_BYTES = 65_536  # for the headers of parts
CALLS = (
    render.CALL, *facts.CALLS, submit.CALL, *job_pages.CALLS, *webhook_pages.CALLS, *event_pages.CALLS,
    preset_pages.CALL, server.CALL, *cache_pages.CALLS,
)  # fmt: skip


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
        self._settings = settings
        self.queue = queue
        self._clock = clock
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
        self.on_demand = OnDemand(
            self.transfers, self.pool, renderer, self.named, settings.limits, intake.defaults(),
            settings.on_demand.within(max_connections), settings.queue.quota, intake.host_quota,
            settings.transfer.source_timeout_s,
        )  # fmt: skip
        self.on_the_fly = OnTheFly(settings, self.transfers, self.pool, renderer, self.on_demand, self.named, queue)
        deliveries.when_written(self.on_the_fly.purging.delivered)
        self._most_picture_bytes = most_bytes
        self._upload = upload_limits(settings.limits, settings.transfer)
        form = msgspec.structs.replace(self._upload, max_bytes=min(self._upload.max_bytes, MOST_FORM_BYTES))
        self._of_forms = FormLimits(form, most_bytes)
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

    def _metrics(self) -> App:
        return metrics_page(self.queue, self.pool, self.on_demand, self.transfers, self.states, self.on_the_fly.purging)

    def for_clients(self, config: Config, keys: Keys, presets: Presets) -> App:
        """The application of the TCP listener. A runner has no calls for clients there."""
        identify = partial(client, keys, self.protected)
        probes: dict[tuple[str, str], App] = {
            ("GET", "/health"): health_page(self.states, self.pool),
            ("GET", "/health/live"): live_page,
            ("GET", "/metrics"): native(self._metrics()),
        }
        if self._settings.role == "runner":
            return app.for_probes(config, identify, probes)
        rates = Rates(config.rate_per_minute, config.rate_burst)
        classic = Classic(self.intake, rates, self.refusals, presets)
        order = cast(tuple[Format, ...], config.negotiate)
        info = facts.Info(self.on_demand, self._most_picture_bytes)
        apps: dict[tuple[str, str], App] = {
            **probes,
            ("POST", "/v1/render"): render.Render(self.on_demand, presets, order, self._most_picture_bytes),
            ("GET", "/v1/info"): info.get,
            ("POST", "/v1/info"): info.post,
            ("GET", "/v1/server"): self._offer(config),
            **self._native(presets, rates),
            **description_apps(CALLS, table(config, self._upload)),
        }
        mounts = self.on_the_fly.mounts
        return app.for_clients(config, self._upload, identify, classic, self.refusals, apps, mounts)

    def for_operator(self, config: Config, itself: Itself, presets: Presets) -> App:
        """The application of the control socket."""
        classic = Classic(self.intake, NO_RATE, self.refusals, presets)
        apps: dict[tuple[str, str], App] = {
            **self._native(presets, NO_RATE),
            ("GET", "/v1/refusals"): native(RefusalList(self.refusals)),
            ("GET", "/v1/server"): server.State(self._offer(config), self.states, self.queue, self.pool, itself),
        }
        return app.for_operator(config, self._upload, classic, apps)

    def _native(self, presets: Presets, rates: Rates) -> dict[tuple[str, str], App]:
        """The calls that both listeners have."""
        jobs, webhooks = Jobs(self.job_admin, self.waits), Webhooks(self.job_admin)
        events = Events(self.queue, self.job_admin, self.streams, self._clock)
        caches = Caches(self.on_the_fly.purging)
        return {
            ("GET", "/v1/presets"): PresetPage(presets),
            ("GET", "/v1/jobs"): native(jobs.page),
            ("POST", "/v1/jobs"): Submit(
                self.intake,
                self.uploads,
                self.job_admin,
                jobs,
                presets,
                rates,
                self.refusals,
                self._of_forms,
            ),
            ("GET", "/v1/jobs/{job_id}"): native(jobs.show),
            ("POST", "/v1/jobs/{job_id}/cancel"): native(jobs.cancel),
            ("POST", "/v1/jobs/{job_id}/retry"): native(jobs.retry),
            ("GET", "/v1/jobs/{job_id}/events"): native(events.of_one),
            ("GET", "/v1/jobs/{job_id}/webhooks"): native(webhooks.log),
            ("POST", "/v1/jobs/{job_id}/webhooks/replay"): native(webhooks.replay),
            ("GET", "/v1/events"): native(events.of_all),
            ("GET", "/v1/cache"): native(caches.show),
            ("POST", "/v1/cache/purge"): native(caches.purge),
        }

    def _offer(self, config: Config) -> server.Offer:
        settings = self._settings
        whole = QuotaView(
            max_waiting=settings.queue.max_waiting, max_on_demand=settings.on_demand.max_at_once,
            rate_limit_per_minute=config.rate_per_minute or None, max_upload_bytes=settings.uploads.quota_bytes,
        )  # fmt: skip
        own = msgspec.structs.replace(
            whole, max_waiting=settings.queue.max_per_principal, max_on_demand=self.on_demand.max_per_principal
        )
        return server.Offer(settings.limits, config.max_body_bytes, whole, own)


def upload_limits(limits: Limits, config: TransferConfig) -> Body:
    """The limits of a request that brings a picture: as fast as a source must be."""
    most_bytes = limits.source_bytes + CALL_BYTES + PARTS_BYTES
    lowest_bytes = config.low_speed_bytes_s * config.low_speed_time_s
    return Body(most_bytes, config.low_speed_time_s, lowest_bytes, UPLOAD_AT_MOST_S)


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
