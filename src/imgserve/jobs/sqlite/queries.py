"""The statements of a module by their names, from its .sql file: each begins with a line ``-- name: ...``."""

from collections.abc import Mapping
from importlib import resources

_MARK = "-- name: "


def load(module: str) -> Mapping[str, str]:
    """Statements without the marks."""
    text = (resources.files("imgserve.jobs.sqlite") / f"{module}.sql").read_text()
    parts = (part.partition("\n") for part in text.split(_MARK)[1:])
    return {name: statement.strip() for name, _, statement in parts}
