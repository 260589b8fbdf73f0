"""Settings from flags, environment and TOML file, checked all at once.

``load`` is called by the command line, its result taken apart by ``build``: each package receives its own Config and
nothing else.
"""

import os
import pwd
import uuid
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from imgserve import failpoint
from imgserve.api.config import Config as ApiConfig
from imgserve.api.keyfile import Key, KeyFileInvalid, read_keys
from imgserve.engine.config import AttemptConfig, IntakeConfig, PlaceholderConfig, RunnerConfig
from imgserve.errors import ImgserveError
from imgserve.imaging.config import Config as PoolConfig
from imgserve.jobs.config import Config as QueueConfig
from imgserve.request.limits import Limits
from imgserve.settings.options import BY_NAME, BY_TARGET
from imgserve.settings.read import BOOT_ID, TEST_SWITCH, Given, gather, of_a_service
from imgserve.telemetry.config import LogFileConfig as LogConfig
from imgserve.telemetry.config import LogsConfig as LogLinesConfig
from imgserve.telemetry.config import TracingConfig
from imgserve.transfer.config import Config as TransferConfig

ROOT_DATA_DIR = Path("/var/lib/imgserve")
ROOT_CONFIG_FILE = Path("/etc/imgserve.toml")
ROOT_PID_FILE = Path("/var/run/imgserve.pid")
ROOT_LOG_FILE = Path("/var/log/imgserve/imgserve.log")
CONFIG_FILE_NAME = "imgserve.toml"
PLACES = ("data_dir", "pid_file")
OWN_FILES = ("api_key_file", "tls_key", "ca_file", "read_root", "write_root")  # another user may not see them


class SettingsInvalid(ImgserveError):
    code = "settings_invalid"
    title = "The settings cannot be used"


class TestSwitches(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Switches for tests only, as JSON in IMGSERVE_TEST; the server logs it when the variable is set."""

    __test__ = False

    failpoint: str = ""
    nth: Annotated[int, msgspec.Meta(ge=1)] = 1
    failpoint_file: str = ""


class Places(msgspec.Struct, frozen=True):
    """Where a server is found: all that ``stop`` and ``status`` need to know.

    ``is_data_dir_named``: somebody has named it, so that no pid file may speak for another one.
    """

    data_dir: Path
    pid_file: Path
    is_data_dir_named: bool = False


class Settings(msgspec.Struct, frozen=True):
    data_dir: Path
    pid_file: Path
    log: LogConfig
    user: str = ""
    api: ApiConfig = ApiConfig()
    limits: Limits = Limits()
    pool: PoolConfig = PoolConfig()
    transfer: TransferConfig = TransferConfig()
    queue: QueueConfig = QueueConfig()
    intake: IntakeConfig = IntakeConfig()
    attempt: AttemptConfig = AttemptConfig()
    runner: RunnerConfig = RunnerConfig()
    placeholder: PlaceholderConfig = PlaceholderConfig()
    log_lines: LogLinesConfig = LogLinesConfig()
    tracing: TracingConfig = TracingConfig()
    drain_s: float = 30.0
    notify_socket: str = ""
    ignored_variables: tuple[str, ...] = ()
    boot_id: str | None = None
    test: TestSwitches | None = None


def load(flags: Namespace, environ: Mapping[str, str], *, is_look: bool = False) -> Settings:
    """All settings. ``is_look``: for a user who is not the server's, and may not read its keys.

    Raises SettingsInvalid, which names every fault.
    """
    problems: list[str] = []
    own_dir = _own_dir(environ)
    given = gather(flags, environ, config_file(own_dir), problems)
    places = _places(given, own_dir)
    log_file = ROOT_LOG_FILE if own_dir == ROOT_DATA_DIR else places.data_dir / "imgserve.log"
    values: dict[str, dict[str, object]] = {"": {"pid_file": str(places.pid_file)}, "log": {"file": str(log_file)}}
    values[""]["data_dir"] = str(own_dir)
    for name, value in given.items():
        section, _, field = BY_NAME[name].target.rpartition(".")
        values.setdefault(section, {})[field] = value.value
    _choose_by_workers(values)
    values[""]["notify_socket"] = environ.get("NOTIFY_SOCKET", "")
    values[""]["boot_id"] = _boot_id(environ, problems)
    values[""]["ignored_variables"] = of_a_service(environ)
    tree = {**values.pop(""), **values, "test": _test_switches(environ, problems)}
    settings = msgspec.convert(tree, Settings, dec_hook=lambda kind, value: kind(value))
    shut = [name for name in OWN_FILES if is_look and name in given and _is_shut(given[name].value)]
    problems += _contradictions(settings, given, shut)
    return _with_keys(settings, given, problems, shut)


def locate(flags: Namespace, environ: Mapping[str, str]) -> Places:
    """The server's places, without looking at its other settings. Raises SettingsInvalid."""
    problems: list[str] = []
    own_dir = _own_dir(environ)
    given = gather(flags, environ, config_file(own_dir), problems, PLACES)
    if problems:
        raise SettingsInvalid("; ".join(problems))
    return _places(given, own_dir)


def allows_system_libvips(environ: Mapping[str, str]) -> bool:
    """By the server's file and variables; for a command that has no other settings. Raises SettingsInvalid."""
    problems: list[str] = []
    given = gather(Namespace(), environ, config_file(_own_dir(environ)), problems, ("allow_system_libvips",))
    if problems:
        raise SettingsInvalid("; ".join(problems))
    return bool(given and given["allow_system_libvips"].value)


def add_flags(parser: ArgumentParser, names: Iterable[str] = BY_NAME) -> None:
    """The flags of these settings, as far as they have one; ``load`` reads them."""
    for option in (BY_NAME[name] for name in names if BY_NAME[name].flags):
        usual = option.default or str(default(option.target))
        parser.add_argument(
            *option.flags,
            dest=option.name,
            metavar=option.metavar,
            action="append" if option.is_list else "store",
            help=f"{option.doc}{'; repeatable' if option.is_list else ''} (default: {usual})".replace("`", ""),
        )


def default(target: str) -> object:
    """The default of a field of Settings. Not for fields whose option has ``default`` in words."""
    value: object = Settings(Path(), Path(), LogConfig())
    for name in target.split("."):
        value = getattr(value, name)
    return value


def process_environment() -> Mapping[str, str]:
    return os.environ  # noqa: TID251 - this is the one place


def config_file(own_dir: Path) -> Path:
    return ROOT_CONFIG_FILE if own_dir == ROOT_DATA_DIR else own_dir / CONFIG_FILE_NAME


def _own_dir(environ: Mapping[str, str]) -> Path:
    """The default directory of this user's server."""
    if os.geteuid() == 0:
        return ROOT_DATA_DIR
    home = environ.get("HOME") or pwd.getpwuid(os.geteuid()).pw_dir
    return Path(home) / ".imgserve"


def _places(given: Mapping[str, Given], own_dir: Path) -> Places:
    data_dir = Path(str(given["data_dir"].value)) if "data_dir" in given else own_dir
    usual = ROOT_PID_FILE if own_dir == ROOT_DATA_DIR else data_dir / "imgserve.pid"
    pid_file = Path(str(given["pid_file"].value)) if "pid_file" in given else usual
    return Places(data_dir, pid_file, "data_dir" in given)


def _choose_by_workers(values: dict[str, dict[str, object]]) -> None:
    """Few enough attempts that each one's turn for a worker comes before it times out."""
    workers = msgspec.convert(values.get("pool", {}), PoolConfig).workers
    values.setdefault("runner", {}).setdefault("max_attempts", min(64, 16 * workers))


def _is_shut(value: object) -> bool:
    """Whether this user may not read a file or directory, or not see whether it is there."""
    for path in value if isinstance(value, tuple) else (value,):
        try:
            Path(str(path)).stat()
        except PermissionError:
            return True
        except OSError:
            continue
        if not os.access(str(path), os.R_OK):
            return True
    return False


def _contradictions(settings: Settings, given: Mapping[str, Given], shut: Iterable[str]) -> Iterator[str]:
    """The problems that packages find in their own settings, each under the name of the setting as it was given."""
    for section in ("api", "transfer", "queue", "tracing"):
        for problem in getattr(settings, section).problems():
            field, _, sentence = problem.partition(": ")
            name = BY_TARGET[f"{section}.{field}"].name
            if name in shut:
                continue
            yield f"{given[name].origin if name in given else name}: {sentence}"


def _with_keys(settings: Settings, given: Mapping[str, Given], problems: list[str], shut: Iterable[str]) -> Settings:
    """The settings with the keys of their key file. Raises SettingsInvalid for this and all earlier problems."""
    keys: tuple[Key, ...] = ()
    try:
        keys = read_keys(settings.api.key_file) if settings.api.key_file and "api_key_file" not in shut else ()
    except KeyFileInvalid as error:
        problems.append(f"{given['api_key_file'].origin}: {error.sentence()}")
    if problems:
        raise SettingsInvalid("; ".join(problems))
    return msgspec.structs.replace(settings, api=msgspec.structs.replace(settings.api, keys=keys))


def _boot_id(environ: Mapping[str, str], problems: list[str]) -> str | None:
    """As /proc/sys/kernel/random/boot_id writes it; systemd leaves the hyphens out."""
    text = environ.get(BOOT_ID)
    try:
        return str(uuid.UUID(text)) if text else None
    except ValueError:
        problems.append(f"{BOOT_ID}: expected the machine's boot id, which is %b in a unit of systemd")
        return None


def _test_switches(environ: Mapping[str, str], problems: list[str]) -> TestSwitches | None:
    text = environ.get(TEST_SWITCH)
    if text is None:
        return None
    try:
        switches = msgspec.json.decode(text, type=TestSwitches)
    except msgspec.DecodeError as error:
        problems.append(f"{TEST_SWITCH}: {error}")
        return None
    if switches.failpoint and switches.failpoint not in failpoint.NAMES:
        problems.append(f"{TEST_SWITCH}: expected one of {', '.join(failpoint.NAMES)}")
    return switches
