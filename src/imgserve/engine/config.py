"""The settings of what happens to a job. Read by ``settings``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import msgspec

from imgserve.jobs.retry import FIRST_DELAY_S
from imgserve.request.encode import DEFAULT_QUALITY, Defaults, Format, Quality, RenderProfile
from imgserve.request.faults import RequestInvalid
from imgserve.setting import Amount, Count, Fraction, Pause, Problem, Seconds, Setting, Text, Texts

if TYPE_CHECKING:
    from imgserve.request.webhook import Webhook


class IntakeConfig(msgspec.Struct, frozen=True):
    """``storage_timeout_s``: how long a caller of whose job nothing was sent yet waits for the queue's disk.

    ``max_at_once``: requests being taken in at a time; others wait unanswered, ``max_waiting`` at most.

    ``host_quota``: the part of both that one destination host may have; ``admission`` has the rest of it.
    The qualities and the profile are for results whose job names none.
    """

    # fmt: off
    max_at_once: Annotated[Count, Setting(
        "slots of intake: requests handled at once; others wait for their reply", name="max_intake")] = 32
    max_waiting: Annotated[Count, Setting(
        "requests that wait for a slot; then new jobs get code 301", name="max_intake_waiting")] = 2000
    host_quota: Annotated[Fraction, Setting(
        "fraction of `max_intake` and `max_intake_waiting` for results to one host; half of it for sources on one host",
        name="intake_host_quota")] = 0.5
    placeholder_timeout_s: Annotated[Seconds, Setting("time to deliver a placeholder", "seconds")] = 5.0
    storage_timeout_s: float = 30.0
    deadline_s: Annotated[Seconds, Setting("time for all attempts at a job together", "seconds")] = 24 * 3600.0
    jpeg_quality: Annotated[Quality, Setting("quality of JPEG results whose job sets none")] = DEFAULT_QUALITY["jpeg"]
    webp_quality: Annotated[Quality, Setting("quality of WebP results whose job sets none")] = DEFAULT_QUALITY["webp"]
    avif_quality: Annotated[Quality, Setting("quality of AVIF results whose job sets none")] = DEFAULT_QUALITY["avif"]
    render_profile: Annotated[RenderProfile, Setting(
        "what counts more for results whose job sets none: `speed`, `quality`, or both (`balanced`)")] = "balanced"
    # fmt: on

    def defaults(self) -> Defaults:
        quality: dict[Format, int] = {
            "jpeg": self.jpeg_quality, "webp": self.webp_quality, "avif": self.avif_quality,
        }  # fmt: skip
        return Defaults(quality, self.render_profile)


class AttemptConfig(msgspec.Struct, frozen=True):
    """``repeat_after_s``: when a final is sent again because its placeholder's fate is unknown.

    ``retry_delay_s``: before the second attempt; each later one waits twice as long.
    """

    # fmt: off
    delivery_timeout_s: Annotated[Seconds, Setting("time to deliver a result", "seconds")] = 60.0
    repeat_after_s: Annotated[Pause, Setting(
        "wait before a result is sent again because its placeholder got no answer", "seconds")] = 60.0
    retry_delay_s: Annotated[Seconds, Setting(
        "wait between the first and the second attempt; it doubles with each attempt, up to 600 s",
        "seconds")] = FIRST_DELAY_S
    kept_renditions_bytes: Annotated[Amount, Setting(
        "memory for results whose delivery will be retried", "bytes")] = 64_000_000
    # fmt: on


class RunnerConfig(msgspec.Struct, frozen=True):
    """``max_attempts`` run at a time: few enough that each gets a worker within ``attempt_timeout_s``.

    Attempts with a slow delivery do not count, so that the others go on. As many again may be slow, and
    ``max_slow_per_host`` to one host; claims then pass over that host. No host gets the last quarter of the attempts.
    ``max_outbox``: outbox entries that are tried at a time, half of them to one host; as many again to silent hosts,
    and to new ones.
    """

    # fmt: off
    max_attempts: Annotated[Count, Setting(
        "jobs running at once", name="max_attempts_at_once", default="16 per worker, at most 64")] = 64
    max_slow_per_host: Annotated[Count, Setting(
        "deliveries of more than 2 s to one host and port; its further jobs wait, so that others go on")] = 16
    max_outbox: Annotated[Count, Setting(
        "failure pictures and messages to webhooks being sent at once", name="max_outbox_at_once")] = 8
    attempt_timeout_s: Annotated[Seconds, Setting("time for one attempt at a job", "seconds")] = 300.0
    # fmt: on


# Where uploaded pictures are: in the queue's own database.
IN_DATABASE = "database"


class UploadConfig(msgspec.Struct, frozen=True):
    """``max_at_once`` uploads are received side by side, ``queue_quota`` of them of one of several principals.

    ``kept_in`` empty: with the queue, in the data directory or in its database.
    """

    # fmt: off
    kept_in: Annotated[Text, Setting(
        f"where servers that share a queue on PostgreSQL keep uploaded pictures: `{IN_DATABASE}`, or below "
        "`s3://BUCKET/PREFIX`, which a credential is for", name="queue_uploads", metavar="PLACE",
        default=f"`{IN_DATABASE}`; with SQLite the data directory")] = ""
    quota_bytes: Annotated[Count, Setting(
        "uploaded pictures kept for one key, and those it is sending; then it gets 429", "bytes",
        name="upload_quota_bytes")] = 2_000_000_000
    max_bytes: Annotated[Count, Setting(
        "uploaded pictures kept for all keys, by all servers of the queue; then clients get 503", "bytes",
        name="max_upload_bytes")] = 8_000_000_000
    max_at_once: Annotated[Count, Setting("uploads that a server receives at once", name="max_uploads")] = 64
    # fmt: on

    @property
    def bucket(self) -> str:
        """The URL that the names of objects are added to; empty for none."""
        return "" if self.kept_in == IN_DATABASE else self.kept_in.rstrip("/")

    def problems(self) -> tuple[Problem, ...]:
        if not self.bucket:
            return ()
        from imgserve.transfer import credential_problems  # it loads libcurl, which few commands need

        fault = credential_problems.fault_of_bucket(self.bucket)
        return (Problem("kept_in", f"expected `{IN_DATABASE}` or {fault}"),) if fault else ()


class OnDemandConfig(msgspec.Struct, frozen=True):
    """``patience_s``: how long a client waits for a slot. Behind a longer wait few are left who want the picture."""

    # fmt: off
    max_at_once: Annotated[Count, Setting(
        "slots of pictures on demand: those for clients of mounts, `/v1/render` and `/v1/info` that are made at once",
        name="max_on_demand")] = 256
    max_waiting: Annotated[Amount, Setting(
        "requests that wait for such a slot, up to 10 s; then clients get 429 or 503. At most half of the connections. "
        "0: they get it at once",
        name="max_on_demand_waiting")] = 4000
    patience_s: float = 10.0
    # fmt: on

    def within(self, max_connections: int) -> Self:
        """With so few waiting requests that half of the connections are left to others."""
        return msgspec.structs.replace(self, max_waiting=min(self.max_waiting, max_connections // 2))


class PlaceholderConfig(msgspec.Struct, frozen=True):
    # fmt: off
    cache_bytes: Annotated[Amount, Setting(
        "memory for cached placeholders", "bytes", name="placeholder_cache_bytes")] = 16_000_000
    # fmt: on


# Caches leave this many times min_free_disk_bytes to jobs, below which `imgserve check` calls the disk nearly full.
FLOORS_SPARED = 4


class CacheConfig(msgspec.Struct, frozen=True):
    """The cache of pictures for GETs, and that of their sources. A size of 0 turns its part off.

    The times are for this server's own cache. How long browsers and CDNs keep a picture is a setting of each mount,
    since it cannot be taken back; for how long they may show it stale is told them by these times.
    """

    # fmt: off
    directory: Annotated[Text, Setting(
        "directory of cached pictures and sources; created if missing, mode 0700; for one server at a time",
        name="cache_dir", metavar="DIR", default="`cache` in the data directory")] = ""
    max_bytes: Annotated[Amount, Setting(
        "disk for cached pictures, with what the file system adds; the least recently used go first", "bytes",
        name="cache_bytes")] = 10_000_000_000
    memory_bytes: Annotated[Amount, Setting(
        "memory for cached pictures, in front of the disk", "bytes", name="cache_memory_bytes")] = 32_000_000
    source_bytes: Annotated[Amount, Setting(
        "disk for cached sources, so that further sizes of a picture need no download", "bytes",
        name="source_cache_bytes")] = 2_000_000_000
    fresh_s: Annotated[Pause, Setting(
        "time that a cached picture is used without asking its source whether it has changed", "seconds",
        name="cache_fresh_s")] = 3600.0
    stale_while_revalidate_s: Annotated[Pause, Setting(
        "time after that in which the cached picture is still sent while its source is asked; caches in front may do "
        "so too, for no longer than `max_age_s`", "seconds",
        name="stale_while_revalidate_s")] = 86400.0
    stale_if_error_s: Annotated[Pause, Setting(
        "time after that in which the cached picture is sent if its source cannot be asked; caches in front may do so "
        "too if this server fails", "seconds",
        name="stale_if_error_s")] = 86400.0
    negative_s: Annotated[Pause, Setting(
        "time that a missing or unusable source is not asked again", "seconds", name="cache_negative_s")] = 10.0
    # fmt: on

    def place(self, data_dir: Path) -> Path:
        return Path(self.directory) if self.directory else data_dir / "cache"


class PictureConfig(msgspec.Struct, frozen=True):
    """A picture that recipes may name. ``origin``: its place in the settings, for faults."""

    path: Annotated[Text, Setting("its file, read at the start and by SIGHUP", metavar="FILE")]
    origin: str = ""


class WebhookConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A webhook of jobs that name none, classic ones too."""

    # fmt: off
    url: Annotated[Text, Setting("http or https URL that is told of events of such jobs", is_secret=True)]
    events: Annotated[Texts, Setting("types of events that it is told of", default="the four ends of jobs")] = ()
    secret: Annotated[Text, Setting(
        "name of the credential (type webhook) that signs", default="the principal's default one")] = ""
    principals: Annotated[Texts, Setting(
        "names of keys whose jobs it is for", default="all that no other table names")] = ()
    # fmt: on

    def webhook(self) -> "Webhook":
        """Raises RequestInvalid, but not without ``problems``."""
        from imgserve.request.native_webhook import parse_webhook  # it takes 13 ms, and few commands need it

        fields = {"url": self.url, "events": list(self.events), "secret": self.secret}
        return parse_webhook({name: value for name, value in fields.items() if value})

    def problems(self) -> tuple[Problem, ...]:
        try:
            self.webhook()
        except RequestInvalid as invalid:
            return tuple(Problem(str(fault.path[0]), fault.reason()) for fault in invalid.faults)
        return ()

    def __repr__(self) -> str:
        return "WebhookConfig()"


class MountConfig(msgspec.Struct, frozen=True):
    """A dialect's place among the URLs of the server, and whose pictures it shows. ``path`` empty: it is off.

    ``sources`` are beginnings of URLs, compared by scheme, host, port and path segments; ``names`` stand before a colon
    in a source's name, in place of such a beginning.
    """

    # fmt: off
    path: Annotated[str, Setting(
        "beginning of its URLs, such as `/` or `/images`; without one the dialect is off")] = ""
    sources: Annotated[Texts, Setting(
        "beginnings of URLs, or hosts (`a.example`, `*.a.example:8080`), that may be shown, and that redirects of "
        "these may lead to",
        default="all, if every URL is signed")] = ()
    public_url: Annotated[str, Setting(
        "of the mount, in answers that name their own URL", default="as the client called it")] = ""
    base_url: Annotated[str, Setting("stands before a source's name that is no URL")] = ""
    names: Annotated[dict[str, str], Setting("short names of beginnings, as `{shop = \"s3://shop/pictures/\"}`")] = {}
    credential: Annotated[Text, Setting(
        "that its sources are asked for with, and watermarks too where it is for their URLs", default="none")] = ""
    allow_unsigned: Annotated[bool, Setting(
        "URLs need no signature; then `sources` or `base_url` must be given")] = False
    max_age_s: Annotated[Amount, Setting("Cache-Control of its pictures: time that caches may keep one", "seconds")] = (
        31_536_000)
    follows_source: Annotated[bool, Setting(
        "the source's Cache-Control and Expires take the place of it, and `cache_fresh_s` if it has none",
        name="cache_control_of_source")] = False
    fallback: Annotated[Text, Setting(
        "name of a picture (`[picture.NAME]`) that is shown where the source cannot be had", default="none")] = ""
    fallback_status: Annotated[int, msgspec.Meta(ge=200, le=599), Setting("status of its answers")] = 200
    fallback_max_age_s: Annotated[Amount, Setting("time that caches may keep it", "seconds")] = 60
    # fmt: on


class NegotiatingMountConfig(MountConfig, frozen=True):
    """Of a dialect whose URLs may leave the format open."""

    # fmt: off
    formats: Annotated[Texts, Setting(
        "formats, `avif` or `webp`, that a client gets if its Accept header names them and the URL asks for none; of "
        "several the one that the dialect prefers", name="negotiate")] = ()
    # fmt: on


class HintedMountConfig(NegotiatingMountConfig, frozen=True):
    """Of a dialect whose URLs may leave the size open."""

    has_client_hints: Annotated[bool, Setting("DPR and Width headers count", name="client_hints")] = False
