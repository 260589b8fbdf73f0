"""Writes the tables in docs/ that can be read off the code: codes, operations, limits, settings. Run by ``make docs``.

    python docs/generate.py           write them
    python docs/generate.py --check   write nothing, exit with 1 when one is out of date (``make check``)

A table stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``.
"""

import argparse
import importlib
import inspect
import json
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_args

import msgspec
import msgspec.inspect
from prometheus_client import Counter, Gauge, Histogram

import imgserve
from imgserve.cli.main import whole
from imgserve.errors import ImgserveError
from imgserve.jobs.faults import ENDS
from imgserve.request.classic.codes import MEANING
from imgserve.request.classic.recipe import AFTER, BEFORE, PARTS
from imgserve.request.dialects.iiif.support import SUPPORT as IIIF
from imgserve.request.dialects.imgproxy.support import SUPPORT as IMGPROXY
from imgserve.request.dialects.support import Row
from imgserve.request.dialects.thumbor.support import IMAGOR
from imgserve.request.dialects.thumbor.support import SUPPORT as THUMBOR
from imgserve.request.encode import BIT_DEPTHS, FORMATS_WITH, Encode, Format
from imgserve.request.faults import MEANING as MEANING_OF_FAULT
from imgserve.request.faults import Code
from imgserve.request.fields import fields_of
from imgserve.request.job_body import JobBody, OutputBody, PlaceholderBody
from imgserve.request.native import OPERATIONS
from imgserve.request.native_destination import DestinationBody
from imgserve.request.native_source import SourceBody
from imgserve.request.native_webhook import WebhookBody
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import LoadOptions
from imgserve.request.values import expected as expected_value
from imgserve.request.values import plain
from imgserve.settings import renamed
from imgserve.settings.options import DECLARED, Option, declared, expected
from imgserve.settings.tree import Settings
from imgserve.telemetry import metrics, states

DOCS = Path(__file__).resolve().parent
JOB: dict[str, type[msgspec.Struct]] = {
    "The job": JobBody,
    "`source` as an object": SourceBody,
    "An output": OutputBody,
    "`destination` as an object": DestinationBody,
    "`placeholder` as an object": PlaceholderBody,
    "`webhook` as an object": WebhookBody,
}
PLACE = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

TOOLS = ("submit", "jobs", "cache", "queue", "render", "sign", "import-config", "completion")


def codes() -> Iterator[str]:
    yield "| code | meaning |"
    yield "|---|---|"
    for code, meaning in sorted(MEANING.items()):
        yield f"| {code} | {meaning} |"


def operations() -> Iterator[str]:
    yield "| operation | argument | values | default |"
    yield "|---|---|---|---|"
    for operation in (Resize, Rasterize):
        schema = msgspec.json.schema(operation)["$defs"][operation.__name__]["properties"]
        for field in msgspec.structs.fields(operation):
            usual = "refuse" if field.name == "if_small" else field.default  # as ``classic.recipe`` has it
            default = "" if usual is None else f"`{msgspec.json.encode(usual).decode()}`"
            values = in_words(schema[field.name])
            yield f"| {operation.__name__.lower()} | `{field.name}` | {values} | {default} |"


def flat_args() -> Iterator[str]:
    """The args of the classic protocol that are operations, in the order in which they are carried out."""
    yield "| argument | one value sets | fields of an object |"
    yield "|---|---|---|"
    for name, row in {**BEFORE, "": None, **AFTER}.items():
        if row is None:
            yield "| *resize* | | |"
            continue
        words = [f"`{field}`" for field in row.value] + (["`true`: the defaults"] if row.is_switch else [])
        fields = ", ".join(f"`{field}`" for field in fields_of(OPERATIONS[row.operation]))
        yield f"| `{name}` | {', '.join(words)} | {fields} |"
        for part in (part for part, owner in PARTS.items() if owner == name):
            yield f"| `{part}` | `{part}` of `{name}` | |"


def operation_pages() -> Iterator[str]:
    """Each operation: its picture, the recipe of that, and the fields. docs/pictures.py makes the pictures."""
    for name, operation in OPERATIONS.items():
        yield f"\n## {name}\n"
        yield inspect.getdoc(operation) or ""
        yield f"\n![{name}](../images/operations/{name}.webp)\n"
        yield "```json"
        yield ",\n".join(json.dumps(one) for one in example_recipes()[name])
        yield "```\n"
        rows = list(rows_of(operation))
        if rows:
            yield "| field | values | default | meaning |"
            yield "|---|---|---|---|"
            yield from rows
        else:
            yield "No fields."
    yield ""


def encode_fields() -> Iterator[str]:
    """The fields of ``encode``, and the formats that have each."""
    yield "| field | values | default | formats | meaning |"
    yield "|---|---|---|---|---|"
    for row, field in zip(rows_of(Encode), msgspec.structs.fields(Encode), strict=True):
        having = FORMATS_WITH.get(field.name, frozenset(BIT_DEPTHS) if field.name == "bit_depth" else None)
        formats = "all" if having is None else " ".join(one for one in get_args(Format) if one in having)
        name, values, default, meaning = row.removeprefix("| ").removesuffix(" |").split(" | ")
        yield f"| {name} | {values} | {default} | {formats} | {meaning} |"


def load_fields() -> Iterator[str]:
    yield "| field | values | default | meaning |"
    yield "|---|---|---|---|"
    yield from rows_of(LoadOptions)


def job_fields() -> Iterator[str]:
    """The fields of a native job, and of each object in it that is no part of a recipe."""
    for place, struct in JOB.items():
        yield f"\n### {place}\n"
        yield "| field | values | default | meaning |"
        yield "|---|---|---|---|"
        info = msgspec.inspect.type_info(struct)
        assert isinstance(info, msgspec.inspect.StructType)
        for field in info.fields:
            yield row_of(field)
    yield ""


def rows_of(struct: type[msgspec.Struct], prefix: str = "") -> Iterator[str]:
    """A row for each field of an operation, and of the objects in it."""
    info = msgspec.inspect.type_info(struct)
    assert isinstance(info, msgspec.inspect.StructType)
    for field in info.fields:
        yield row_of(field, prefix)
        for inner, many in structs_in(field.type):
            yield from rows_of(inner, f"{prefix}{field.name}{'[]' if many else ''}.")


def row_of(field: msgspec.inspect.Field, prefix: str = "") -> str:
    values = escaped(expected_value(plain(field.type)))
    return f"| `{prefix}{field.name}` | {values} | {default_of(field)} | {escaped(description(field.type))} |"


def default_of(field: msgspec.inspect.Field) -> str:
    if field.required:
        return "must be given"
    value = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else f"`{msgspec.json.encode(value).decode()}`"


def structs_in(kind: msgspec.inspect.Type, *, many: bool = False) -> Iterator[tuple[type[msgspec.Struct], bool]]:
    """The objects that a field may hold, and whether they are in a list; not those that have words of their own."""
    if isinstance(kind, msgspec.inspect.Metadata) and kind.extra:
        return
    if isinstance(kind, msgspec.inspect.StructType):
        yield kind.cls, many
    elif isinstance(kind, msgspec.inspect.Metadata):
        yield from structs_in(kind.type, many=many)
    elif isinstance(kind, msgspec.inspect.VarTupleType):
        yield from structs_in(kind.item_type, many=True)
    elif isinstance(kind, msgspec.inspect.UnionType):
        for part in kind.types:
            yield from structs_in(part, many=many)


def description(kind: msgspec.inspect.Type) -> str:
    """Of a field; of one with several types that of each."""
    if isinstance(kind, msgspec.inspect.UnionType):
        return " or ".join(dict.fromkeys(text for part in kind.types if (text := description(part))))
    if not isinstance(kind, msgspec.inspect.Metadata):
        return ""
    return (kind.extra_json_schema or {}).get("description") or description(kind.type)


def escaped(text: str) -> str:
    return text.replace("|", "\\|")


def gallery() -> Iterator[str]:
    """The pictures of all operations, three a row."""
    names = ["source", *example_recipes()]
    yield "| | | |"
    yield "|---|---|---|"
    for row in (names[at : at + 3] for at in range(0, len(names), 3)):
        pictures = [f"![{name}](images/operations/{name}.webp)<br>{linked(name)}" for name in row]
        yield f"| {' | '.join([*pictures, *[''] * (3 - len(row))])} |"


def linked(name: str) -> str:
    return "the source" if name == "source" else f"[{name}](reference/operations.md#{name})"


def example_recipes() -> dict[str, list[dict[str, object]]]:
    """The operations of each picture."""
    recipes: dict[str, list[dict[str, object]]] = json.loads((DOCS / "images/operations/recipes.json").read_text())
    return recipes


def in_words(schema: dict[str, Any]) -> str:
    """One field's JSON schema for people."""
    options = [option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"]
    if len(options) > 1:
        return " or ".join(in_words(option) for option in options)
    (chosen,) = options
    if "enum" in chosen:
        return ", ".join(f"`{value}`" for value in sorted(chosen["enum"]))
    if "$ref" in chosen:
        return "`{x, y}`, numbers from 0 to 1"
    words = {"integer": "whole number", "number": "number", "boolean": "`true` or `false`", "string": "text"}
    text = "colour" if "expected" in chosen or "pattern" in chosen else words[chosen["type"]]
    if "minimum" in chosen:
        text += f" from {chosen['minimum']:,} to {chosen['maximum']:,}"
    return text + (f", {chosen['description']}" if "description" in chosen else "")


def limits() -> Iterator[str]:
    yield "| of | at most | setting |"
    yield "|---|---|---|"
    for option in DECLARED.options:
        if option.title == "Limits of pictures":
            limit = f"{option.default:,} {option.setting.unit}".strip()
            yield f"| {option.setting.doc} | {limit} | `{option.name}` |"


def settings() -> Iterator[str]:
    yield from settings_of(Settings)


def settings_of(root: type[msgspec.Struct]) -> Iterator[str]:
    """A table for each title, in the order of the tree. A table with names stands there once, as ``[preset.NAME]``."""
    options = declared(root, lambda _table: ["NAME"]).options
    for title in dict.fromkeys(option.title for option in options):
        yield f"\n### {title}\n"
        yield "| setting | meaning | values | default |"
        yield "|---|---|---|---|"
        for option in (one for one in options if one.title == title):
            flag = f"<br>`{option.flags[0]} {option.setting.metavar}`" if option.flags else ""
            yield f"| `{option.label}`{flag} | {option.setting.doc} | {values(option)} | {usual(option)} |"
    yield ""


def values(option: Option) -> str:
    unit = f", {option.setting.unit}" if option.setting.unit else ""
    return expected(option).replace("a list of texts", "list") + unit


def usual(option: Option) -> str:
    value = option.default
    if option.is_required and not option.setting.default:
        return "must be given"
    if option.setting.default or value in ("", (), {}):
        return option.usual
    if isinstance(value, tuple | bool):
        return f"`{msgspec.json.encode(value).decode()}`"
    return f"{value:,.15g}" if isinstance(value, int | float) else f"`{value}`"


def all_metrics() -> Iterator[str]:
    yield "| metric | type | labels | |"
    yield "|---|---|---|---|"
    for metric in described():
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        yield f"| `{metric.name}` | {metric.type} | {labels} | {metric.doc} |"


class Metric(NamedTuple):
    name: str
    type: str
    labels: tuple[str, ...]
    doc: str


def described() -> Iterator[Metric]:
    """By the names in capitals: a child of one, kept for speed, is a counter too."""
    for metric in (value for name, value in vars(metrics).items() if name.isupper()):
        if isinstance(metric, Counter | Gauge | Histogram | metrics.Reading):
            [family] = metric.describe()
            name = family.name + ("_total" if family.type == "counter" else "")
            yield Metric(name, family.type, metric._labelnames, family.documentation)


def tools() -> Iterator[str]:
    """The operator's commands, from the parsers themselves."""
    for name, parser in _parsers(whole(), "imgserve"):
        if name.split()[1] not in TOOLS or any(
            isinstance(each, argparse._SubParsersAction) for each in parser._actions
        ):
            continue
        yield from (f"### {name}", "", "| word | |", "|---|---|")
        for action in parser._actions:
            if action.dest in ("help", "config", "data_dir", "json"):  # the page tells of them once
                continue
            value = "" if action.metavar is None else f" {action.metavar}"
            words = f"{', '.join(action.option_strings)}{value}".strip()
            choices = "" if action.choices is None else f": {', '.join(map(str, action.choices))}"
            yield f"| `{words}` | {(action.help or '') % vars(action)}{choices} |"
        yield ""


def _parsers(parser: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, inner in action.choices.items():
                yield f"{name} {word}", inner
                yield from _parsers(inner, f"{name} {word}")


def problems() -> Iterator[str]:
    """The codes of all errors that an answer or a job may show."""
    yield "| code | status | retryable | meaning |"
    yield "|---|---|---|---|"
    for error in sorted(public_errors(), key=lambda one: (one.status if is_answer(one) else 1000, one.code)):
        status = str(error.status) if is_answer(error) else ""
        yield f"| `{error.code}` | {status} | {'yes' if error.is_retryable else ''} | {meaning_of(error)} |"
    for code, meaning in ENDS.items():
        yield f"| `{code}` |  |  | {meaning} |"


def public_errors() -> Iterator[type[ImgserveError]]:
    """One class for each code. The worker's process answers nobody."""
    for module in pkgutil.walk_packages(imgserve.__path__, "imgserve."):
        if not module.name.startswith("imgserve.imaging.worker") and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    yield from {error.code: error for error in reversed(list(subclasses(ImgserveError)))}.values()


def subclasses(error: type[ImgserveError]) -> Iterator[type[ImgserveError]]:
    yield error
    for one in error.__subclasses__():
        yield from subclasses(one)


def is_answer(error: type[ImgserveError]) -> bool:
    """Others are met by jobs only."""
    return error is ImgserveError or error.status != ImgserveError.status


def meaning_of(error: type[ImgserveError]) -> str:
    """The title; of an error that has none the first sentence about its class."""
    has_title = error is ImgserveError or error.title != ImgserveError.title
    return error.title if has_title else (inspect.getdoc(error) or "").partition(".")[0].replace("\n", " ")


def field_codes() -> Iterator[str]:
    yield "| code | meaning |"
    yield "|---|---|"
    for code in get_args(Code):
        yield f"| `{code}` | {MEANING_OF_FAULT[code]} |"


def all_states() -> Iterator[str]:
    yield "| state | severity | meaning | remedy |"
    yield "|---|---|---|---|"
    for name, kind in states.KINDS.items():
        yield f"| `{name}` | {kind.severity} | {kind.sentence} | {kind.remedy} |"


def renamed_in_0_6_0() -> Iterator[str]:
    yield "| what | old | new | |"
    yield "|---|---|---|---|"
    for row in renamed.IN_0_6_0:
        yield f"| {row.kind} | `{row.old}` | `{row.new}` | {row.note} |"


def support_of(rows: tuple[Row, ...]) -> Iterator[str]:
    """What a dialect offers, with a part of a path as an example."""
    yield "| option | status | note | example |"
    yield "|---|---|---|---|"
    for row in rows:
        example = f"`/{escaped(row.example)}`" if row.example else ""
        yield f"| {escaped(row.option)} | {row.status} | {escaped(row.note)} | {example} |"


TABLES: dict[str, Callable[[], Iterator[str]]] = {
    "codes": codes,
    "operation_pages": operation_pages,
    "operations": operations,
    "flat_args": flat_args,
    "encode_fields": encode_fields,
    "load_fields": load_fields,
    "job_fields": job_fields,
    "gallery": gallery,
    "limits": limits,
    "problems": problems,
    "field_codes": field_codes,
    "settings": settings,
    "metrics": all_metrics,
    "states": all_states,
    "tools": tools,
    "renamed_in_0_6_0": renamed_in_0_6_0,
    "imgproxy": partial(support_of, IMGPROXY),
    "thumbor": partial(support_of, THUMBOR),
    "imagor": partial(support_of, IMAGOR),
    "iiif": partial(support_of, IIIF),
}


def filled(text: str) -> str:
    """The page with each table as the code has it now. Raises KeyError for a table nobody makes."""
    return PLACE.sub(lambda m: m[1] + "\n".join(TABLES[m[2]]()) + "\n" + m[3], text)


def main(arguments: list[str]) -> int:
    stale = [path for path in sorted(DOCS.rglob("*.md")) if filled(path.read_text()) != path.read_text()]
    if "--check" in arguments:
        for path in stale:
            print(f"docs/{path.relative_to(DOCS)} is out of date: run make docs")
        return 1 if stale else 0
    for path in stale:
        path.write_text(filled(path.read_text()))
        print(f"docs/{path.relative_to(DOCS)} written")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
