"""Copies a file of this machine into a download. Called by ``file`` and ``uploaded``, each with its own pool."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from email.utils import formatdate

from imgserve.blob import Blob
from imgserve.timeout import limit, waiting
from imgserve.transfer.fetch import Fetch
from imgserve.transfer.version import Version

_CHUNK_BYTES = 1_000_000

# Opens the file for reading, in a thread, and turns OSError into the faults of a source.
Open = Callable[[], AbstractContextManager[int]]


async def copy(pool: ThreadPoolExecutor, open_file: Open, into: Fetch, timeout_s: float) -> None:
    """The wait for memory does not count. Raises TimeoutError, SourceTooLarge, and as ``open_file`` does."""
    copying = Future[None]()
    try:
        async with limit(timeout_s):
            size, into.version = await asyncio.wrap_future(pool.submit(_look, open_file))
            if into.version == into.held:
                into.is_unchanged = True
                return
            with waiting():
                await into.reserve(size)
            blob = into.blob.share()
            work = pool.submit(_copy, open_file, blob, into, copying)
            work.add_done_callback(lambda _: blob.close())  # perhaps after a cancelled wait
            await asyncio.wrap_future(work)
    finally:
        copying.cancel()


def _look(open_file: Open) -> tuple[int, Version]:
    with open_file() as descriptor:
        return os.fstat(descriptor).st_size, _version(descriptor)


def _version(descriptor: int) -> Version:
    """The inode changes with a rename over the name, the second time with a write into the file."""
    file = os.fstat(descriptor)
    etag = f'"{file.st_dev:x}-{file.st_ino:x}-{file.st_size:x}-{file.st_mtime_ns:x}-{file.st_ctime_ns:x}"'
    return Version(etag, formatdate(file.st_mtime, usegmt=True))


def _copy(open_file: Open, blob: Blob, into: Fetch, copying: Future[None]) -> None:
    with open_file() as descriptor:
        into.version = _version(descriptor)  # by now it may be another file
        while not copying.cancelled() and blob.append_from(descriptor, _CHUNK_BYTES):
            into.check_size(blob.size)
