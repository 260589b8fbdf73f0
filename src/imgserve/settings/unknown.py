"""Names that are no setting: variables and keys of the TOML file, and what was probably meant. Called by ``read``."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, time
from difflib import get_close_matches

import msgspec

from imgserve.settings.options import CONFIG, VARIABLE_PREFIX, Option, Table
from imgserve.settings.tomlfile import TomlFile

TEST_SWITCH = "IMGSERVE_TEST"
BOOT_ID = "IMGSERVE_BOOT_ID"  # for units that hide /proc/sys
# Kubernetes sets them for a Service, Docker for a linked container, that is called imgserve or imgserve-something.
_OF_A_SERVICE = re.compile(
    r"IMGSERVE(_\w+)?_(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?|ENV_\w+|NAME)"
)
_SERVICE_PORT, _SERVICE_URL = re.compile(r"IMGSERVE(_\w+)?_PORT"), re.compile(r"(tcp|udp|sctp)://\S+")
_NAME_EXPECTED = "expected a name of at most 32 letters, digits, - and _, got {!r}"


def of_a_service(environ: Mapping[str, str], options: Iterable[Option]) -> tuple[str, ...]:
    """Names of variables that look like settings and were set by Kubernetes or Docker."""
    own = {option.variable for option in options}
    return tuple(
        name
        for name, value in sorted(environ.items())
        if (name not in own and _OF_A_SERVICE.fullmatch(name))
        or (_SERVICE_PORT.fullmatch(name) and _SERVICE_URL.fullmatch(value))
    )


def unknown_variables(environ: Mapping[str, str], options: Iterable[Option]) -> Iterator[str]:
    """A sentence for each variable with our prefix that is no setting."""
    known = {option.variable for option in options} | {CONFIG.variable, TEST_SWITCH, BOOT_ID}
    # Without the prefix, which would make any two variables alike.
    names = [variable.removeprefix(VARIABLE_PREFIX) for variable in known]
    for name in sorted(environ.keys() - known):
        if name.startswith(VARIABLE_PREFIX):
            similar = _similar(name.removeprefix(VARIABLE_PREFIX), names, VARIABLE_PREFIX)
            yield f"{name}: there is no such setting{similar}"


def unknown_keys(
    above: str, content: Mapping[str, object], file: TomlFile, names: set[str], tables: Mapping[str, Table]
) -> Iterator[str]:
    """A sentence for each key of ``content``, the table ``above``, that is none of ``names`` and in no table."""
    for key, value in content.items():
        name = f"{above}.{key}" if above else key
        if "." in key:
            yield f"{file.origin(above) if above else file.path}: there is no such setting {key!r}"
            continue
        if name in names:
            continue
        if not any(table == name or table.startswith(f"{name}.") for table in tables):
            has_names = above in tables and tables[above].has_names
            fault = _NAME_EXPECTED.format(key) if has_names else _no_such(key, above, value, names, tables)
            yield f"{file.origin(above if has_names else name)}: {fault}"
        elif isinstance(value, dict):
            yield from unknown_keys(name, value, file, names, tables)
        else:
            yield f"{file.origin(name)}: expected a table, [{name}], got {shown(value, is_typed=False)}"


def _no_such(key: str, above: str, value: object, names: set[str], tables: Mapping[str, Table]) -> str:
    if isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], dict)):
        meant = _table_meant(f"{above}.{key}" if above else key, tables)
        return f"there is no such table ({meant})"
    siblings = [name.rpartition(".")[2] for name in names if name.rpartition(".")[0] == above]
    return f"there is no such setting{_similar(key.lower(), siblings)}"


def _table_meant(name: str, tables: Mapping[str, Table]) -> str:
    """The nearest table, as it stands in a file. Where none is near the settings may need no table at all."""
    near = {table.rpartition(".")[2]: table for table in tables} | {table: table for table in tables}
    close = get_close_matches(name.lower(), near, n=1)
    if not close:
        return "settings stand above all tables"
    table = tables[near[close[0]]]
    return f"did you mean [{table.name}{'.NAME' if table.has_names else ''}]?"


def shown(value: object, *, is_typed: bool) -> str:
    """Flags and variables as they were typed; values of TOML so that a text in quotes differs from a number."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, str):
        return value if is_typed and value == value.strip() else f'the text "{value}"'
    if isinstance(value, float | date | time):  # JSON has no inf
        return str(value)
    return msgspec.json.encode(value, enc_hook=str).decode()


def _similar(name: str, known: list[str], prefix: str = "") -> str:
    """``prefix`` is put before the known name."""
    close = get_close_matches(name, known, n=1)
    return f" (did you mean {prefix}{close[0]}?)" if close else ""
