"""imgserve on a disk that can fail and lose its power: ``python -m tests.chaos.unplugged SHADOW start …``.

A shim between SQLite and the disk. Beside each of the queue's files it keeps a shadow, which gets only what has been
synced; what has been written since waits in a ``.pending`` file. ``after_power_loss`` makes of both what a disk may
hold that lost its power: all that was synced, and of the rest whatever the drive had got round to.

A file in SHADOW called ``fsync_fails`` or ``read_only`` makes the disk do so; with one called ``stalled`` no write
ends.
"""

import random
import shutil
import struct
import sys
import time
from pathlib import Path
from typing import BinaryIO

import apsw
from typing_extensions import Buffer  # collections.abc has it since Python 3.12

_HEAD = struct.Struct(">qq")  # offset and length of a write; length -1: cut off at the offset


class _File(apsw.VFSFile):
    def __init__(self, name: str | apsw.URIFilename | None, flags: list[int], shadow: Path) -> None:
        super().__init__("unix", name, flags)
        plain = Path(name.filename() if isinstance(name, apsw.URIFilename) else name or "temporary")
        self._shadow = shadow
        self._synced = shadow / plain.name
        self._pending: BinaryIO = (shadow / f"{plain.name}.pending").open("ab", buffering=0)

    def xWrite(self, data: Buffer, offset: int) -> None:
        self._stall()
        self._refuse("read_only", apsw.ReadOnlyError("the disk is read-only"))
        super().xWrite(data, offset)
        written = bytes(data)
        self._pending.write(_HEAD.pack(offset, len(written)) + written)

    def xTruncate(self, size: int) -> None:
        super().xTruncate(size)
        self._pending.write(_HEAD.pack(size, -1))

    def xSync(self, flags: int) -> None:
        self._stall()
        if (self._shadow / "fsync_fails").exists():
            raise _fsync_failed()
        super().xSync(flags)
        apply(Path(self._pending.name).read_bytes(), self._synced)
        self._pending.truncate(0)

    def _stall(self) -> None:
        while (self._shadow / "stalled").exists():
            time.sleep(0.01)

    def _refuse(self, name: str, error: apsw.Error) -> None:
        if (self._shadow / name).exists():
            raise error


class _Disk(apsw.VFS):
    def __init__(self, shadow: Path) -> None:
        super().__init__("unplugged", "unix", makedefault=True)
        self._at = shadow

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> _File:
        return _File(name, flags, self._at)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        for name in (Path(filename).name, f"{Path(filename).name}.pending"):
            (self._at / name).unlink(missing_ok=True)


def _fsync_failed() -> apsw.Error:
    error = apsw.IOError("fsync failed")
    error.extendedresult = apsw.SQLITE_IOERR_FSYNC  # type: ignore[attr-defined]
    return error


def apply(pending: bytes, to: Path, survives: random.Random | None = None) -> int:
    """Write what is pending, with ``survives`` only some of it; how many changes were dropped."""
    dropped = 0
    to.touch()
    with to.open("r+b") as file:
        at = 0
        while at + _HEAD.size <= len(pending):
            offset, length = _HEAD.unpack_from(pending, at)
            at += _HEAD.size + max(length, 0)
            if at > len(pending):
                return dropped + 1
            if survives is not None and survives.random() < 0.5:
                dropped += 1
            elif length < 0:
                file.truncate(offset)
            else:
                file.seek(offset)
                file.write(pending[at - length : at])
    return dropped


def after_power_loss(shadow: Path, data_dir: Path, rng: random.Random) -> int:
    """Make ``data_dir`` what the disk holds; how many writes it has lost."""
    shutil.rmtree(data_dir)
    data_dir.mkdir(mode=0o700)
    dropped = 0
    for pending in sorted(shadow.glob("queue.sqlite*.pending")):
        synced = pending.with_suffix("")
        if synced.exists():
            shutil.copy(synced, data_dir / synced.name)
        dropped += apply(pending.read_bytes(), data_dir / synced.name, rng)
    return dropped


def main() -> int:
    shadow = Path(sys.argv.pop(1))
    disk = _Disk(shadow)
    from imgserve.cli.main import main as start  # after the shim, so that no connection goes past it

    assert "unplugged" in apsw.vfs_names()
    status = start()
    disk.unregister()
    return status


if __name__ == "__main__":
    sys.exit(main())
