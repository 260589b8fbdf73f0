"""Things that hang: a mount whose file system says nothing more, a server whose thread or event loop stands still.

python -m tests.support.hanging thread|loop start ...  imgserve, which burns a thread or blocks its loop at GET /metrics
"""

import ctypes
import os
import select
import struct
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

_INIT, _GETATTR, _LOOKUP = 26, 3, 1
_ENOENT, _ENOSYS = 2, 38
_MNT_DETACH = 2
_IN, _OUT = struct.Struct("<IIQQIIII"), struct.Struct("<IiQ")
_BUFFER_BYTES = 1 << 18


class HungMount:
    """An empty directory (FUSE), mounted over ``at``. After ``hang`` calls into it wait until the mount is gone."""

    def __init__(self, at: Path) -> None:
        """Raises OSError where nothing can be mounted."""
        self._at = os.fsencode(at)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self._device},rootmode=40000,user_id=0,group_id=0".encode()
        if self._libc.mount(b"hung", self._at, b"fuse", 0, options):
            raise OSError(ctypes.get_errno(), "cannot be mounted", str(at))
        self._hung = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def hang(self) -> None:
        self._hung.set()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hang()
        self._libc.umount2(self._at, _MNT_DETACH)
        os.close(self._device)

    def _serve(self) -> None:
        while not self._hung.is_set():
            if not select.select([self._device], [], [], 0.02)[0]:
                continue
            request = os.read(self._device, _BUFFER_BYTES)
            _, opcode, unique, *_ = _IN.unpack_from(request)
            error, body = self._answer(opcode)
            os.write(self._device, _OUT.pack(_OUT.size + len(body), -error, unique) + body)

    def _answer(self, opcode: int) -> tuple[int, bytes]:
        if opcode == _INIT:
            return 0, struct.pack("<IIIIHHIIHHI7I", 7, 31, 0, 0, 8, 8, 65536, 1, 0, 0, 0, *[0] * 7)
        if opcode == _GETATTR:
            times = (0, 0, 0, 0, 0, 0)
            return 0, struct.pack("<QII6Q3I7I", 0, 0, 0, 1, 0, 0, *times[:3], *times[3:], 0o040777, 2, 0, 0, 0, 4096, 0)
        return (_ENOENT if opcode == _LOOKUP else _ENOSYS), b""


def spin(_: object) -> NoReturn:
    while True:
        pass


def main() -> int:
    from imgserve import __main__
    from imgserve.api import metrics

    name, hang = ("_written", spin) if sys.argv.pop(1) == "thread" else ("_set_pool", lambda _: time.sleep(3600))
    assert hasattr(metrics, name)
    setattr(metrics, name, hang)
    return __main__.main()


if __name__ == "__main__":
    sys.exit(main())
