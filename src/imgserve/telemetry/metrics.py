"""The metrics for Prometheus: every metric of ``GET /metrics`` is declared here and nowhere else.

The server counts events as they happen; ``api/metrics.py`` sets the gauges before it calls ``text``. Labels are codes
and names of ours, never anything that a client sent. docs/reference/metrics.md is made from this module.
"""

from collections import Counter as Counts
from collections import defaultdict
from collections.abc import Callable, Iterable
from importlib.metadata import version
from itertools import accumulate
from platform import python_version
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics import disable_created_metrics
from prometheus_client.registry import Collector

from imgserve.telemetry import gets
from imgserve.telemetry.gets import SECONDS, Tally

Stage = Literal[
    "intake", "probe", "deliver_placeholder", "attempt", "fetch", "render", "deliver_final", "outbox", "deliver_failed",
    "webhook", "on_demand", "receive",
]  # fmt: skip
WorkerEnd = Literal["died", "deadline", "cancelled", "fault", "retired", "switched", "surplus", "stopped"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LONG_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 21600.0, 86400.0)

disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry(auto_describe=True)


def _counter(name: str, doc: str, *labels: str) -> Counter:
    return Counter(f"imgserve_{name}", doc, labels, registry=REGISTRY)


def _gauge(name: str, doc: str, *labels: str) -> Gauge:
    return Gauge(f"imgserve_{name}", doc, labels, registry=REGISTRY)


def _histogram(name: str, doc: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    return Histogram(f"imgserve_{name}", doc, labels, buckets=buckets, registry=REGISTRY)


class Reading(Collector):
    """A family that is made from plain numbers at each scrape."""

    def __init__(self, labels: tuple[str, ...], read: Callable[[], Metric]) -> None:
        self._labelnames, self._read = labels, read
        REGISTRY.register(self)

    def collect(self) -> list[Metric]:
        return [self._read()]

    describe = collect


Labels = tuple[str | int, ...]


def _read_counter(name: str, doc: str, read: Callable[[], Iterable[tuple[Labels, int]]], *labels: str) -> Reading:
    """Numbers of equal labels are added."""

    def family() -> Metric:
        sums: Counts[Labels] = Counts()
        for values, number in read():
            sums[values] += number
        family = CounterMetricFamily(f"imgserve_{name}", doc, labels=labels)
        for values, number in sums.items():
            family.add_metric([str(value) for value in values], number)
        return family

    return Reading(labels, family)


def _read_histogram(name: str, doc: str, read: Callable[[], Iterable[tuple[Labels, Tally]]], *labels: str) -> Reading:
    """Durations of equal labels are counted together."""
    bounds = [*map(str, SECONDS), "+Inf"]

    def family() -> Metric:
        tallies: defaultdict[Labels, list[Tally]] = defaultdict(list)
        for values, tally in read():
            tallies[values].append(tally)
        family = HistogramMetricFamily(f"imgserve_{name}", doc, labels=labels)
        for values, several in tallies.items():
            counts = accumulate(map(sum, zip(*(tally.buckets for tally in several), strict=True)))
            buckets = [(bound, float(count)) for bound, count in zip(bounds, counts, strict=True)]
            family.add_metric([str(value) for value in values], buckets, sum(tally.seconds for tally in several))
        return family

    return Reading(labels, family)


# What the caches of GETs count themselves; each scrape sets it.
cache_lookups: dict[tuple[str, str], int] = {}
cache_evicted: dict[tuple[str], int] = {}

POSTS = _counter(
    "posts_total",
    "Answers to `POST /` and `POST /v1/jobs`. `result`: accepted, adopted (an earlier job's), refused; `code` of a"
    " refusal: the classic code or parse_error, of a native job the problem's",
    "result", "code",
)  # fmt: skip
GETS = _read_counter(
    "gets_total",
    "Answers of mounted dialects. `state`: hit, stale, known (no render was needed to say that the client has it),"
    " revalidated, made, raw (the source as it is), fallback, redirect, refused, gone (the client left)",
    lambda: ((key, sum(kind.buckets)) for key, kind in [*gets.answers.items()]),
    "dialect", "status", "state",
)  # fmt: skip
GET_SECONDS = _read_histogram(
    "get_seconds",
    "From a GET to the end of its answer",
    lambda: (((dialect, state), kind) for (dialect, _, state), kind in [*gets.answers.items()]),
    "dialect", "state",
)  # fmt: skip
GET_BYTES = _read_counter(
    "get_bytes_total",
    "Bytes of pictures that mounted dialects have sent",
    lambda: (((dialect,), kind.size_bytes) for (dialect, _, _), kind in [*gets.answers.items()]),
    "dialect",
)
GET_STAGE_SECONDS = _read_histogram(
    "get_stage_seconds",
    "Time spent in a stage for GETs, with or without an error. `stage`: cache, queue, fetch, probe, wait, render, send",
    lambda: [*gets.stages.items()],
    "dialect", "stage",
)  # fmt: skip
GET_COALESCED = _read_counter(
    "get_coalesced_total",
    "GETs that waited for the `work` of an earlier request: fetch (its source), render (the same picture)",
    lambda: [*gets.coalesced.items()],
    "dialect", "work",
)  # fmt: skip
CACHE_LOOKUPS = _read_counter(
    "cache_lookups_total",
    "Look-ups in the caches of GETs. `cache`: pictures, sources; `result`: memory, disk, miss",
    lambda: [*cache_lookups.items()],
    "cache", "result",
)  # fmt: skip
CACHE_EVICTED = _read_counter(
    "cache_evicted_total", "Entries that were given up for others", lambda: [*cache_evicted.items()], "cache"
)
CONNECTIONS_REFUSED = _counter(
    "connections_refused_total",
    "Connections closed unread. `reason`: the limit reached, of `all` connections or of the `address`", "reason",
)  # fmt: skip
REFUSALS = _counter(
    "refusals_total",
    "Refusals of jobs with code 301 or 302, or status 429 or 503, by `reason`, the error's code: not_authorised,"
    " rate_limited, queue_quota_full, queue_full, draining, storage_failing or disk_full",
    "reason",
)  # fmt: skip
JOBS_ENDED = _counter(
    "jobs_ended_total", "Jobs that have ended. `end`: their status; `code`: the error of a failed one", "end", "code"
)
# In plain numbers, as ``gets`` has them: a job ends seven stages, and the library's counters, which many threads may
# write, cost several times as much. The event loop alone writes these.
_stages: dict[Stage, Tally] = {stage: Tally() for stage in get_args(Stage)}
_until_placeholders = Tally()
STAGE_SECONDS = _read_histogram(
    "stage_seconds",
    "Time spent in a stage, with or without an error",
    lambda: [((stage,), tally) for stage, tally in _stages.items()],
    "stage",
)
STAGE_FAILURES = _counter("stage_failures_total", "Stages that ended with an error, by its code", "stage", "code")
PLACEHOLDER_SECONDS = _read_histogram(
    "placeholder_seconds", "From a job's arrival until its placeholders are out", lambda: [((), _until_placeholders)]
)
RESULT_SECONDS = _histogram("result_seconds", "From a job's acceptance to its success, retries included", LONG_SECONDS)
WEBHOOKS_ENDED = _counter(
    "webhooks_ended_total",
    "Messages to webhooks that are no longer tried. `end`: delivered, abandoned (after the last try), gone (the host"
    " answered 410)",
    "end",
)  # fmt: skip
WORKER_ENDS = _counter(
    "worker_ends_total",
    "Workers that have ended. `cause`: died (by itself, or killed by the system), deadline, cancelled (its job was"
    " aborted), fault (it had read a broken picture), retired (after its number of pictures), switched (another key"
    " needed its place), surplus, stopped",
    "cause",
)  # fmt: skip
LOG_EVENTS_LOST = _gauge("log_events_lost", "Log events lost since the start")

JOBS = _gauge("jobs", "Jobs that have not ended. `status`: accepting, queued (retries included), running", "status")
QUEUE_OLDEST_SECONDS = _gauge("queue_oldest_seconds", "Age of the oldest job that has not ended; 0 without one")
QUEUE_DELAY_SECONDS = _gauge("queue_delay_seconds", "How long the next job to be claimed has been due; 0 without one")
PLACEHOLDERS_LEFT = _gauge(
    "placeholders_left",
    "Placeholders of failed jobs that no failure picture has replaced. `state`: pending (still tried), abandoned,"
    " unreadable (abandoned because the stored output cannot be read)",
    "state",
)  # fmt: skip
WEBHOOKS = _gauge("webhooks", "Messages to webhooks. `state`: pending (still tried), abandoned", "state")
STATE = _gauge("state", "1 while the server is in this `state`; `/health` and `imgserve status` have the same", "state")
STORAGE_FAILING = _gauge("storage_failing", "1 while no job can be stored: storage_failing, disk_full, or no answer")
WORKERS = _gauge("workers", "Workers. `role`: render, intake, spare; `state`: idle, busy, missing", "role", "state")
EVENT_STREAMS = _gauge("event_streams", "Open streams of events")
WAITING_FOR_WORKER = _gauge("waiting_for_worker", "Pictures that wait for a worker", "role")
WORKERS_RESIDENT_BYTES = _gauge("workers_resident_bytes", "Memory of all workers, shared pages counted in each")
SOURCE_MEMORY_BYTES = _gauge("source_memory_bytes", "Memory that sources hold or have reserved")
SOURCE_MEMORY_LIMIT_BYTES = _gauge(
    "source_memory_limit_bytes", "Memory that sources may hold; claims wait while it is used up"
)
UPLOAD_BYTES = _gauge("upload_bytes", "Pictures that came with their jobs, and room reserved for those that are coming")
CACHE_BYTES = _gauge("cache_bytes", "What a cache of GETs holds. `place`: disk, memory", "cache", "place")
CACHE_LIMIT_BYTES = _gauge("cache_limit_bytes", "What it may hold", "cache", "place")
ON_DEMAND = _gauge("on_demand", "Pictures on demand. `state`: running (they have a slot), waiting (for one)", "state")
TRANSFERS = _gauge("transfers", "Exchanges with sources and destinations. `state`: running, waiting", "state")
BUILD_INFO = _gauge("build_info", "Always 1; the labels are the versions", "version", "python")

BUILD_INFO.labels(version("imgserve"), python_version()).set(1)
# Labels that are there from the start, so that the first event is seen as an increase.
_accepted = POSTS.labels("accepted", "")
_succeeded = JOBS_ENDED.labels("succeeded", "")
WEBHOOKS_ENDED.labels("delivered")
_worker_ends = {cause: WORKER_ENDS.labels(cause) for cause in get_args(WorkerEnd)}


def stage_ended(stage: Stage, seconds: float, code: str) -> None:
    _stages[stage].add(seconds)
    if code:
        STAGE_FAILURES.labels(stage, code).inc()


def placeholders_out(seconds: float) -> None:
    """``seconds`` since their job came."""
    _until_placeholders.add(seconds)


def job_accepted() -> None:
    _accepted.inc()


def job_ended(end: str, code: str, seconds: float) -> None:
    """``code`` counts for failed jobs only: a superseded one may carry the error of an earlier attempt."""
    if end == "succeeded":
        _succeeded.inc()
        RESULT_SECONDS.observe(seconds)
    else:
        JOBS_ENDED.labels(end, code if end == "failed" else "").inc()


def worker_ended(cause: WorkerEnd) -> None:
    _worker_ends[cause].inc()


def text() -> bytes:
    """All of it in Prometheus's text format. Takes milliseconds: call it in a thread."""
    return generate_latest(REGISTRY)


ProcessCollector(registry=REGISTRY)
