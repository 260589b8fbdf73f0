"""A process gives back what it has freed, and only after work, in a process of its own."""

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives memory back on demand")

BLOCKS, BLOCK_BYTES = 4000, 50_000
# The last block holds the heap's end, so that freeing the others returns nothing. The CPU time of the process is given.
SCRIPT = f"""
import asyncio, sys
from pathlib import Path
from imgserve.server import memory

def own_bytes():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) * 1024

async def main(readings):
    looks = 0
    last = asyncio.Event()
    def renew():
        nonlocal looks
        looks += 1
        if looks == len(readings):
            last.set()
    watching = asyncio.create_task(memory.keep_giving_back(renew, 0, iter([*readings, *readings[-1:] * 9]).__next__))
    await last.wait()
    watching.cancel()

memory.tune()
blocks = [bytes({BLOCK_BYTES}) for _ in range({BLOCKS})]
filled = own_bytes()
del blocks[:-1]
freed = own_bytes()
asyncio.run(main([float(text) for text in sys.argv[1:]]))
print(filled - freed, freed - own_bytes())
"""


def given_back(*cpu_s: float) -> tuple[int, int]:
    """Bytes that freeing gave back, and those that the watch gave back while the CPU time was so much at each look."""
    command = [sys.executable, "-c", SCRIPT, *map(str, cpu_s)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    by_freeing, by_the_watch = map(int, output.split())
    return by_freeing, by_the_watch


def test_what_work_has_left_behind_is_given_back() -> None:
    by_freeing, by_the_watch = given_back(5.0, 5.05, 5.2, 5.2)
    assert by_freeing < BLOCKS * BLOCK_BYTES // 10
    assert by_the_watch > BLOCKS * BLOCK_BYTES * 9 // 10


def test_an_idle_server_does_nothing() -> None:
    _, by_the_watch = given_back(5.0, 5.03, 5.06, 5.09)
    assert abs(by_the_watch) < BLOCKS * BLOCK_BYTES // 10


def test_threads_share_one_arena() -> None:
    """Threads that hold memory at the same time, as malloc_info(3) reports it."""
    script = """
import ctypes, os, threading
from imgserve.server import memory

memory.use_one_arena()
held = threading.Barrier(9)

def hold():
    block = bytes(100_000)
    held.wait()
    held.wait()

for _ in range(8):
    threading.Thread(target=hold).start()
held.wait()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
libc.fdopen.argtypes = [ctypes.c_int, ctypes.c_char_p]
libc.fclose.argtypes = [ctypes.c_void_p]
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
out = libc.fdopen(os.dup(1), b"w")
libc.malloc_info(0, out)
libc.fclose(out)
held.wait()
"""
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert output.count("<heap nr=") == 1
