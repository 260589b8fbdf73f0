"""Copies a file of this machine into a download. Called by ``file`` and ``uploaded``, each with its own pool."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from email.utils import formatdate
from typing import NamedTuple

from imgserve.blob import Blob
from imgserve.timeout import limit, waiting
from imgserve.transfer.fetch import Fetch
from imgserve.transfer.version import UNKNOWN, Version

_CHUNK_BYTES = 1_000_000

# Opens the file for reading, in a thread, and turns OSError into the faults of a source.
Open = Callable[[], AbstractContextManager[int]]


class _File(NamedTuple):
    """An open file, which ``opened`` closes."""

    opened: ExitStack
    descriptor: int
    size_bytes: int
    version: Version


async def copy(pool: ThreadPoolExecutor, open_file: Open, into: Fetch, timeout_s: float) -> None:
    """The wait for memory does not count. Raises TimeoutError, SourceTooLarge, and as ``open_file`` does."""
    copying = Future[None]()
    looking = pool.submit(_opened, open_file)
    try:
        async with limit(timeout_s):
            file = await asyncio.wrap_future(looking)
            into.version = file.version
            if into.version == into.held:
                into.is_unchanged = True
                return
            with waiting():
                await into.reserve(file.size_bytes)
            blob, opened = into.blob.share(), file.opened.pop_all()
            work = pool.submit(_copy, opened, file.descriptor, blob, into, copying)
            work.add_done_callback(lambda _: blob.close())  # perhaps after a cancelled wait
            work.add_done_callback(lambda _: opened.close())
            await asyncio.wrap_future(work)
    finally:
        copying.cancel()
        looking.add_done_callback(_close)  # what no copy has taken over


def version_of(open_file: Open) -> Version:
    """Blocks. Raises as ``open_file`` does."""
    with open_file() as descriptor:
        return _version(os.fstat(descriptor))


def _opened(open_file: Open) -> _File:
    with ExitStack() as opened:
        descriptor = opened.enter_context(open_file())
        file = os.fstat(descriptor)
        return _File(opened.pop_all(), descriptor, file.st_size, _version(file))


def _close(looking: Future[_File]) -> None:
    if not looking.cancelled() and looking.exception() is None:
        looking.result().opened.close()


def _version(file: os.stat_result) -> Version:
    """A rename over the name changes the inode, a write into the file its times. The device's number is left out:
    machines that mount one file system have different numbers for it.
    """
    etag = f'"{file.st_ino:x}-{file.st_size:x}-{file.st_mtime_ns:x}-{file.st_ctime_ns:x}"'
    try:
        modified = formatdate(file.st_mtime, usegmt=True)
    except ValueError:  # a year that no such date has, before 1 or after 9999
        modified = ""
    return Version(etag, modified)


def _copy(opened: ExitStack, descriptor: int, blob: Blob, into: Fetch, copying: Future[None]) -> None:
    with opened:
        while not copying.cancelled() and blob.append_from(descriptor, _CHUNK_BYTES):
            into.check_size(blob.size)
        if _version(os.fstat(descriptor)) != into.version:
            into.version = UNKNOWN  # somebody has written into it meanwhile: these bytes may be of neither version
