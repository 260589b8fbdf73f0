"""A connection and a thread for reads, so that a long search delays no commit."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import apsw

from imgserve.jobs.sql.database import Reader
from imgserve.jobs.sqlite.breakage import STORAGE_ERRORS, storage_failing
from imgserve.jobs.sqlite.texts import as_text

T = TypeVar("T")


class FileSnapshots:
    """A read-only connection, opened by the first read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="listing")
        self._connection: apsw.Connection | None = None

    async def run(self, query: Callable[[Reader], T]) -> T:
        """Raises StorageFailing."""

        def transaction() -> T:
            if self._connection is None:
                self._connection = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
                self._connection.set_busy_timeout(2000)
                self._connection.create_scalar_function("as_text", lambda *row: as_text(*row), 1)
            with self._connection as snapshot:
                result = query(snapshot)
            return result  # noqa: RET504 - the end of the snapshot may raise, and mypy knows it may swallow

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, transaction)
        except STORAGE_ERRORS as error:
            raise storage_failing(error, "the queue cannot be read", self._path) from error

    async def aclose(self) -> None:
        if self._connection is not None:
            self._connection.interrupt()  # a long search
            await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown()
