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
# Files up to this size are opened and copied by one call of a thread, in memory that was reserved before.
_SMALL_BYTES = 2_000_000

# Opens the file for reading, in a thread, and turns OSError into the faults of a source.
Open = Callable[[], AbstractContextManager[int]]


class _File(NamedTuple):
    """An open file, which ``opened`` closes. One that ``is_copied`` is closed already."""

    opened: ExitStack
    descriptor: int
    size_bytes: int
    version: Version
    is_copied: bool = False


async def copy(pool: ThreadPoolExecutor, open_file: Open, into: Fetch, timeout_s: float) -> None:
    """The wait for memory does not count. Raises TimeoutError, SourceTooLarge, and as ``open_file`` does."""
    copying = Future[None]()
    most = _SMALL_BYTES if into.reserve_at_once(_SMALL_BYTES) else 0
    blob = into.blob.share()
    looking = pool.submit(_looked_into, open_file, blob, into, most, copying)
    looking.add_done_callback(lambda _: blob.close())  # perhaps after a cancelled wait
    try:
        async with limit(timeout_s):
            file = await asyncio.wrap_future(looking)
            into.version = file.version
            if file.is_copied:
                return
            if into.version == into.held:
                into.is_unchanged = True
            else:
                with waiting():
                    await into.reserve(file.size_bytes)
                into.version = await _copied(pool, file, into, copying)
    finally:
        copying.cancel()
        looking.add_done_callback(_close)  # what no copy has taken over


async def _copied(pool: ThreadPoolExecutor, file: _File, into: Fetch, copying: Future[None]) -> Version:
    blob, opened = into.blob.share(), file.opened.pop_all()
    work = pool.submit(_copy, opened, file.descriptor, file.version, blob, into, copying)
    work.add_done_callback(lambda _: blob.close())
    work.add_done_callback(lambda _: opened.close())
    return await asyncio.wrap_future(work)


def version_of(open_file: Open) -> Version:
    """Blocks. Raises as ``open_file`` does."""
    with open_file() as descriptor:
        return version_in(os.fstat(descriptor))


def _looked_into(open_file: Open, blob: Blob, into: Fetch, most: int, copying: Future[None]) -> _File:
    """A file of ``most`` bytes or fewer is copied at once, unless it is the version that is there already."""
    with ExitStack() as opened:
        descriptor = opened.enter_context(open_file())
        status = os.fstat(descriptor)
        version, is_small = version_in(status), status.st_size <= most
        if is_small and version != into.held:
            version = _copy(opened, descriptor, version, blob, into, copying)
            return _File(opened, descriptor, status.st_size, version, is_copied=True)
        return _File(opened.pop_all(), descriptor, status.st_size, version)


def _close(looking: Future[_File]) -> None:
    if not looking.cancelled() and looking.exception() is None:
        looking.result().opened.close()


def version_in(file: os.stat_result) -> Version:
    """A rename over the name changes the inode, a write into the file its times. The device's number is left out:
    machines that mount one file system have different numbers for it.
    """
    etag = f'"{file.st_ino:x}-{file.st_size:x}-{file.st_mtime_ns:x}-{file.st_ctime_ns:x}"'
    try:
        modified = formatdate(file.st_mtime, usegmt=True)
    except ValueError:  # a year that no such date has, before 1 or after 9999
        modified = ""
    return Version(etag, modified)


def _copy(
    opened: ExitStack, descriptor: int, version: Version, blob: Blob, into: Fetch, copying: Future[None]
) -> Version:
    """That of the bytes. They may be of no version if somebody has written into the file meanwhile."""
    with opened:
        while not copying.cancelled() and blob.append_from(descriptor, _CHUNK_BYTES):
            into.check_size(blob.size)
        return version if version_in(os.fstat(descriptor)) == version else UNKNOWN
