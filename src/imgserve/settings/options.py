"""Every setting, declared once: flags, TOML keys, variables and the reference page all come from this table.

A setting called ``render_timeout_s`` is that key in the TOML file and ``IMGSERVE_RENDER_TIMEOUT_S`` in the environment;
some are flags too. Its default stands in the Config that ``target`` leads to. Read by ``read`` and ``load``, by the
command line and by docs/generate.py.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from imgserve.imaging.config import Isolation, Sandbox
from imgserve.request.limits import MAX_SIDE_PX
from imgserve.request.recipe import Quality
from imgserve.telemetry.config import Format as LogFormat
from imgserve.telemetry.config import Level as LogLevel

Text = Annotated[str, Meta(min_length=1)]
Texts = tuple[Text, ...]
Count = Annotated[int, Meta(ge=1)]
# More processes than any machine has CPUs; a mistyped million would fill it.
Workers = Annotated[int, Meta(ge=1, le=1024)]
Amount = Annotated[int, Meta(ge=0)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Side = Annotated[int, Meta(ge=1, le=MAX_SIDE_PX)]
Seconds = Annotated[float, Meta(gt=0, le=1e9)]
Share = Annotated[float, Meta(gt=0, le=1)]
Pause = Annotated[float, Meta(ge=0, le=1e9)]
# A worker maps the libraries before its first picture; with less it cannot start at all.
WorkerMemory = Annotated[int, Meta(ge=500_000_000)]

VARIABLE_PREFIX = "IMGSERVE_"


class Option(msgspec.Struct, frozen=True):
    """``target`` is the field of Settings, ``section.field`` or ``field``; ``doc`` a phrase without a full stop.

    ``default`` is for people, if the field's own default does not show it. Relative paths count from the working
    directory, in the TOML file from the file's. A secret is never repeated in a fault.
    """

    name: str
    target: str
    type: object
    doc: str
    unit: str = ""
    default: str = ""
    flags: tuple[str, ...] = ()
    metavar: str = ""
    is_list: bool = False
    is_path: bool = False
    is_secret: bool = False

    @property
    def variable(self) -> str:
        return VARIABLE_PREFIX + self.name.upper()


CONFIG = Option(
    "config", "", Text, "TOML file with settings; it must exist if it is named",
    default="`/etc/imgserve.toml` for root, else `~/.imgserve/imgserve.toml`, if it exists",
    flags=("--config",), metavar="FILE", is_path=True,
)  # fmt: skip

# fmt: off
TOPICS: dict[str, tuple[Option, ...]] = {
    "The server": (
        Option("host", "api.host", Text, "address to listen on", flags=("--host", "-host"), metavar="ADDRESS"),
        Option("port", "api.port", Port, "port; 0 takes a free one", flags=("--port", "-port"), metavar="N"),
        Option("api_key_file", "api.key_file", Text, "serve clients that show a key of this file, and only them",
               default="none: protected mode", flags=("--api-key-file",), metavar="FILE", is_path=True),
        Option("tls_cert", "api.tls_cert", Text, "serve by TLS with this certificate and its intermediate ones (PEM)",
               default="none: plain HTTP", flags=("--tls-cert",), metavar="FILE", is_path=True),
        Option("tls_key", "api.tls_key", Text, "its private key (PEM, without a password)", default="none",
               flags=("--tls-key",), metavar="FILE", is_path=True),
        Option("cors_origin", "api.cors_origins", Texts, "pages of this origin may use the server from a browser",
               default="none", flags=("--cors-origin",), metavar="ORIGIN", is_list=True),
        Option("data_dir", "data_dir", Text, "where the queue is; made if missing, mode 0700; one server at a time",
               default="`~/.imgserve`, for root `/var/lib/imgserve`", flags=("--data-dir",), metavar="DIR",
               is_path=True),
        Option("pid_file", "pid_file", Text, "names the running server; not with `--foreground`",
               default="`imgserve.pid` in the data directory, for root `/var/run/imgserve.pid`",
               flags=("--pid-file",), metavar="FILE", is_path=True),
        Option("log_file", "log.file", Text, "the server's log; with `--foreground` it goes to stderr instead",
               default="`imgserve.log` in the data directory, for root `/var/log/imgserve/imgserve.log`",
               flags=("--log-file",), metavar="FILE", is_path=True),
        Option("log_max_bytes", "log.max_bytes", Amount, "a log that would grow larger is renamed to `.1`; 0: never",
               "bytes"),
        Option("log_keep", "log.keep", Amount, "renamed logs that are kept; 0: none is renamed"),
        Option("log_format", "log_lines.format", LogFormat, "how log lines look", flags=("--log-format",),
               metavar="FORMAT"),
        Option("log_level", "log_lines.level", LogLevel, "the least that is logged", flags=("--log-level",),
               metavar="LEVEL"),
        Option("otel_endpoint", "tracing.endpoint", Text,
               "OTLP/HTTP receiver of traces, as `http://127.0.0.1:4318`; needs the extra `otel`", default="none",
               flags=("--otel-endpoint",), metavar="URL"),
        Option("user", "user", Text, "whom a server started by root becomes when port, log and pid file are open",
               default="stays who it is", flags=("--user",), metavar="NAME"),
        Option("drain_s", "drain_s", Pause, "how long a stopping server lets running jobs finish", "seconds"),
        Option("request_header_timeout_s", "api.header_timeout_s", Seconds,
               "a request's header must be complete in this time", "seconds"),
        Option("request_body_timeout_s", "api.body_timeout_s", Seconds, "a job's JSON must be complete in this time",
               "seconds"),
        Option("max_connections", "api.max_connections", Amount,
               "connections at once, no more than there are descriptors for",
               default="a quarter of the limit of open files, at most 8,192"),
        Option("max_connections_per_address", "api.max_connections_per_address", Amount,
               "of these from one address (of IPv6: one /64); this machine's own are not counted",
               default="half of `max_connections`"),
        Option("rate_limit_per_minute", "api.rate_per_minute", Amount, "jobs that one caller may post; 0: any number",
               "a minute"),
        Option("rate_limit_burst", "api.rate_burst", Count, "of these at once, after a pause"),
        Option("max_job_bytes", "api.max_body_bytes", Count, "a job's JSON", "bytes"),
    ),
    "What jobs may reach": (
        Option("allow_network", "transfer.allow_networks", Texts,
               "opens a network that is not public to sources and destinations", default="none",
               flags=("--allow-network",), metavar="CIDR", is_list=True),
        Option("ports", "transfer.ports", Texts, "ports and ranges of ports that transfers may connect to",
               is_list=True),
        Option("read_root", "transfer.read_roots", Texts, "opens a directory to `file:` sources", default="none",
               flags=("--read-root",), metavar="DIR", is_list=True, is_path=True),
        Option("write_root", "transfer.write_roots", Texts, "opens a directory to `file:` destinations",
               default="none", flags=("--write-root",), metavar="DIR", is_list=True, is_path=True),
        Option("proxy", "transfer.proxy", Text,
               "all transfers but `file:` go through this proxy, which then has to judge addresses: `http`, `https`, "
               "`socks5` or `socks5h`, with its port",
               default="none", flags=("--proxy",), metavar="URL", is_secret=True),
        Option("referer", "transfer.referers", Texts,
               "what HTTP requests to a host say they come from, as `HOST=URL`; `*.` stands for all hosts of a domain",
               default="none", is_list=True),
        Option("ca_file", "transfer.ca_file", Text,
               "certificates (PEM) of authorities that are trusted beside the usual ones",
               default="none", flags=("--ca-file",), metavar="FILE", is_path=True),
    ),
    "Transfers": (
        Option("connect_timeout_s", "transfer.connect_timeout_s", Seconds, "a connection must stand in this time",
               "seconds"),
        Option("source_timeout_s", "transfer.source_timeout_s", Seconds, "a source must be there in this time",
               "seconds"),
        Option("placeholder_timeout_s", "intake.placeholder_timeout_s", Seconds,
               "a placeholder must be delivered in this time", "seconds"),
        Option("delivery_timeout_s", "attempt.delivery_timeout_s", Seconds, "a result must be delivered in this time",
               "seconds"),
        Option("low_speed_bytes_s", "transfer.low_speed_bytes_s", Count, "a transfer slower than this is ended",
               "bytes a second"),
        Option("low_speed_time_s", "transfer.low_speed_time_s", Count, "when it has been so for this long", "seconds"),
        Option("max_transfers", "transfer.max_transfers", Count, "transfers at once"),
        Option("max_transfers_per_host", "transfer.max_per_host", Count, "of these to one host and port"),
        Option("max_transfers_per_ftp_host", "transfer.max_per_host_ftp", Count, "of these to one FTP server"),
        Option("source_memory_bytes", "transfer.memory_bytes", Count,
               "memory for sources on their way; jobs wait while it is taken", "bytes"),
        Option("kept_renditions_bytes", "attempt.kept_renditions_bytes", Amount,
               "memory for results whose delivery has to be tried again", "bytes"),
        Option("placeholder_cache_bytes", "placeholder.cache_bytes", Amount, "memory for placeholders already drawn",
               "bytes"),
    ),
    "Limits of pictures": (
        Option("max_source_bytes", "limits.source_bytes", Count, "a source, as sent and as decoded by HTTP", "bytes"),
        Option("max_svg_bytes", "limits.svg_bytes", Count, "an SVG", "bytes"),
        Option("max_frame_pixels", "limits.frame_pixels", Count, "one frame of a source", "pixels"),
        Option("max_frames", "limits.frames", Count, "frames of a source"),
        Option("max_total_pixels", "limits.total_pixels", Count, "all frames of a source together", "pixels"),
        Option("max_output_pixels", "limits.output_pixels", Count, "a result, all its frames together", "pixels"),
        Option("max_output_side_px", "limits.output_side_px", Side, "a side of a result", "pixels"),
    ),
    "Results": (
        Option("jpeg_quality", "intake.jpeg_quality", Quality, "of JPEG results whose job names none"),
        Option("webp_quality", "intake.webp_quality", Quality, "of WebP results whose job names none"),
        Option("avif_quality", "intake.avif_quality", Quality, "of AVIF results whose job names none"),
    ),
    "Workers": (
        Option("workers", "pool.workers", Workers, "render processes", default="one per CPU", flags=("--workers",),
               metavar="N"),
        Option("sandbox", "pool.sandbox", Sandbox, "`require`: do not start where the kernel cannot lock workers in",
               flags=("--sandbox",), metavar="MODE"),
        Option("isolation", "pool.isolation", Isolation,
               "whose pictures one worker may read: one key's (`principal`), a single one (`picture`), all (`shared`)"),
        Option("allow_system_libvips", "pool.allow_system_libvips", bool,
               "`true`: take a libvips that is not the tested one of the package `pyvips-binary`"),
        Option("render_timeout_s", "pool.render_timeout_s", Seconds, "a render that takes longer is killed",
               "seconds"),
        Option("svg_timeout_s", "pool.svg_timeout_s", Seconds, "the same for an SVG", "seconds"),
        Option("probe_timeout_s", "pool.probe_timeout_s", Seconds,
               "the same for reading a header and for drawing a placeholder", "seconds"),
        Option("recycle_after", "pool.recycle_after", Count, "renders after which a worker is replaced"),
        Option("worker_memory_bytes", "pool.memory_limit_bytes", WorkerMemory, "address space of a worker", "bytes"),
    ),
    "The queue": (
        Option("max_waiting", "queue.max_waiting", Count, "waiting jobs; then new ones get code 301"),
        Option("queue_share", "queue.share", Share,
               "the part of `max_waiting`, `max_intake` and `max_intake_waiting` that one of several keys may fill"),
        Option("max_intake", "intake.max_at_once", Count, "jobs being taken in at once; others wait for their reply"),
        Option("max_intake_waiting", "intake.max_waiting", Count, "of these others; then new jobs get code 301"),
        Option("intake_host_share", "intake.host_share", Share,
               "the part of `max_intake` for results to one host (half of it for pictures of one), and of "
               "`max_intake_waiting` for pictures of one host (one and a half times that for results)"),
        Option("max_attempts_at_once", "runner.max_attempts", Count, "jobs under way at once",
               default="16 per worker, at most 64"),
        Option("max_slow_per_host", "runner.max_slow_per_host", Count,
               "deliveries of more than 2 s to one host and port; more of its jobs then wait, so that others go on"),
        Option("max_debts_at_once", "runner.max_debts", Count, "failure pictures under way at once"),
        Option("attempt_timeout_s", "runner.attempt_timeout_s", Seconds, "one attempt at a job", "seconds"),
        Option("deadline_s", "intake.deadline_s", Seconds, "all attempts at a job together", "seconds"),
        Option("retry_delay_s", "attempt.retry_delay_s", Seconds,
               "how long the second attempt waits after the first; each later one waits twice as long, 600 s at most",
               "seconds"),
        Option("repeat_after_s", "attempt.repeat_after_s", Pause,
               "when a result is sent once more because its placeholder was never answered", "seconds"),
        Option("debt_s", "queue.debt_s", Seconds, "how long a failure picture is retried", "seconds"),
        Option("lease_s", "queue.lease_s", Seconds, "how long a claim on a job lasts unless renewed", "seconds"),
        Option("heartbeat_s", "queue.heartbeat_s", Seconds, "how often claims are renewed", "seconds"),
        Option("quiet_s", "queue.quiet_s", Pause,
               "how long the destinations of a killed server's unanswered jobs are left alone", "seconds"),
        Option("keep_ended_s", "queue.keep_ended_s", Pause,
               "how long jobs are listed after they have succeeded, or were cancelled or superseded", "seconds"),
        Option("keep_failed_s", "queue.keep_failed_s", Pause, "how long failed jobs are listed, and can be retried",
               "seconds"),
        Option("min_free_disk_bytes", "queue.min_free_disk_bytes", Amount,
               "with less free space in the data directory no job is taken", "bytes"),
    ),
}
# fmt: on

OPTIONS: tuple[Option, ...] = (CONFIG, *(option for topic in TOPICS.values() for option in topic))
BY_NAME = {option.name: option for option in OPTIONS}
BY_TARGET = {option.target: option for option in OPTIONS}


def expected(option: Option) -> str:
    """The expected value in words: for faults and for the reference page."""
    schema = msgspec.json.schema(option.type)
    if option.is_list:
        return "a list of texts"
    if "enum" in schema:
        return "one of " + ", ".join(sorted(schema["enum"]))
    words = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "a text"}
    low, high = schema.get("minimum"), schema.get("maximum")
    said = words[schema["type"]]
    if "exclusiveMinimum" in schema:
        most = f", at most {high:g}" if high is not None and high < 1e9 else ""
        return f"{said} above {schema['exclusiveMinimum']:g}{most}"
    if low is not None and high is not None and high < 1e9:
        return f"{said} from {low} to {high:,}"
    return f"{said} from {low:,}" if low is not None else said
