"""Values as given, by flags, environment and TOML file: which one counts, and where it came from. Called by ``load``.

A flag goes before a variable, a variable before the file. An empty variable counts as none; a variable that is a list
is parted by commas. A fault names the flag, the variable, or the file with line, table and key.
"""

import re
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, time
from difflib import get_close_matches
from pathlib import Path

import msgspec

from imgserve.errors import cause_of
from imgserve.settings import renamed
from imgserve.settings.options import (
    CONFIG,
    VARIABLE_PREFIX,
    Declared,
    Option,
    Table,
    declared_in,
    expected,
)
from imgserve.settings.tomlfile import TomlFile

TEST_SWITCH = "IMGSERVE_TEST"
BOOT_ID = "IMGSERVE_BOOT_ID"  # for units that hide /proc/sys
# Kubernetes sets them for a Service, Docker for a linked container, that is called imgserve or imgserve-something.
_OF_A_SERVICE = re.compile(
    r"IMGSERVE(_\w+)?_(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?|ENV_\w+|NAME)"
)
_SERVICE_PORT, _SERVICE_URL = re.compile(r"IMGSERVE(_\w+)?_PORT"), re.compile(r"(tcp|udp|sctp)://\S+")
_TABLE_NAME = re.compile(r"[\w-]{1,32}", re.ASCII)


class Given(msgspec.Struct, frozen=True):
    """A value, and the name of its flag, variable or, with ``file``, key."""

    value: object
    name: str
    file: TomlFile | None = None

    @property
    def origin(self) -> str:
        """What to call its place in a fault."""
        return self.file.origin(self.name) if self.file else self.name


class Gathered(msgspec.Struct, frozen=True):
    """``values`` by the names of ``options``; ``tables``: those that are there, if only in name.

    ``renamed``: old names that were given, and their new ones.
    """

    options: tuple[Option, ...]
    values: dict[str, Given]
    tables: tuple[Table, ...]
    renamed: tuple[tuple[str, str], ...] = ()

    def value(self, name: str) -> object:
        """None: it is not given."""
        return self.values[name].value if name in self.values else None

    def tree(self, usual: Mapping[str, object]) -> dict[str, object]:
        """Nested as the Configs are. ``usual`` has values for the targets that are not given."""
        named = {option.target: self.values[option.name].value for option in self.options if option.name in self.values}
        grown: dict[str, object] = {}
        for table in self.tables:
            _branch(grown, table.target)
        for target, value in {**usual, **named}.items():
            above, _, field = target.rpartition(".")
            _branch(grown, above)[field] = value
        return grown

    def of_target(self, target: str) -> Option:
        """The option that gives the field its value, or could."""
        options = [option for option in self.options if option.target == target]
        return next((option for option in options if option.name in self.values), options[0])


def of_a_service(environ: Mapping[str, str], options: Iterable[Option]) -> tuple[str, ...]:
    """Names of variables that look like settings and were set by Kubernetes or Docker."""
    own = {option.variable for option in options}
    return tuple(
        name
        for name, value in sorted(environ.items())
        if (name not in own and _OF_A_SERVICE.fullmatch(name))
        or (_SERVICE_PORT.fullmatch(name) and _SERVICE_URL.fullmatch(value))
    )


def gather(
    declared: Declared,
    flags: Namespace,
    environ: Mapping[str, str],
    default_file: Path,
    problems: list[str],
    names: Iterable[str] = (),
) -> Gathered:
    """The values of the settings with these names; without names, of all settings.

    Each fault becomes a sentence in ``problems``. Unknown names are faults only when all settings are gathered.
    """
    environ = {name: environ[name] for name in environ.keys() - set(of_a_service(environ, declared.options))}
    wanted = with_old_names(option for option in declared.options if not names or option.name in names)
    by_flag = _taken(_of_flags(flags, (CONFIG, *wanted)), problems)
    by_variable = _taken(_of_environment(environ, (CONFIG, *wanted)), problems)
    named = by_flag.pop(CONFIG.name, None) or by_variable.pop(CONFIG.name, None)
    file = TomlFile.read(Path(str(named.value)) if named else default_file, named.origin if named else "", problems)
    tables = [] if names else list(declared.tables)
    for table in [one for one in tables if one.is_named]:
        for inner in _named_ones(table, file):
            more = declared_in(inner)
            wanted += more.options
            tables += (inner, *more.tables)
    if not names:
        problems += _unknown(environ, declared.options, file, {option.name for option in wanted}, tables)
    keys = [(one, Given(value, one.name, file)) for one in wanted if (value := file.value(one.name)) is not None]
    values = {**_taken(keys, problems), **by_variable, **by_flag}
    problems += _given_twice(wanted, values)
    there = [table for table in tables if not table.is_named and _is_there(table, file, values)]
    for table in there:
        problems += _missing(table, wanted, values, file)
    _replace_secrets(wanted, values, environ, problems)
    old_names = tuple((old, new) for old, new in renamed.SETTINGS.items() if old in values)
    for old, new in old_names:
        values[new] = values.pop(old)
    return Gathered(tuple(wanted), values, tuple(there), old_names)


def with_old_names(options: Iterable[Option]) -> list[Option]:
    """The options, and again those that had another name, by that."""
    by_name = {option.name: option for option in options}
    old_ones = []
    for old, new in renamed.SETTINGS.items():
        if new in by_name:
            setting = msgspec.structs.replace(by_name[new].setting, flags=())
            old_ones.append(msgspec.structs.replace(by_name[new], name=old, setting=setting))
    return [*by_name.values(), *old_ones]


def _of_flags(flags: Namespace, wanted: Iterable[Option]) -> Iterator[tuple[Option, Given]]:
    for option in wanted:
        value = getattr(flags, option.name, None)
        if value is not None:
            yield option, Given(value, option.flags[0])


def _of_environment(environ: Mapping[str, str], wanted: Iterable[Option]) -> Iterator[tuple[Option, Given]]:
    for option in wanted:
        text = environ.get(option.variable, "")
        if text:
            value = [part.strip() for part in text.split(",") if part.strip()] if option.is_list else text
            yield option, Given(value, option.variable)


def _taken(found: Iterable[tuple[Option, Given]], problems: list[str]) -> dict[str, Given]:
    """The values that have the type of their options, by the names of those. Each other one is a problem."""
    taken: dict[str, Given] = {}
    for option, given in found:
        try:
            value: object = msgspec.convert(given.value, type=option.type, strict=given.file is not None)
        except msgspec.ValidationError:
            problems.append(f"{given.origin}: expected {expected(option)}{_got(option, given)}")
            continue
        if option.is_path:  # relative ones count from the file, or from here
            base = given.file.path.parent if given.file else Path.cwd()
            value = tuple(str(base / part) for part in value) if isinstance(value, tuple) else str(base / str(value))
        taken[option.name] = msgspec.structs.replace(given, value=value)
    return taken


def _named_ones(table: Table, file: TomlFile) -> Iterator[Table]:
    """The tables ``[preset.small]``, ``[preset.large]`` of the file for the declared ``[preset.NAME]``."""
    found = file.value(table.name)
    for name in found if isinstance(found, dict) else ():
        if _TABLE_NAME.fullmatch(name):
            yield Table(f"{table.name}.{name}", f"{table.target}.{name}", table.config, table.title)


def _is_there(table: Table, file: TomlFile, values: Mapping[str, Given]) -> bool:
    return isinstance(file.value(table.name), dict) or any(name.startswith(f"{table.name}.") for name in values)


def _given_twice(wanted: Iterable[Option], values: Mapping[str, Given]) -> Iterator[str]:
    """By an old name and the new one, or a secret by a file and a variable."""
    first: dict[str, Option] = {}
    for option in wanted:
        if option.name in values:
            other = first.setdefault(option.target, option)
            if other is not option:
                yield f"{values[option.name].origin}: expected only one of it and {other.called}, both are given"


def _missing(table: Table, wanted: Iterable[Option], values: Mapping[str, Given], file: TomlFile) -> Iterator[str]:
    """The settings without a default that a table is without."""
    names: dict[str, list[Option]] = {}
    for option in wanted:
        if option.table == table.name and option.is_required:
            names.setdefault(option.target, []).append(option)
    for options in names.values():
        if not any(option.name in values for option in options):
            keys = " or ".join(option.key for option in options)
            where = f"[{table.name}]" if file.value(table.name) is None else file.origin(table.name)
            yield f"{where}: expected {keys} in it: {options[0].setting.doc}"


def _replace_secrets(
    wanted: Iterable[Option], values: dict[str, Given], environ: Mapping[str, str], problems: list[str]
) -> None:
    """A secret for the name of its file or variable."""
    for option in wanted:
        if not option.held_in or option.name not in values:
            continue
        given = values[option.name]
        place = str(given.value)
        try:
            text = environ.get(place, "") if option.held_in == "variable" else Path(place).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            cause = cause_of(error)[0] if isinstance(error, OSError) else "it is not UTF-8"
            problems.append(f"{given.origin}: {place} cannot be read: {cause}, expected a file that holds the secret")
            continue
        if not text.strip():
            problems.append(f"{given.origin}: expected a secret in {place}, there is none")
        values[option.name] = msgspec.structs.replace(given, value={"text": text.strip()})


def _unknown(
    environ: Mapping[str, str], declared: Iterable[Option], file: TomlFile, names: set[str], tables: Iterable[Table]
) -> Iterator[str]:
    variables = {option.variable for option in with_old_names(declared)} | {CONFIG.variable, TEST_SWITCH, BOOT_ID}
    for name in sorted(environ):
        if name.startswith(VARIABLE_PREFIX) and name not in variables:
            # Without the prefix, which would make any two variables alike.
            known = [variable.removeprefix(VARIABLE_PREFIX) for variable in variables]
            meant = _meant(name.removeprefix(VARIABLE_PREFIX), known, VARIABLE_PREFIX)
            yield f"{name}: there is no such setting{meant}"
    yield from _unknown_keys("", file.content, file, names, {table.name: table for table in tables})


def _unknown_keys(
    above: str, content: Mapping[str, object], file: TomlFile, names: set[str], tables: Mapping[str, Table]
) -> Iterator[str]:
    for key, value in content.items():
        name = f"{above}.{key}" if above else key
        if "." in key:
            yield f"{file.origin(above) if above else file.path}: there is no such setting {key!r}"
            continue
        if name in names:
            continue
        if above in tables and tables[above].is_named and not _TABLE_NAME.fullmatch(key):
            yield f"{file.origin(above)}: expected a name of at most 32 letters, digits, - and _, got {key!r}"
        elif not any(table == name or table.startswith(f"{name}.") for table in tables):
            yield f"{file.origin(name)}: {_no_such(key, above, value, names)}"
        elif isinstance(value, dict):
            yield from _unknown_keys(name, value, file, names, tables)
        else:
            yield f"{file.origin(name)}: expected a table, [{name}], got {_shown(value, is_text=False)}"


def _no_such(key: str, above: str, value: object, names: set[str]) -> str:
    tables = [value] if isinstance(value, dict) else value if isinstance(value, list) else []
    inner = [name for table in tables if isinstance(table, dict) for name in table]
    if inner or isinstance(value, dict):
        which = ", ".join(name for name in inner if name in names) or "them"
        return f"there is no such setting, got a table (settings stand above all tables: put {which} there)"
    siblings = [name.rpartition(".")[2] for name in names if name.rpartition(".")[0] == above]
    return f"there is no such setting{_meant(key, siblings)}"


def _got(option: Option, given: Given) -> str:
    """The value and, where TOML's quotes or brackets are the likely mistake, a hint; nothing of a secret."""
    if option.setting.is_secret:
        return ""
    is_text = given.file is None
    return f", got {_shown(given.value, is_text=is_text)}{'' if is_text else _mistake(option, given.value)}"


def _branch(grown: dict[str, object], target: str) -> dict[str, object]:
    for field in target.split(".") if target else ():
        inner = grown.setdefault(field, {})
        assert isinstance(inner, dict)
        grown = inner
    return grown


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


def _mistake(option: Option, value: object) -> str:
    if value == "" or (isinstance(value, list) and "" in value):
        return " (leave it out)" if option.is_list else " (leave the setting out, or give it one)"
    if isinstance(value, list) and value and all(isinstance(part, str | int | float) for part in value):
        texts = ", ".join(f'"{part}"' for part in value)
        return f" (write it in quotes: {option.key} = [{texts}])" if option.is_list else ""
    if option.is_list and isinstance(value, str):
        return f' (write {option.key} = ["{value}"])'
    if isinstance(value, str):
        try:
            msgspec.convert(value, type=option.type, strict=False)
        except msgspec.ValidationError:
            return ""
        return f" (write it without quotes: {option.key} = {value})"
    if isinstance(value, int | float) and (option.is_list or option.is_text):
        text = f'["{value}"]' if option.is_list else f'"{value}"'
        return f" (write it in quotes: {option.key} = {text})"
    return ""


def _meant(name: str, known: Iterable[str], prefix: str = "") -> str:
    """``prefix``: of the variables that the known names are meant as."""
    close = get_close_matches(name.upper() if prefix else name.lower(), list(known), n=1)
    return f" (did you mean {prefix}{close[0]}?)" if close else ""
