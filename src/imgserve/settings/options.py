"""The settings that Configs declare (``imgserve.setting``), each with its key, variable and flag.

A setting called ``render_timeout_s`` is that key in the TOML file and ``IMGSERVE_RENDER_TIMEOUT_S`` in the environment;
some are flags too. One in a table, ``[get.imgproxy] path``, is ``IMGSERVE_GET_IMGPROXY_PATH``. Used by ``read`` and
``load``, by the command line and by docs/generate.py.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Struct

from imgserve.setting import Secret, Section, Setting, Text
from imgserve.settings.tree import Settings

VARIABLE_PREFIX = "IMGSERVE_"
_MOST_KEPT = 1000  # each named preset, credential or picture of a file is a Config of its own


class Option(Struct, frozen=True):
    """``name`` is the key behind its tables, ``target`` the fields that lead to it, both separated by dots.

    ``held_in``: the value names the file or the variable that holds the secret; ``has_several``: several of them, one a
    line or with commas between them.
    """

    name: str
    target: str
    type: Any
    setting: Setting
    default: Any = ""
    is_required: bool = False
    title: str = ""
    held_in: Literal["", "file", "variable"] = ""
    has_several: bool = False

    @property
    def variable(self) -> str:
        return VARIABLE_PREFIX + self.name.upper().replace(".", "_")

    @property
    def table(self) -> str:
        return self.name.rpartition(".")[0]

    @property
    def key(self) -> str:
        return self.name.rpartition(".")[2]

    @property
    def label(self) -> str:
        """As in the file: ``port``, ``[get.imgproxy] path``."""
        return f"[{self.table}] {self.key}" if self.table else self.key

    @property
    def flags(self) -> tuple[str, ...]:
        has_flag = self.setting.metavar and not self.table
        return (f"--{self.name.replace('_', '-')}", *self.setting.flags) if has_flag else ()

    @property
    def is_list(self) -> bool:
        return get_origin(_bare(self.type)) is tuple

    @property
    def is_table(self) -> bool:
        return get_origin(_bare(self.type)) is dict

    @property
    def is_path(self) -> bool:
        return self.setting.metavar in ("FILE", "DIR")

    @property
    def usual(self) -> str:
        """The default in words."""
        if self.setting.default or self.default in (None, "", (), {}):
            return self.setting.default or "none"
        return ", ".join(self.default) if self.is_list else str(self.default)


class Table(Struct, frozen=True):
    """A table of the TOML file. ``has_names``: it holds one for each name, as ``[preset]`` holds ``[preset.NAME]``."""

    name: str
    target: str
    title: str
    has_names: bool = False


class Declared(NamedTuple):
    options: tuple[Option, ...]
    tables: tuple[Table, ...]


def declared(root: type[Struct], names_in: Callable[[str], Iterable[str]] = lambda _table: ()) -> Declared:
    """All settings and tables of a tree of Configs. ``names_in``: the names of the tables that a table holds."""
    entries = tuple(_walk(root, Table("", "", "The server"), names_in))
    options = tuple(entry for entry in entries if isinstance(entry, Option))
    return Declared(options, tuple(entry for entry in entries if isinstance(entry, Table)))


def _walk(config: type[Struct], above: Table, names_in: Callable[[str], Iterable[str]]) -> Iterator[Option | Table]:
    for one in _own(config, above):
        if isinstance(one, Option):
            yield one
            continue
        table, kind = one.table, one.kind
        if one.is_in_file:
            yield table
        if not table.has_names:
            yield from _walk(kind, table, names_in)
        for name in names_in(table.name) if table.has_names else ():
            inner = Table(f"{table.name}.{name}", f"{table.target}.{name}", table.title)
            yield inner
            yield from _walk(get_args(kind)[1], inner, names_in)


class _Inner(NamedTuple):
    """A Config within another one, or a dict of them. Not ``is_in_file``: its settings stand in the table above."""

    table: Table
    kind: Any
    is_in_file: bool


@functools.lru_cache(_MOST_KEPT)
def _own(config: type[Struct], above: Table) -> tuple[Option | _Inner, ...]:
    """The settings of a Config itself, and what stands within it. Kept, since to read a type takes long."""
    own = list[Option | _Inner]()
    for field in msgspec.structs.fields(config):
        target, kind = _joined(above.target, field.name), _bare(field.type)
        for extra in get_args(field.type)[1:]:
            if isinstance(extra, Setting):
                option = _option(field, extra, above, target)
                own += _places(option) if _is_secret(kind) else (option,)
            elif isinstance(extra, Section):
                has_names = get_origin(kind) is dict
                table = Table(_joined(above.name, extra.table), target, extra.title or above.title, has_names)
                own.append(_Inner(table, kind, bool(extra.table)))
    return tuple(own)


def _option(field: msgspec.structs.FieldInfo, setting: Setting, above: Table, target: str) -> Option:
    has_factory = field.default_factory is not NODEFAULT
    bare = _bare(field.type)
    kind = Text if bare is Path or _is_secret(bare) else field.type
    name = _joined(above.name, setting.name or field.name)
    default = field.default_factory() if has_factory else "" if field.required else field.default
    has_several = bare is not Secret and _is_secret(bare)
    return Option(name, target, kind, setting, default, field.required, above.title, has_several=has_several)


def _is_secret(kind: Any) -> bool:
    return kind is Secret or (get_origin(kind) is tuple and get_args(kind)[0] is Secret)


def _places(secret: Option) -> Iterator[Option]:
    file = msgspec.structs.replace(secret.setting, metavar="FILE")
    yield msgspec.structs.replace(secret, name=f"{secret.name}_file", setting=file, held_in="file")
    yield msgspec.structs.replace(secret, name=f"{secret.name}_env", held_in="variable")


def _joined(first: str, second: str) -> str:
    return ".".join(filter(None, (first, second)))


def _bare(kind: Any) -> Any:
    """The type without its range, its words and its None."""
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    some = [one for one in get_args(bare) if one is not NoneType]
    return some[0] if NoneType in get_args(bare) and len(some) == 1 else bare


CONFIG = Option("config", "", Text, Setting(
    "TOML file with settings; it must exist if it is named", metavar="FILE",
    default="`/etc/imgserve.toml` for root, else `~/.imgserve/imgserve.toml`, if it exists",
))  # fmt: skip
DECLARED = declared(Settings)
BY_NAME = {option.name: option for option in (CONFIG, *DECLARED.options)}


_KINDS = {
    "integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "a text",
    "object": "a table",
}  # fmt: skip


def expected(option: Option) -> str:
    """The expected value in words: for faults and for the reference page."""
    schema = msgspec.json.schema(option.type)
    schema = next((one for one in schema.get("anyOf", ()) if one.get("type") != "null"), schema)
    if option.is_list:
        return "a list of tables" if schema["items"].get("type") == "object" else "a list of texts"
    if "enum" in schema:
        return "one of " + ", ".join(sorted(schema["enum"]))
    kind, low, high = _KINDS[schema["type"]], schema.get("minimum"), schema.get("maximum", 1e9)
    if "exclusiveMinimum" in schema:
        return f"{kind} above {schema['exclusiveMinimum']:g}" + (f", at most {high:g}" if high < 1e9 else "")
    if low is None:
        return kind
    return f"{kind} from {low} to {high:,}" if high < 1e9 else f"{kind} from {low:,}"
