"""The memory of blobs, as the kernel sees it."""

import os
from contextlib import suppress


def open_blobs() -> int:
    """How many memfds of blobs this process has open, by however many descriptors."""
    inodes = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the directory's own
            if os.readlink(f"/proc/self/fd/{name}").startswith("/memfd:imgserve "):
                inodes.add(os.stat(int(name)).st_ino)
    return len(inodes)
