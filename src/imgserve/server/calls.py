"""The applications of a server's two listeners: which page answers which call."""

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
from imgserve.api.rate import NO_RATE, Rates
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
from imgserve.api.v1.submit import Submit
from imgserve.api.v1.webhooks import Webhooks
from imgserve.request.encode import Format
from imgserve.request.limits import Limits
from imgserve.server.build import Components
from imgserve.transfer.config import Config as TransferConfig

UPLOAD_AT_MOST_S = 300.0
MOST_FORM_BYTES = 200_000_000  # of a job with its picture
PARTS_BYTES = 65_536  # for the headers of parts
CALLS = (
    render.CALL, *facts.CALLS, submit.CALL, *job_pages.CALLS, *webhook_pages.CALLS, *event_pages.CALLS,
    preset_pages.CALL, server.CALL, *cache_pages.CALLS,
)  # fmt: skip


class Calls:
    """The calls of the components ``parts``."""

    def __init__(self, parts: Components) -> None:
        self._parts = parts
        settings = parts.settings
        self._most_picture_bytes = settings.limits.source_bytes
        self._upload = upload_limits(settings.limits, settings.transfer)
        form = msgspec.structs.replace(self._upload, max_bytes=min(self._upload.max_bytes, MOST_FORM_BYTES))
        self._of_forms = FormLimits(form, self._most_picture_bytes)

    def for_clients(self, config: Config, keys: Keys, presets: Presets) -> App:
        """The application of the TCP listener. A runner has no calls for clients there."""
        parts = self._parts
        identify = partial(client, keys, parts.protected)
        scraped = metrics_page(
            parts.queue, parts.pool, parts.on_demand, parts.transfers, parts.states, parts.on_the_fly.purging
        )
        health = health_page(parts.states, parts.pool)
        probes: dict[tuple[str, str], App] = {
            ("GET", "/health"): health,
            ("HEAD", "/health"): health,
            ("GET", "/health/live"): live_page,
            ("HEAD", "/health/live"): live_page,
            ("GET", "/metrics"): native(scraped),
        }
        if parts.settings.role == "runner":
            return app.for_probes(config, identify, probes)
        rates = Rates(config.rate_per_minute, config.rate_burst)
        classic = Classic(parts.intake, rates, parts.refusals, presets)
        order = cast(tuple[Format, ...], config.negotiate)
        info = facts.Info(parts.on_demand, self._most_picture_bytes)
        apps: dict[tuple[str, str], App] = {
            **probes,
            ("POST", "/v1/render"): render.Render(parts.on_demand, presets, order, self._most_picture_bytes),
            ("GET", "/v1/info"): info.get,
            ("POST", "/v1/info"): info.post,
            ("GET", "/v1/server"): self._offer(config),
            **self._native(presets, rates),
            **description_apps(CALLS, table(config, self._upload)),
        }
        mounts = parts.on_the_fly.mounts
        return app.for_clients(config, self._upload, identify, classic, parts.refusals, apps, mounts)

    def for_operator(self, config: Config, itself: Itself, presets: Presets) -> App:
        """The application of the control socket."""
        parts = self._parts
        classic = Classic(parts.intake, NO_RATE, parts.refusals, presets)
        apps: dict[tuple[str, str], App] = {
            **self._native(presets, NO_RATE),
            ("GET", "/v1/refusals"): native(RefusalList(parts.refusals)),
            ("GET", "/v1/server"): server.State(self._offer(config), parts.states, parts.queue, parts.pool, itself),
        }
        return app.for_operator(config, self._upload, classic, apps)

    def _native(self, presets: Presets, rates: Rates) -> dict[tuple[str, str], App]:
        """The calls that both listeners have."""
        parts = self._parts
        jobs, webhooks = Jobs(parts.job_admin, parts.waits), Webhooks(parts.job_admin)
        events = Events(parts.queue, parts.job_admin, parts.streams, parts.clock)
        caches = Caches(parts.on_the_fly.purging)
        return {
            ("GET", "/v1/presets"): PresetPage(presets),
            ("GET", "/v1/jobs"): native(jobs.page),
            ("POST", "/v1/jobs"): Submit(
                parts.intake,
                parts.uploads,
                parts.job_admin,
                jobs,
                presets,
                rates,
                parts.refusals,
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
        parts = self._parts
        settings = parts.settings
        whole = QuotaView(
            max_waiting=settings.queue.max_waiting, max_on_demand=settings.on_demand.max_at_once,
            rate_limit_per_minute=config.rate_per_minute or None, max_upload_bytes=settings.uploads.quota_bytes,
        )  # fmt: skip
        own = msgspec.structs.replace(
            whole, max_waiting=settings.queue.max_per_principal, max_on_demand=parts.on_demand.max_per_principal
        )
        return server.Offer(settings.limits, config.max_body_bytes, whole, own)


def upload_limits(limits: Limits, config: TransferConfig) -> Body:
    """The limits of a request that brings a picture: as fast as a source must be."""
    most_bytes = limits.source_bytes + CALL_BYTES + PARTS_BYTES
    lowest_bytes = config.low_speed_bytes_s * config.low_speed_time_s
    return Body(most_bytes, config.low_speed_time_s, lowest_bytes, UPLOAD_AT_MOST_S)
