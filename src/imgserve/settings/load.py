"""Settings from flags, environment and TOML file, checked all at once.

The command line calls ``load``; ``build`` hands each package its own Config of the result and nothing else.
"""

import os
import uuid
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from imgserve.api.keyfile import Key, KeyFileInvalid, are_several
from imgserve.engine.config import PictureConfig, WebhookConfig
from imgserve.engine.get_config import GetConfig
from imgserve.errors import ImgserveError
from imgserve.imaging.config import Config as PoolConfig
from imgserve.request.preset import Config as PresetConfig
from imgserve.setting import Problem
from imgserve.settings import renamed
from imgserve.settings.options import BY_NAME, DECLARED
from imgserve.settings.read import Gathered, gather, home_of, with_old_names
from imgserve.settings.tree import Settings, TestSwitches
from imgserve.settings.unknown import BOOT_ID, TEST_SWITCH, of_a_service
from imgserve.transfer.config import CredentialConfig

ROOT_DATA_DIR = Path("/var/lib/imgserve")
ROOT_CONFIG_FILE = Path("/etc/imgserve.toml")
ROOT_PID_FILE = Path("/var/run/imgserve.pid")
ROOT_LOG_FILE = Path("/var/log/imgserve/imgserve.log")
CONFIG_FILE_NAME = "imgserve.toml"
ENVIRONMENT: Mapping[str, str] = os.environ  # noqa: TID251 - this is the one place
_PICTURES = "pictures"
PLACES = ("data_dir", "pid_file")
# Few enough attempts that each gets a worker before it times out.
ATTEMPTS, ATTEMPTS_PER_WORKER = 64, 16

T = TypeVar("T", bound=msgspec.Struct)


class SettingsInvalid(ImgserveError):
    """The settings cannot be used."""


class Reloadable(msgspec.Struct, frozen=True):
    """Those of ``Settings`` that SIGHUP reads again."""

    presets: PresetConfig = PresetConfig()
    pictures: dict[str, PictureConfig] = {}
    credentials: dict[str, CredentialConfig] = {}
    webhooks: dict[str, WebhookConfig] = {}
    get: GetConfig = GetConfig()


class Places(msgspec.Struct, frozen=True):
    """Where a server is found: all that ``stop`` and ``status`` need to know.

    ``is_data_dir_named``: it is not the default, so no pid file may stand for another one.
    """

    data_dir: Path
    pid_file: Path
    is_data_dir_named: bool = False


def load(flags: Namespace, environ: Mapping[str, str] = ENVIRONMENT, *, is_look: bool = False) -> Settings:
    """All settings. ``is_look``: for a user who is not the server's, and may not read its files.

    Raises SettingsInvalid, which names every fault.
    """
    problems: list[str] = []
    own_dir = _own_dir(environ)
    gathered = gather(Settings, flags, environ, config_file(own_dir), problems, is_look=is_look)
    places = _places(gathered, own_dir)
    log_file = ROOT_LOG_FILE if own_dir == ROOT_DATA_DIR else places.data_dir / "imgserve.log"
    workers = gathered.value("workers") or PoolConfig().workers
    usual = {
        "data_dir": str(places.data_dir),
        "pid_file": str(places.pid_file),
        "log.file": str(log_file),
        "runner.max_attempts": min(ATTEMPTS, ATTEMPTS_PER_WORKER * int(str(workers))),
        "notify_socket": environ.get("NOTIFY_SOCKET", ""),
        "boot_id": _boot_id(environ, problems),
        "ignored_variables": of_a_service(environ, DECLARED.options),
        "renamed": gathered.renamed,
        "config_file": str(gathered.file.path.absolute()) if gathered.file.is_there else "",
        "test": _test_switches(environ, problems),
        **_origins_of_pictures(gathered),
    }
    paths = (one.name for one in gathered.options if is_look and one.is_path and not one.held_in)
    shut = [name for name in paths if is_shut(gathered.value(name))]
    return settle(Settings, gathered, usual, problems, [*shut, *gathered.unread])


def settle(
    root: type[T], gathered: Gathered, usual: Mapping[str, object], problems: list[str], shut: Iterable[str] = ()
) -> T:
    """The tree of Configs. Raises SettingsInvalid for ``problems`` and those that the Configs find in themselves."""
    try:
        settled = msgspec.convert(gathered.tree(usual), root, dec_hook=lambda kind, value: kind(value))
    except msgspec.ValidationError:
        if not problems:  # else a setting is missing, and has been named
            raise
    else:
        problems += _problems_of(settled, gathered, shut)
        if isinstance(settled, Settings) and not problems:
            problems += _unknown_names(settled, gathered)
            with suppress(KeyFileInvalid):  # one that this user may not read
                keys = settled.api.keys()
                problems += _tables_together(settled, keys, gathered)
            problems += _place_of_uploads(settled.uploads.bucket, settled, gathered)
    if problems:
        raise SettingsInvalid("; ".join(problems))
    return settled


def reloadable(
    flags: Namespace, environ: Mapping[str, str] = ENVIRONMENT, keys: Sequence[Key] = (), bucket: str = "",
    *, is_look: bool = False,
) -> Reloadable:  # fmt: skip
    """The settings that SIGHUP reads again, of the TOML file, whose other ones are checked by name and type only.

    ``keys``: those that hold from now on; ``bucket``: that of uploads. ``is_look`` is as in ``load``.

    Raises SettingsInvalid.
    """
    problems: list[str] = []
    file = config_file(_own_dir(environ))
    gathered = gather(Settings, Namespace(config=flags.config), environ, file, problems, is_look=is_look)
    with suppress(msgspec.ValidationError):  # one of the problems
        config = msgspec.convert(gathered.tree(_origins_of_pictures(gathered)), Reloadable)
        problems += _problems_of(config, gathered, gathered.unread)
        problems += [] if problems else _unknown_names(config, gathered)
        problems += [] if problems else _tables_together(config, keys, gathered)
        problems += [] if problems else _place_of_uploads(bucket, config, gathered)
    if problems:
        raise SettingsInvalid("; ".join(problems))
    return config


def _unknown_names(config: Settings | Reloadable, gathered: Gathered) -> Iterator[str]:
    """Names of pictures and credentials that have no table, in presets and mounts without other problems."""
    for problem in config.presets.unknown_pictures(config.pictures):
        yield f"{gathered.place_of(f'presets.{problem.field}', problem.path)[1]}: {problem.sentence}"
    yield from _placed("get", config.get.unknown_names(config.pictures, config.credentials), gathered)


def _tables_together(config: Settings | Reloadable, keys: Sequence[Key], gathered: Gathered) -> Iterator[str]:
    """Faults of credentials, and of webhooks, beside each other and the keys."""
    if config.credentials:
        from imgserve.transfer import credential_problems

        problems = credential_problems.problems_together(config.credentials, are_several=are_several(keys))
        yield from _placed("credentials", problems, gathered)
    if config.webhooks:
        from imgserve.engine import webhook_problems  # it loads libcurl, which few commands need

        problems = webhook_problems.problems_together(
            config.webhooks, config.credentials, are_several=are_several(keys)
        )
        yield from _placed("webhooks", problems, gathered)


def _place_of_uploads(bucket: str, config: Settings | Reloadable, gathered: Gathered) -> Iterator[str]:
    if bucket:
        from imgserve.transfer import credential_problems

        fault = credential_problems.fault_of_uploads(bucket, config.credentials)
        if fault:
            yield f"{gathered.place_of('uploads.kept_in')[1]}: {fault}"


def _placed(tables: str, problems: Iterable[tuple[str, Problem]], gathered: Gathered) -> Iterator[str]:
    for name, problem in problems:
        yield f"{gathered.place_of(f'{tables}.{name}.{problem.field}')[1]}: {problem.sentence}"


def _origins_of_pictures(gathered: Gathered) -> dict[str, str]:
    """They are read later than the settings, and their faults name the place too."""
    tables = [table.target for table in gathered.tables if table.target.startswith(f"{_PICTURES}.")]
    return {f"{target}.origin": gathered.place_of(f"{target}.path")[1] for target in tables}


def locate(flags: Namespace, environ: Mapping[str, str] = ENVIRONMENT) -> Places:
    """The server's places, from two settings alone. Raises SettingsInvalid."""
    return _places(_some(PLACES, flags, environ), _own_dir(environ))


def for_workers(environ: Mapping[str, str] = ENVIRONMENT) -> PoolConfig:
    """The libvips and the fonts of the server's file and variables, for a command without other settings.

    Raises SettingsInvalid.
    """
    gathered = _some(("allow_system_libvips", "font_dirs"), Namespace(), environ)
    config = msgspec.convert(gathered.tree({}).get("pool", {}), PoolConfig)
    problems = list(_problems_of(config, gathered, (), "pool."))
    if problems:
        raise SettingsInvalid("; ".join(problems))
    return config


def _some(names: Iterable[str], flags: Namespace, environ: Mapping[str, str]) -> Gathered:
    problems: list[str] = []
    gathered = gather(Settings, flags, environ, config_file(_own_dir(environ)), problems, names)
    if problems:
        raise SettingsInvalid("; ".join(problems))
    return gathered


def add_flags(parser: ArgumentParser, names: Iterable[str] = BY_NAME) -> None:
    """Add the flags of these settings, which ``load`` reads."""
    for option in with_old_names(BY_NAME[name] for name in names):
        words = f"{option.setting.doc}{'; repeatable' if option.is_list else ''} (default: {option.usual})"
        if option.flags:
            parser.add_argument(
                *option.flags,
                dest=option.name,
                metavar=option.setting.metavar,
                action="append" if option.is_list else "store",
                help=SUPPRESS if option.name in renamed.SETTINGS else words.replace("`", ""),
            )


def config_file(own_dir: Path) -> Path:
    return ROOT_CONFIG_FILE if own_dir == ROOT_DATA_DIR else own_dir / CONFIG_FILE_NAME


def _own_dir(environ: Mapping[str, str]) -> Path:
    """The default directory of this user's server."""
    if os.geteuid() == 0:
        return ROOT_DATA_DIR
    return home_of(environ) / ".imgserve"


def _places(gathered: Gathered, own_dir: Path) -> Places:
    named = gathered.value("data_dir")
    data_dir = Path(str(named or own_dir))
    usual = ROOT_PID_FILE if own_dir == ROOT_DATA_DIR else data_dir / "imgserve.pid"
    return Places(data_dir, Path(str(gathered.value("pid_file") or usual)), named is not None)


def is_shut(value: object) -> bool:
    """Whether a file or directory is there that this user may not read, or this user may not see whether it is."""
    for path in value if isinstance(value, tuple) else (value,) if value else ():
        try:
            if Path(path).exists() and not os.access(path, os.R_OK):
                return True
        except PermissionError:
            return True
    return False


def _problems_of(config: msgspec.Struct, gathered: Gathered, shut: Iterable[str], above: str = "") -> Iterator[str]:
    """The problems that Configs find in themselves, each with the place of the setting's value."""
    for name, value in msgspec.structs.asdict(config).items():
        for key, inner in value.items() if isinstance(value, dict) else [("", value)]:
            if isinstance(inner, msgspec.Struct):
                yield from _problems_of(inner, gathered, shut, f"{above}{name}.{key}{key and '.'}")
    problems = getattr(config, "problems", tuple)
    for problem in problems():
        name, origin = gathered.place_of(f"{above}{problem.field}", problem.path)
        if name not in shut:
            yield f"{origin}: {problem.sentence}"


def _boot_id(environ: Mapping[str, str], problems: list[str]) -> str | None:
    """In the form of /proc/sys/kernel/random/boot_id; systemd leaves the hyphens out."""
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
        return msgspec.json.decode(text, type=TestSwitches)
    except msgspec.DecodeError as error:
        problems.append(f"{TEST_SWITCH}: {error}")
        return None
