"""Blobs that change no more: each way to change one is tried, and works on a blob that is not sealed."""

import ctypes
import fcntl
import mmap
import os
from collections.abc import Callable

import pytest

from imgserve.blob import Blob, seal_result

DATA = b"picture" * 4000


def reopened(blob: Blob) -> int:
    """As code in a worker does it with a descriptor that it got for reading."""
    reading = os.open(f"/proc/self/fd/{blob.fd}", os.O_RDONLY)
    try:
        return os.open(f"/proc/self/fd/{reading}", os.O_RDWR)
    finally:
        os.close(reading)


def _map_and_write(descriptor: int) -> None:
    with mmap.mmap(descriptor, 4) as mapped:
        mapped[:4] = b"evil"


def _punch(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.fallocate(descriptor, 3, ctypes.c_long(0), ctypes.c_long(4096)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


CHANGES: dict[str, Callable[[int], object]] = {
    "write": lambda descriptor: os.pwrite(descriptor, b"evil", 0),
    "append": lambda descriptor: os.pwrite(descriptor, b"evil", len(DATA)),
    "shrink": lambda descriptor: os.ftruncate(descriptor, 3),
    "grow": lambda descriptor: os.ftruncate(descriptor, 1 << 30),
    "map": _map_and_write,
    "punch": _punch,
}


@pytest.mark.parametrize("how", CHANGES)
def test_a_sealed_blob_stays_as_it_is(how: str) -> None:
    blob = Blob.of(DATA)
    blob.seal()
    descriptor = reopened(blob)
    with pytest.raises(PermissionError):
        CHANGES[how](descriptor)
    os.close(descriptor)
    assert os.fstat(blob.fd).st_size == blob.size == len(DATA)
    assert blob.read() == DATA


@pytest.mark.parametrize("how", CHANGES)
def test_another_one_does_not(how: str) -> None:
    blob = Blob.of(DATA)
    descriptor = reopened(blob)
    CHANGES[how](descriptor)
    os.close(descriptor)
    assert (os.fstat(blob.fd).st_size, os.pread(blob.fd, 1 << 20, 0)) != (len(DATA), DATA)


def test_sealing_twice_is_sealing_once() -> None:
    blob = Blob.of(DATA)
    blob.seal()
    blob.seal()
    with pytest.raises(PermissionError):
        blob.append(b"more")


def test_a_result_counts_once_its_writer_has_sealed_it() -> None:
    blob = Blob()
    os.write(blob.fd, DATA)
    assert not blob.measure()
    assert blob.size == 0
    seal_result(blob.fd)
    assert blob.measure()
    assert blob.size == len(DATA)
    blob.seal()  # a result may be a source


@pytest.mark.parametrize("seals", [fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW, fcntl.F_SEAL_WRITE, 0x10 | 6])
def test_a_result_that_can_still_change_does_not_count(seals: int) -> None:
    """The last is all that a source needs: but a writer may have mapped its result before."""
    blob = Blob()
    os.write(blob.fd, DATA)
    fcntl.fcntl(blob.fd, fcntl.F_ADD_SEALS, seals)
    assert not blob.measure()


def test_who_keeps_a_writable_mapping_cannot_seal() -> None:
    blob = Blob.of(DATA)
    with mmap.mmap(blob.fd, 4), pytest.raises(OSError, match="busy"):
        seal_result(blob.fd)


def test_a_copy_is_of_the_beginning_and_of_its_own() -> None:
    growing = Blob.of(DATA)
    copy = growing.copy(100)
    growing.append(b"more")
    assert copy.read() == DATA[:100]
    assert growing.copy(1 << 20).read() == DATA + b"more"


def test_a_blob_that_has_become_shorter_is_not_copied_for_ever() -> None:
    blob = Blob.of(DATA)
    os.ftruncate(blob.fd, 10)
    with pytest.raises(OSError, match="ends after 10"):
        blob.copy(len(DATA))
