"""The settings that Configs declare (``imgserve.setting``), each with its key, variable and flag.

A setting called ``render_timeout_s`` is that key in the TOML file and ``IMGSERVE_RENDER_TIMEOUT_S`` in the environment;
some are flags too. One in a table, ``[get.imgproxy] path``, is ``IMGSERVE_GET_IMGPROXY_PATH``. Read by ``read`` and
``load``, by the command line and by docs/generate.py.
"""

from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Struct

from imgserve.setting import Secret, Section, Setting, Text
from imgserve.settings.tree import Settings

VARIABLE_PREFIX = "IMGSERVE_"


class Option(Struct, frozen=True):
    """``name`` is the key behind its tables, ``target`` the fields that lead to it, both parted by dots.

    ``held_in``: the value names what holds the secret that is meant.
    """

    name: str
    target: str
    type: Any
    setting: Setting
    default: Any = ""
    is_required: bool = False
    title: str = ""
    held_in: Literal["", "file", "variable"] = ""

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
    def called(self) -> str:
        """As people write it: ``port``, ``[get.imgproxy] path``."""
        return f"[{self.table}] {self.key}" if self.table else self.key

    @property
    def flags(self) -> tuple[str, ...]:
        has_flag = self.setting.metavar and "." not in self.name
        return (f"--{self.name.replace('_', '-')}", *self.setting.flags) if has_flag else ()

    @property
    def is_list(self) -> bool:
        kind = _kind_of(self.type)
        return get_origin(kind) is tuple and _kind_of(get_args(kind)[0]) is str

    @property
    def is_text(self) -> bool:
        return _kind_of(self.type) is str

    @property
    def is_path(self) -> bool:
        return self.setting.metavar in ("FILE", "DIR")

    @property
    def usual(self) -> str:
        """The default in words."""
        if self.setting.default or self.default in ("", ()):
            return self.setting.default or "none"
        return ", ".join(map(str, self.default)) if isinstance(self.default, tuple) else str(self.default)


class Table(Struct, frozen=True):
    """A table of the TOML file. ``is_named``: one for each name, as ``[preset.NAME]``; those are in the file only."""

    name: str
    target: str
    config: type[Struct]
    title: str = ""
    is_named: bool = False


class Declared(Struct, frozen=True):
    options: tuple[Option, ...]
    tables: tuple[Table, ...] = ()


def declared(root: type[Struct]) -> Declared:
    """All settings and tables of a tree of Configs."""
    return declared_in(Table("", "", root, "The server"))


def declared_in(table: Table) -> Declared:
    """The settings and tables within one table."""
    found = tuple(_walk(table))
    options = tuple(one for one in found if isinstance(one, Option))
    return Declared(options, tuple(one for one in found if isinstance(one, Table)))


def _walk(table: Table) -> Iterator[Option | Table]:
    for field in msgspec.structs.fields(table.config):
        extras = get_args(field.type)[1:] if get_origin(field.type) is Annotated else ()
        target = _joined(table.target, field.name)
        for extra in extras:
            if isinstance(extra, Setting):
                yield from _options(field, extra, _joined(table.name, extra.name or field.name), target, table.title)
            elif isinstance(extra, Section):
                kind = _kind_of(field.type)
                is_named = get_origin(kind) is dict
                config = get_args(kind)[-1] if is_named else kind
                name = _joined(table.name, extra.table)
                inner = Table(name, target, config, extra.title or table.title, is_named)
                if extra.table:
                    yield inner
                if not is_named:
                    yield from _walk(inner)


def _options(
    field: msgspec.structs.FieldInfo, setting: Setting, name: str, target: str, title: str
) -> Iterator[Option]:
    kind = _kind_of(field.type)
    default = field.default_factory() if field.default_factory is not NODEFAULT else field.default
    one = Option(name, target, Text if kind is Path else field.type, setting, "", default is NODEFAULT, title)
    if default is not NODEFAULT:
        one = msgspec.structs.replace(one, default=default)
    if kind is Secret:
        file = msgspec.structs.replace(setting, metavar="FILE")
        for held_in, suffix, words in (("file", "file", file), ("variable", "env", setting)):
            yield msgspec.structs.replace(one, name=f"{name}_{suffix}", type=Text, setting=words, held_in=held_in)
        return
    yield one


def _joined(first: str, second: str) -> str:
    return ".".join(filter(None, (first, second)))


def _kind_of(kind: Any) -> Any:
    """The type without its range, its words and its None."""
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    some = [one for one in get_args(bare) if one is not NoneType]
    return some[0] if NoneType in get_args(bare) and len(some) == 1 else bare


CONFIG = Option(
    "config",
    "",
    Text,
    Setting(
        "TOML file with settings; it must exist if it is named",
        default="`/etc/imgserve.toml` for root, else `~/.imgserve/imgserve.toml`, if it exists",
        metavar="FILE",
    ),
)
DECLARED = declared(Settings)
BY_NAME = {option.name: option for option in (CONFIG, *DECLARED.options)}


def expected(option: Option) -> str:
    """The expected value in words: for faults and for the reference page."""
    schema = msgspec.json.schema(option.type)
    if option.is_list:
        return "a list of texts"
    if "enum" in schema:
        return "one of " + ", ".join(sorted(schema["enum"]))
    words = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "a text"}
    words |= {"array": "a list", "object": "a table"}
    low, high = schema.get("minimum"), schema.get("maximum")
    said = words[schema.get("type", "object")]
    if "exclusiveMinimum" in schema:
        most = f", at most {high:g}" if high is not None and high < 1e9 else ""
        return f"{said} above {schema['exclusiveMinimum']:g}{most}"
    if low is not None and high is not None and high < 1e9:
        return f"{said} from {low} to {high:,}"
    return f"{said} from {low:,}" if low is not None else said
