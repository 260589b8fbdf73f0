"""What the queue's tables hold, as another reader of its file or its database sees them while the server runs."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import psycopg

from tests.chaos.receiving import COLUMNS
from tests.support.postgres_house import SCHEMA
from tests.support.sizes import PATIENCE_S

# The rows of a statement that every engine understands.
Select = Callable[[str], list[tuple[Any, ...]]]


class _Size(msgspec.Struct):
    width_px: int
    height_px: int


class _Spec(msgspec.Struct):
    size: _Size


def number_of(spec: bytes) -> int:
    """The tests' number of an output, which its size tells."""
    size = msgspec.json.decode(spec, type=_Spec).size
    return (size.height_px - 30) * COLUMNS + size.width_px - 40


class Stored:
    """The tables of the queue at ``url``, and without one those of the file in ``data_dir``. Used within ``with``."""

    def __init__(self, data_dir: Path, url: str = "") -> None:
        self._path = data_dir / "queue.sqlite"
        self._url = url
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    @property
    def is_file(self) -> bool:
        return not self._url

    def select(self, statement: str) -> list[tuple[Any, ...]]:
        if self._connection is not None:
            return self._connection.execute(statement.encode()).fetchall()
        database = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=PATIENCE_S)
        try:
            return database.execute(statement).fetchall()
        finally:
            database.close()

    def __enter__(self) -> Self:
        if self._url:
            self._connection = psycopg.connect(self._url, autocommit=True, options=f"-c search_path={SCHEMA}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.close()
