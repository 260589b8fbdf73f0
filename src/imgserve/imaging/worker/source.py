"""The bytes of a source, as all readers in a worker take them: in memory, or mapped read-only."""

import mmap

import pyvips

Data = bytes | mmap.mmap


def address(data: Data) -> tuple[pyvips.ffi.CData, int]:
    """An object that pins the bytes, and their address: ctypes takes no address of read-only memory."""
    pinned = pyvips.ffi.from_buffer(data)
    return pinned, int(pyvips.ffi.cast("uintptr_t", pinned))
