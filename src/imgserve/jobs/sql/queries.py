"""The statements of a module by their names, from its .sql file: each begins with a line ``-- name: ...``."""

from collections.abc import Mapping
from importlib import resources

_MARK = "-- name: "


def load(module: str, engine: str = "sql") -> Mapping[str, str]:
    """Statements without the marks. ``engine``: the package of jobs that the file is in; ``sql`` is shared by all."""
    return read(f"imgserve.jobs.{engine}", module)


def read(package: str, module: str) -> Mapping[str, str]:
    """Those of a file in any package."""
    text = (resources.files(package) / f"{module}.sql").read_text()
    parts = (part.partition("\n") for part in text.split(_MARK)[1:])
    return {name: statement.strip() for name, _, statement in parts}
