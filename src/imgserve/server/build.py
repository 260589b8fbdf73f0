"""The composition root: builds the components of a server process from its settings. ``lifecycle`` starts them."""

from collections.abc import Callable
from functools import partial

from imgserve.api import app
from imgserve.api.auth import Keys, client
from imgserve.api.classic import Classic
from imgserve.api.config import Config
from imgserve.api.health import health_handler
from imgserve.api.http.asgi import App
from imgserve.api.metrics import metrics_handler
from imgserve.api.presets import Presets
from imgserve.api.protected import Protected
from imgserve.api.rate import Rates
from imgserve.api.refusals import Refusals
from imgserve.api.v1.info import Itself, server_handler
from imgserve.api.v1.jobs import job_handlers
from imgserve.blob import Blob
from imgserve.clock import Clock
from imgserve.engine import pages
from imgserve.engine.admission import Admission
from imgserve.engine.attempt import Attempts
from imgserve.engine.delivery import Deliveries
from imgserve.engine.intake import Intake
from imgserve.engine.operator import JobAdmin
from imgserve.engine.outbox import Outbox, senders
from imgserve.engine.placeholder import Placeholders
from imgserve.engine.render import Renderer
from imgserve.engine.runner import Runner
from imgserve.imaging.pool import Pool
from imgserve.jobs.model import Ended
from imgserve.jobs.sqlite.queue import SqliteQueue
from imgserve.request.classic.spelling import output_spelling
from imgserve.settings.tree import Settings
from imgserve.telemetry import metrics
from imgserve.telemetry.states import States
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.fetch import Fetch
from imgserve.transfer.store import Store

PREFETCH_BYTES = 64_000_000


class Components:
    def __init__(
        self, settings: Settings, queue: SqliteQueue, clock: Clock, is_shared: Callable[[], bool], max_kept: int
    ) -> None:
        """``max_kept``: the most pictures in each store, however small they are."""
        self.queue = queue
        self.pool = Pool(settings.pool, settings.limits, is_shared)
        self.transfers = Transfers(settings.transfer, settings.limits, pages.reader(self.pool))
        prefetched: Store[Fetch] = Store(PREFETCH_BYTES, max_kept)
        placeholders = Placeholders(self.pool, settings.placeholder)
        deliveries = Deliveries(queue, self.transfers, clock)
        renderer = Renderer(self.transfers, self.pool)
        renditions: Store[Blob] = Store(settings.attempt.kept_renditions_bytes, max_kept)
        self._stores = (prefetched, placeholders, renditions)
        attempts = Attempts(
            queue, renderer, deliveries, prefetched, renditions, settings.attempt, clock, spelling=output_spelling
        )
        by_kind = senders(deliveries, placeholders, settings.attempt.delivery_timeout_s)
        outbox = Outbox(queue, by_kind, settings.runner.max_outbox, settings.attempt.retry_delay_s, clock)
        self.runner = Runner(queue, attempts, outbox, settings.runner, settings.queue, is_shared, clock)
        self.job_admin = JobAdmin(queue, self.runner, prefetched, settings.intake.deadline_s, clock)
        intake = settings.intake
        admission = Admission(intake.max_at_once, intake.max_waiting, settings.queue.quota, intake.host_quota)
        self.intake = Intake(
            queue, self.transfers, self.pool, placeholders, deliveries, prefetched, admission, settings.limits, intake,
            clock, spelling=output_spelling,
        )  # fmt: skip
        self.protected = Protected(settings.api.origins())
        self.refusals = Refusals()
        self.states = States(
            self.protected.states, self.intake.states, queue.states, self.transfers.files.states, self.pool.states
        )

    def close(self) -> None:
        """Free the pictures that were kept for later."""
        for store in self._stores:
            store.close()

    def for_clients(self, config: Config, keys: Keys, presets: Presets) -> App:
        """The application of the TCP listener."""
        classic = Classic(self.intake, Rates(config.rate_per_minute, config.rate_burst), self.refusals, presets)
        metrics_page = metrics_handler(self.queue, self.pool, self.transfers, self.states)
        handlers = (health_handler(self.states, self.pool), metrics_page)
        return app.for_clients(config, partial(client, keys, self.protected), classic, handlers)

    def for_operator(self, config: Config, itself: Itself, presets: Presets) -> App:
        """The application of the control socket."""
        calls = job_handlers(self.intake, self.job_admin, self.refusals, presets)
        return app.for_operator(config, [*calls, server_handler(self.states, self.queue, self.pool, itself)])


async def open_queue(settings: Settings, clock: Clock) -> SqliteQueue:
    """Raises StorageFailing."""
    return await SqliteQueue.open(settings.data_dir, settings.queue, clock, _count_end)


def _count_end(ended: Ended) -> None:
    metrics.job_ended(ended.status, ended.error, ended.ended_at - ended.created_at)
