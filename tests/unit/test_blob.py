"""Blobs that change no more: each way to change one is tried, and works on a blob that is not sealed. Their handles."""

import ctypes
import fcntl
import mmap
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from imgserve.blob import PIECE_BYTES, Blob, Fingerprint, seal_result

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
    with Blob.of(DATA) as blob:
        blob.seal()
        descriptor = reopened(blob)
        with pytest.raises(PermissionError):
            CHANGES[how](descriptor)
        os.close(descriptor)
        assert os.fstat(blob.fd).st_size == blob.size == len(DATA)
        assert blob.read() == DATA


@pytest.mark.parametrize("how", CHANGES)
def test_another_one_does_not(how: str) -> None:
    with Blob.of(DATA) as blob:
        descriptor = reopened(blob)
        CHANGES[how](descriptor)
        os.close(descriptor)
        assert (os.fstat(blob.fd).st_size, os.pread(blob.fd, 1 << 20, 0)) != (len(DATA), DATA)


def test_sealing_twice_is_sealing_once() -> None:
    with Blob.of(DATA) as blob:
        blob.seal()
        blob.seal()
        with pytest.raises(PermissionError):
            blob.append(b"more")


def test_a_result_counts_once_its_writer_has_sealed_it() -> None:
    with Blob() as blob:
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
    with Blob() as blob:
        os.write(blob.fd, DATA)
        fcntl.fcntl(blob.fd, fcntl.F_ADD_SEALS, seals)
        assert not blob.measure()


def test_who_keeps_a_writable_mapping_cannot_seal() -> None:
    with Blob.of(DATA) as blob, mmap.mmap(blob.fd, 4), pytest.raises(OSError, match="busy"):
        seal_result(blob.fd)


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, 2 * PIECE_BYTES + 5])
def test_pieces_are_all_of_it_in_order(size: int) -> None:
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    with Blob.of(data) as blob:
        pieces = list(blob.pieces())
        assert b"".join(pieces) == data
        assert all(len(piece) == PIECE_BYTES for piece in pieces[:-1])
        assert b"".join(blob.pieces(7, size - 1)) == data[7 : max(size - 1, 0)]


def test_a_copy_is_of_the_beginning_and_of_its_own() -> None:
    with Blob.of(DATA) as growing:
        with growing.copy(100) as copy:
            growing.append(b"more")
            assert copy.read() == DATA[:100]
        with growing.copy(1 << 20) as copy:
            assert copy.read() == DATA + b"more"


def test_a_blob_that_has_become_shorter_is_not_copied_for_ever() -> None:
    with Blob.of(DATA) as blob:
        os.ftruncate(blob.fd, 10)
        with pytest.raises(OSError, match="ends after 10"):
            blob.copy(len(DATA))


def test_the_last_handle_frees_the_memory_at_once() -> None:
    ends: list[bool] = []
    blob = Blob(on_close=ends.append)
    descriptor = blob.fd
    with blob.share() as other, other.share() as third:
        blob.append(DATA)
        assert blob == other == third
        assert hash(blob) == hash(third)
        blob.close()
        blob.close()
        assert third.read() == DATA, "a handle sees what another has written"
        other.close()
        assert third.fingerprint() == Fingerprint.of(DATA)
        assert os.fstat(descriptor).st_size == len(DATA)
        assert not ends
    assert ends == [False]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_closed_handle_reaches_nothing() -> None:
    """Its descriptor's number may be another picture's by now."""
    with Blob.of(DATA) as blob:
        other = blob.share()
        other.close()
        uses: tuple[Callable[[], object], ...] = (other.share, other.read, other.seal, lambda: other.append(b"x"))
        for use in uses:
            with pytest.raises(ValueError, match="closed"):
                use()
        assert repr(other) == "Blob(closed)"
        assert blob.read() == DATA


def test_threads_close_a_memory_once() -> None:
    ends: list[bool] = []
    for _ in range(200):
        blob = Blob(on_close=ends.append)
        handles = [blob, *(blob.share() for _ in range(7))]
        start = threading.Barrier(len(handles))

        def close(handle: Blob, start: threading.Barrier = start) -> None:
            start.wait()
            handle.close()

        threads = [threading.Thread(target=close, args=(handle,)) for handle in handles]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert ends == [False] * 200


def test_a_forgotten_handle_is_closed_with_a_warning() -> None:
    ends: list[bool] = []
    blob = Blob(on_close=ends.append)
    with blob.share():
        with pytest.warns(ResourceWarning, match=r"Blob\(0 bytes\) was never closed"):
            del blob
        assert not ends
    assert ends == [False]
    with pytest.warns(ResourceWarning):
        Blob(on_close=ends.append)
    assert ends == [False, True]


FORGETS = """
import gc
from imgserve.blob import Blob

def test_forgets():
    Blob.of(b"picture")

def test_forgets_in_a_ring():
    ring = [Blob.of(b"picture")]
    ring.append(ring)
    del ring
    gc.collect()

def test_closes():
    Blob.of(b"picture").close()
"""


def test_a_forgotten_handle_fails_a_test(tmp_path: Path) -> None:
    """With the settings of this suite; also one that only the search for cycles finds."""
    (tmp_path / "test_forgets.py").write_text(FORGETS)
    settings = Path(__file__).parents[2] / "pyproject.toml"
    command = [sys.executable, "-m", "pytest", "-c", str(settings), "--rootdir", str(tmp_path), str(tmp_path)]
    report = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path).stdout
    assert "2 failed, 1 passed" in report
    assert report.count("ResourceWarning: Blob(7 bytes) was never closed") >= 2
