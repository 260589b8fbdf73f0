"""The values that flags, environment and TOML file give: which one counts, and where it stands. Called by ``load``.

A flag goes before a variable, a variable before the file. An empty variable counts as none; one that is a list is
split at commas, and one that is a table into ``NAME=TEXT``. A fault names the flag, the variable, or the file with
line, table and key.
"""

import contextlib
import os
import pwd
import re
import string
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from imgserve.errors import FileUnusable, cause_of
from imgserve.errors import Path as KeyPath
from imgserve.settings import renamed
from imgserve.settings.options import CONFIG, Option, Table, declared, expected
from imgserve.settings.tomlfile import TomlFile
from imgserve.settings.unknown import of_a_service, shown, unknown_keys, unknown_variables


class Value(msgspec.Struct, frozen=True):
    """A value, and the name of its flag, variable or, with ``file``, key."""

    value: object
    name: str
    file: TomlFile | None = None

    @property
    def origin(self) -> str:
        """The name of its place in a fault."""
        return self.place_of(())

    def place_of(self, path: KeyPath) -> str:
        """The name of a place in it, if it is a table or a list."""
        return self.file.origin(self.name, path) if self.file else self.name


class Gathered(msgspec.Struct, frozen=True):
    """``values`` by the names of ``options``; ``tables``: those that the file has, or a value is in.

    ``renamed``: the old names among the values, and their new ones. ``unread``: the secrets that could not be read.
    """

    file: TomlFile
    options: tuple[Option, ...]
    values: dict[str, Value]
    tables: tuple[Table, ...]
    renamed: tuple[tuple[str, str], ...] = ()
    unread: tuple[str, ...] = ()

    def value(self, name: str) -> object:
        """None: it has no value."""
        return self.values[name].value if name in self.values else None

    def tree(self, usual: Mapping[str, object]) -> dict[str, object]:
        """Nested as the Configs are. ``usual`` has values for the targets that have no other."""
        named = {option.target: self.values[option.name].value for option in self.options if option.name in self.values}
        tree: dict[str, object] = {}
        for table in self.tables:
            _branch(tree, table.target)
        for target, value in {**usual, **named}.items():
            above, _, field = target.rpartition(".")
            _branch(tree, above)[field] = value
        return tree

    def place_of(self, target: str, path: KeyPath = ()) -> tuple[str, str]:
        """The setting that gives the field its value, or could: its name, and its name in a fault.

        ``path`` leads into the value.
        """
        options = [option for option in self.options if option.target == target]
        option = next((option for option in options if option.name in self.values), options[0])
        value = self.values.get(option.name)
        return option.name, option.label if value is None else value.place_of(path)


def gather(
    root: type[msgspec.Struct],
    flags: Namespace,
    environ: Mapping[str, str],
    default_file: Path,
    problems: list[str],
    names: Iterable[str] = (),
    *,
    is_look: bool = False,
) -> Gathered:
    """The values of the settings with these names; without names, of all settings of the Config ``root``.

    ``is_look``: for a user who may not read all secrets. Each fault becomes a sentence in ``problems``. Unknown names
    are faults only when all settings are gathered.
    """
    fixed = with_old_names(declared(root).options, names)
    environ = {name: environ[name] for name in environ.keys() - set(of_a_service(environ, fixed))}
    home = home_of(environ)
    typed = ((option, getattr(flags, option.name, None)) for option in (CONFIG, *fixed))
    flagged = ((one, Value(value, one.flags[0])) for one, value in typed if value is not None)
    by_flag = _converted(flagged, home, problems)
    by_variable = _converted(_of_environment(environ, (CONFIG, *fixed)), home, problems)
    file_name = by_flag.pop(CONFIG.name, None) or by_variable.pop(CONFIG.name, None)
    path = Path(str(file_name.value)) if file_name else default_file
    file = TomlFile.read(path, file_name.origin if file_name else "", problems)
    everything = declared(root, file.names_in)
    options = with_old_names(everything.options, names)
    if not names:
        problems += unknown_variables(environ, fixed)
        tables = {table.name: table for table in everything.tables}
        problems += unknown_keys("", file.content, file, {option.name for option in options}, tables)
    written = ((option, file.value(option.name)) for option in options)
    keyed = ((one, Value(value, one.name, file)) for one, value in written if value is not None)
    by_key = _converted(keyed, home, problems)
    values = {**by_key, **by_variable, **by_flag}
    present = [table for table in everything.tables if not names and _is_present(table, file, values)]
    problems += _duplicate_or_missing(options, values, file, {table.name for table in present})
    unread = _replace_secrets(options, values, environ, problems, is_look=is_look)
    old_names = tuple((old, new) for old, new in renamed.SETTINGS.items() if old in values)
    for old, new in old_names:
        values[new] = values.pop(old)
    return Gathered(file, tuple(options), values, tuple(present), old_names, tuple(unread))


def with_old_names(options: Iterable[Option], names: Iterable[str] = ()) -> list[Option]:
    """The options with these names, or all, and those that had another name a second time, by that."""
    by_name = {option.name: option for option in options if not names or option.name in names}
    for old, new in renamed.SETTINGS.items():
        if new in by_name:
            setting = msgspec.structs.replace(by_name[new].setting, flags=())
            by_name[old] = msgspec.structs.replace(by_name[new], name=old, setting=setting)
    return list(by_name.values())


def _of_environment(environ: Mapping[str, str], options: Iterable[Option]) -> Iterator[tuple[Option, Value]]:
    for option in options:
        if text := environ.get(option.variable, ""):
            yield option, Value(_of_variable(text, option), option.variable)


def _of_variable(text: str, option: Option) -> object:
    """A table's parts are ``NAME=TEXT``."""
    if not option.is_list and not option.is_table:
        return text
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if option.is_table and all("=" in part for part in parts):
        return {part.partition("=")[0].strip(): part.partition("=")[2].strip() for part in parts}
    return parts if option.is_list else text


def home_of(environ: Mapping[str, str]) -> Path:
    """The home directory of this user; the root for one that no file names, as in a container."""
    try:
        return Path(environ.get("HOME") or pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:
        return Path("/")


def _converted(entries: Iterable[tuple[Option, Value]], home: Path, problems: list[str]) -> dict[str, Value]:
    """The values of the type of their options, by the options' names. Each other one is a problem."""
    converted: dict[str, Value] = {}
    for option, entry in entries:
        try:
            value: object = msgspec.convert(entry.value, type=option.type, strict=entry.file is not None)
        except msgspec.ValidationError:
            problems.append(f"{entry.origin}: expected {expected(option)}{_got(option, entry)}")
            continue
        if option.is_path:  # relative to the TOML file, or to the working directory
            base = entry.file.path.parent if entry.file else _working_directory()
            parts = value if isinstance(value, tuple) else (str(value),)
            paths = tuple(str(home / part[2:] if part.startswith("~/") else base / part) for part in parts)
            value = paths if isinstance(value, tuple) else paths[0]
        converted[option.name] = msgspec.structs.replace(entry, value=value)
    return converted


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise FileUnusable("the working directory is not there any more", "change into another one (cd)") from error


def _is_present(table: Table, file: TomlFile, values: Mapping[str, Value]) -> bool:
    is_in_file = isinstance(file.value(table.name), dict)
    return not table.has_names and (is_in_file or any(name.startswith(f"{table.name}.") for name in values))


def _duplicate_or_missing(
    options: Iterable[Option], values: Mapping[str, Value], file: TomlFile, tables: set[str]
) -> Iterator[str]:
    """A setting may have an old name and a new one, or a secret's file and variable, of which one counts."""
    by_target: dict[str, list[Option]] = {}
    for option in options:
        by_target.setdefault(option.target, []).append(option)
    for same in by_target.values():
        present, table = [option for option in same if option.name in values], same[0].table
        if len(present) > 1:
            origin = values[present[1].name].origin
            yield f"{origin}: expected only one of it and {present[0].label}, both are given"
        elif not present and same[0].is_required and table in tables and not _is_in(file, same):
            where = f"[{table}]" if file.value(table) is None else file.origin(table)
            yield f"{where}: expected {' or '.join(option.key for option in same)} in it: {same[0].setting.doc}"


def _is_in(file: TomlFile, options: Iterable[Option]) -> bool:
    """Whether one of them is given at all, if only with a value that is a fault already."""
    return any(file.value(option.name) is not None for option in options)


def _replace_secrets(
    options: Iterable[Option],
    values: dict[str, Value],
    environ: Mapping[str, str],
    problems: list[str],
    *,
    is_look: bool,
) -> list[str]:
    """Put each secret in place of the name of its file or variable.

    Returns the names of those that could not be read, which get an empty text. Each is a problem, except for
    ``is_look`` where it is only kept from this user.
    """
    unread = []
    for option in options:
        if not option.held_in or option.name not in values:
            continue
        entry = values[option.name]
        text, fault, is_kept = _secret_in(str(entry.value), option, environ)
        if fault:
            unread.append(option.name)
            problems += [] if is_look and is_kept else [f"{entry.origin}: {fault}"]
        path = "" if option.held_in == "variable" else entry.value
        texts = re.split(r"[\s,]+", text) if option.has_several else [text]
        secrets = [{"text": one, "path": path} for one in texts]
        values[option.name] = msgspec.structs.replace(entry, value=secrets if option.has_several else secrets[0])
    return unread


def _secret_in(place: str, option: Option, environ: Mapping[str, str]) -> tuple[str, str, bool]:
    """The secret, the fault without one, and whether another user may have it."""
    blank = f"{string.whitespace}," if option.has_several else None
    if option.held_in == "variable":
        text = environ.get(place, "").strip(blank)
        return text, "" if text else f"expected a secret in {place}, there is none", not text
    try:
        text = Path(place).read_text(encoding="utf-8").strip(blank)
    except (OSError, UnicodeDecodeError) as error:
        cause, remedy = cause_of(error) if isinstance(error, OSError) else ("it is not UTF-8", "")
        fault = f"{place} cannot be read: {cause} ({remedy or 'name the file that holds the secret'})"
        return "", fault, isinstance(error, PermissionError)
    return text, "" if text else f"expected a secret in {place}, there is none", False


def _got(option: Option, entry: Value) -> str:
    """The value and, for one of the TOML file, what was probably meant; nothing of a secret."""
    if option.setting.is_secret:
        return ""
    got = f", got {shown(entry.value, is_typed=entry.file is None)}"
    return got if entry.file is None else got + _meant(option, entry.value)


def _branch(tree: dict[str, object], target: str) -> dict[str, object]:
    for field in target.split(".") if target else ():
        inner = tree.setdefault(field, {})
        assert isinstance(inner, dict)
        tree = inner
    return tree


def _meant(option: Option, value: object) -> str:
    """Quotes and brackets are the likely mistakes of TOML."""
    parts = value if isinstance(value, list) else [value]
    if "" in parts:
        return " (leave it out)"
    if not all(isinstance(part, str | int | float) for part in parts):
        return ""
    for meant in (value, str(value), [str(part) for part in parts]):
        with contextlib.suppress(msgspec.ValidationError):
            meant = msgspec.convert(meant, type=option.type, strict=False)
            return f" (write {option.key} = {msgspec.json.encode(meant).decode()})"
    return ""
