"""The transactions' statements in PostgreSQL's words.

Most of them are the shared text with other marks for its parameters. Those that differ in more stand in the .sql files
of this package, under the same name in a file of the same name.
"""

import re
from collections.abc import Iterator
from functools import cache
from importlib import resources

from imgserve.jobs.sql.queries import load
from imgserve.jobs.stored import FORMAT

# A statement with $1, $2 ...; and the names whose values they are, where values come by name.
Translation = tuple[str, tuple[str, ...]]

_SHARED = "imgserve.jobs.sql"
_PARAMETER = re.compile(r"\?(\d*)|(?<!:):([a-z_]+)\b")
# PostgreSQL plans by its statistics; its texts are always UTF-8; lists come as JSON in both engines.
_SPELLINGS = (
    (re.compile(r" INDEXED BY \w+"), ""),
    (re.compile(r"as_text\(CAST\((.+?) AS BLOB\)\)"), r"\1"),
    (re.compile(r"json_each\((\$\d+)\)"), r"jsonb_array_elements_text(\1::text::jsonb) AS element (value)"),
)


def translated(statement: str) -> Translation:
    """That of a shared statement; one of this package's own stays as it is."""
    return _all().get(statement) or (statement, ())


@cache
def _all() -> dict[str, Translation]:
    return {shared: ours for module in _modules() for shared, ours in _of(module)}


def _modules() -> list[str]:
    return [file.name.removesuffix(".sql") for file in resources.files(_SHARED).iterdir() if file.name.endswith(".sql")]


def _of(module: str) -> Iterator[tuple[str, Translation]]:
    has_own = (resources.files("imgserve.jobs.postgres") / f"{module}.sql").is_file()
    own = load(module, "postgres") if has_own else {}
    for name, shared in load(module).items():
        text, names = _translate(own.get(name, shared))
        yield shared, (text, names)


def _translate(text: str) -> Translation:
    names: list[str] = []
    count = 0

    def number(match: re.Match[str]) -> str:
        nonlocal count
        place, name = match.groups()
        if name is not None:
            if name not in names:
                names.append(name)
            return f"${names.index(name) + 1}"
        count += 1
        return f"${place or count}"

    text = _PARAMETER.sub(number, text.replace("{format}", str(FORMAT)))
    for pattern, spelling in _SPELLINGS:
        text = pattern.sub(spelling, text)
    return text, tuple(names)
