"""All settings as one tree of the packages' Configs.

``load`` fills it, ``build`` hands each package its own Config and nothing else.
"""

from pathlib import Path
from typing import Annotated

import msgspec

from imgserve.api.config import Config as ApiConfig
from imgserve.engine.config import (
    AttemptConfig,
    CacheConfig,
    IntakeConfig,
    OnDemandConfig,
    PictureConfig,
    PlaceholderConfig,
    RunnerConfig,
    UploadConfig,
    WebhookConfig,
)
from imgserve.engine.get_config import GetConfig
from imgserve.failpoint import Name as Failpoint
from imgserve.imaging.config import Config as PoolConfig
from imgserve.jobs.config import AddressConfig, Role
from imgserve.jobs.config import Config as QueueConfig
from imgserve.request.limits import Limits
from imgserve.request.preset import Config as PresetConfig
from imgserve.setting import Pause, Problem, Section, Setting, Text
from imgserve.telemetry.config import LogFileConfig, LogsConfig, TracingConfig
from imgserve.transfer.config import Config as TransferConfig
from imgserve.transfer.config import CredentialConfig


class TestSwitches(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Switches for tests only, as JSON in IMGSERVE_TEST; the server logs it when the variable is set."""

    __test__ = False

    failpoint: Failpoint | None = None
    nth: Annotated[int, msgspec.Meta(ge=1)] = 1
    failpoint_file: str = ""


class Settings(msgspec.Struct, frozen=True):
    """``renamed``: the old names of settings that are in use, and their new ones.

    ``config_file``: the TOML file that was read, with its whole path; empty for none.
    """

    # fmt: off
    data_dir: Annotated[Path, Setting(
        "directory of the queue; created if missing, mode 0700; for one server at a time",
        default="`~/.imgserve`, for root `/var/lib/imgserve`", metavar="DIR")]
    pid_file: Annotated[Path, Setting(
        "file with the pid of the running server; not with `--foreground`",
        default="`imgserve.pid` in the data directory, for root `/var/run/imgserve.pid`", metavar="FILE")]
    log: Annotated[LogFileConfig, Section("The server")]
    user: Annotated[Text, Setting(
        "user that a server started by root changes to once port, log and pid file are open", default="no change",
        metavar="NAME")] = ""
    role: Annotated[Role, Setting(
        "the work of this server, of several that share a queue: `api` takes jobs and answers for them, `runner` "
        "carries them out", metavar="ROLE")] = "all"
    drain_s: Annotated[Pause, Setting("time that a stopping server gives running jobs to finish", "seconds")] = 30.0
    log_lines: Annotated[LogsConfig, Section("The server")] = LogsConfig()
    tracing: Annotated[TracingConfig, Section("The server")] = TracingConfig()
    api: Annotated[ApiConfig, Section("The server")] = ApiConfig()
    transfer: Annotated[TransferConfig, Section("Transfers")] = TransferConfig()
    limits: Annotated[Limits, Section("Limits of pictures")] = Limits()
    pool: Annotated[PoolConfig, Section("Workers")] = PoolConfig()
    queue_address: Annotated[AddressConfig, Section("The queue")] = AddressConfig()
    queue: Annotated[QueueConfig, Section("The queue")] = QueueConfig()
    intake: Annotated[IntakeConfig, Section("Jobs")] = IntakeConfig()
    attempt: Annotated[AttemptConfig, Section("Jobs")] = AttemptConfig()
    runner: Annotated[RunnerConfig, Section("Jobs")] = RunnerConfig()
    uploads: Annotated[UploadConfig, Section("Jobs")] = UploadConfig()
    on_demand: Annotated[OnDemandConfig, Section("Pictures on demand")] = OnDemandConfig()
    placeholder: Annotated[PlaceholderConfig, Section("Jobs")] = PlaceholderConfig()
    get: Annotated[GetConfig, Section("GET on the fly")] = GetConfig()
    cache: Annotated[CacheConfig, Section("GET on the fly")] = CacheConfig()
    presets: Annotated[PresetConfig, Section("Presets")] = PresetConfig()
    pictures: Annotated[dict[str, PictureConfig], Section("Pictures of recipes", table="picture")] = {}
    credentials: Annotated[dict[str, CredentialConfig], Section("Credentials", table="credential")] = {}
    webhooks: Annotated[dict[str, WebhookConfig], Section("Webhooks", table="webhook")] = {}
    config_file: str = ""
    notify_socket: str = ""
    ignored_variables: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    boot_id: str | None = None
    test: TestSwitches | None = None
    # fmt: on

    def problems(self) -> tuple[Problem, ...]:
        if self.queue_address.is_postgres:
            return ()
        is_given = {"role": self.role != "all", "uploads.kept_in": bool(self.uploads.kept_in)}
        sentences = {
            "role": "expected all: only a queue on PostgreSQL is shared by several servers",
            "uploads.kept_in": "expected only beside a queue on PostgreSQL",
        }
        return tuple(Problem(field, sentences[field]) for field in is_given if is_given[field])
