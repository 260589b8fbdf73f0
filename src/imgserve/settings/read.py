"""Values as given, by flags, environment and TOML file: which one counts, and where it came from. Called by ``load``.

A flag goes before a variable, a variable before the file. An empty variable counts as none; a variable that is a list
is parted by commas.
"""

import re
import tomllib
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, time
from difflib import get_close_matches
from pathlib import Path

import msgspec

from imgserve.settings.options import BY_NAME, CONFIG, OPTIONS, VARIABLE_PREFIX, Option, expected

TEST_SWITCH = "IMGSERVE_TEST"
BOOT_ID = "IMGSERVE_BOOT_ID"  # for units that hide /proc/sys
_VARIABLES = tuple(option.variable for option in OPTIONS)
# Kubernetes sets them for a Service, Docker for a linked container, that is called imgserve or imgserve-something.
_OF_A_SERVICE = re.compile(
    r"IMGSERVE(_\w+)?_(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?|ENV_\w+|NAME)"
)
_SERVICE_PORT, _SERVICE_URL = re.compile(r"IMGSERVE(_\w+)?_PORT"), re.compile(r"(tcp|udp|sctp)://\S+")


class Given(msgspec.Struct, frozen=True):
    """A value that has its option's type, and what to call its origin in a fault."""

    value: object
    origin: str


def of_a_service(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Names of variables that look like settings and were set by Kubernetes or Docker."""
    return tuple(
        name
        for name, value in sorted(environ.items())
        if (name not in _VARIABLES and _OF_A_SERVICE.fullmatch(name))
        or (_SERVICE_PORT.fullmatch(name) and _SERVICE_URL.fullmatch(value))
    )


def gather(
    flags: Namespace, environ: Mapping[str, str], default_file: Path, problems: list[str], names: Iterable[str] = ()
) -> dict[str, Given]:
    """The values of the settings with these names; without names, of all settings.

    Each fault becomes a sentence in ``problems``. Unknown names are faults only when all settings are gathered.
    """
    environ = {name: environ[name] for name in environ.keys() - set(of_a_service(environ))}
    wanted = [BY_NAME[name] for name in names or BY_NAME if name != CONFIG.name]
    by_flag = _from_flags(flags, [CONFIG, *wanted], problems)
    by_variable = _from_environment(environ, [CONFIG, *wanted], problems)
    named = by_flag.get(CONFIG.name) or by_variable.get(CONFIG.name)
    path = Path(str(named.value)) if named else default_file
    table = _table(path, named.origin if named else "", problems)
    if not names:
        problems += _unknown(environ, table, path)
    return {**_from_table(table, path, wanted, problems), **by_variable, **by_flag}


def _from_flags(flags: Namespace, wanted: Iterable[Option], problems: list[str]) -> dict[str, Given]:
    found: dict[str, Given] = {}
    for option in wanted:
        value = getattr(flags, option.name, None)
        if value is not None:
            _take(found, option, Given(value, option.flags[0]), Path.cwd(), problems, is_text=True)
    return found


def _from_environment(environ: Mapping[str, str], wanted: Iterable[Option], problems: list[str]) -> dict[str, Given]:
    found: dict[str, Given] = {}
    for option in wanted:
        text = environ.get(option.variable, "")
        if text:
            value = [part.strip() for part in text.split(",") if part.strip()] if option.is_list else text
            _take(found, option, Given(value, option.variable), Path.cwd(), problems, is_text=True)
    return found


def _from_table(
    table: Mapping[str, object], path: Path, wanted: Iterable[Option], problems: list[str]
) -> dict[str, Given]:
    found: dict[str, Given] = {}
    for option in wanted:
        if option.name in table:
            given = Given(table[option.name], f"{path}: {option.name}")
            _take(found, option, given, path.parent, problems, is_text=False)
    return found


def _table(path: Path, origin: str, problems: list[str]) -> dict[str, object]:
    """Nothing when no file was named, as ``origin`` says, and the usual one is not there."""
    where = f"{origin}: {path}" if origin else f"the settings file {path}"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        if origin:
            problems.append(f"{where} does not exist, expected a TOML file")
    except PermissionError:
        hint = "give this user the right to read it" if origin else "name another with --config, or set HOME"
        problems.append(f"{where} cannot be read: permission denied ({hint})")
    except OSError as error:
        problems.append(f"{where} cannot be read: {error.strerror}, expected a TOML file")
    except UnicodeDecodeError:
        problems.append(f"{where} is not UTF-8, expected a TOML file in UTF-8")
    except tomllib.TOMLDecodeError as error:
        hint = 'a text stands in quotes, as in key = "value", and each key stands once'
        problems.append(f"{where} is not TOML: {error} ({hint})")
    return {}


def _unknown(environ: Mapping[str, str], table: Mapping[str, object], path: Path) -> Iterator[str]:
    for name in sorted(environ):
        if name.startswith(VARIABLE_PREFIX) and name not in (*_VARIABLES, TEST_SWITCH, BOOT_ID):
            # Without the prefix, which would make any two variables alike.
            meant = _meant(name.removeprefix(VARIABLE_PREFIX), BY_NAME, VARIABLE_PREFIX)
            yield f"{name}: there is no such setting{meant}"
    keys = [name for name in BY_NAME if name != CONFIG.name]
    for key in table:
        if key not in keys:
            yield f"{path}: {_unknown_key(key, table[key], keys)}"


def _unknown_key(key: str, value: object, keys: list[str]) -> str:
    tables = [value] if isinstance(value, dict) else value if isinstance(value, list) else []
    inner = [name for table in tables if isinstance(table, dict) for name in table]
    if not inner and not isinstance(value, dict):
        return f"{key}: there is no such setting{_meant(key, keys)}"
    known = ", ".join(name for name in inner if name in keys)
    which = f" {known}" if known else ""
    return (
        f"{key}: there is no such setting, got a table (settings stand above all tables: put{which or ' them'} there)"
    )


def _take(
    found: dict[str, Given], option: Option, given: Given, base: Path, problems: list[str], *, is_text: bool
) -> None:
    """Convert and keep a value, or say what was expected. ``base`` is what a relative path counts from."""
    try:
        value: object = msgspec.convert(given.value, type=option.type, strict=not is_text)
    except msgspec.ValidationError:
        got = "" if option.is_secret else f", got {_shown(given.value, is_text=is_text)}"
        problems.append(f"{given.origin}: expected {expected(option)}{got}{_mistake(option, given.value, is_text)}")
        return
    if option.is_path:
        value = tuple(str(base / part) for part in value) if isinstance(value, tuple) else str(base / str(value))
    found[option.name] = Given(value, given.origin)


def _shown(value: object, *, is_text: bool) -> str:
    """Flags and variables as they were typed; values of TOML so that a text in quotes differs from a number."""
    if isinstance(value, dict):
        return "a table"
    if value == "" or (isinstance(value, list) and "" in value):
        return "an empty text" if value == "" else "an empty text in it"
    if isinstance(value, str):
        return value if is_text and value == value.strip() else f'the text "{value}"'
    if isinstance(value, float):
        return str(value)  # JSON knows no inf
    if isinstance(value, date | time):
        return f"the {'date' if type(value) is date else 'time'} {value}"
    return str(msgspec.json.encode(value, enc_hook=str), "utf-8")


def _mistake(option: Option, value: object, is_text: bool) -> str:
    """A hint where TOML's quotes or brackets are the likely mistake."""
    if is_text:
        return ""
    if value == "" or (isinstance(value, list) and "" in value):
        return " (leave it out)" if option.is_list else " (leave the setting out, or give it one)"
    if isinstance(value, list) and value and all(isinstance(part, str | int | float) for part in value):
        texts = ", ".join(f'"{part}"' for part in value)
        return f" (write it in quotes: {option.name} = [{texts}])" if option.is_list else ""
    if option.is_list and isinstance(value, str):
        return f' (write {option.name} = ["{value}"])'
    if isinstance(value, str):
        try:
            msgspec.convert(value, type=option.type, strict=False)
        except msgspec.ValidationError:
            return ""
        return f" (write it without quotes: {option.name} = {value})"
    if isinstance(value, int | float) and option.type is not bool:
        text = f'["{value}"]' if option.is_list else f'"{value}"'
        return f" (write it in quotes: {option.name} = {text})" if "text" in expected(option) else ""
    return ""


def _meant(name: str, known: Iterable[str], prefix: str = "") -> str:
    """``prefix``: of the variables that the known names are meant as."""
    close = get_close_matches(name.lower(), list(known), n=1)
    return f" (did you mean {prefix + close[0].upper() if prefix else close[0]}?)" if close else ""
