"""Who may read a result that replaces a file: nobody whom that file kept out, by mode, group or access list."""

import errno
import os
import stat
import struct
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import pytest

from imgserve.blob import Blob
from imgserve.transfer.faults import DestinationRefused
from imgserve.transfer.protocols import file_write
from imgserve.transfer.protocols.roots import Roots
from tests.support.transfers import write

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
ACL, DEFAULT_ACL = "system.posix_acl_access", "system.posix_acl_default"
NOBODY, FRIENDS = 65534, 4242
_OWNER, _USER, _GROUP, _MASK, _OTHER = 1, 2, 4, 16, 32
_UNDEFINED = 0xFFFFFFFF


def access_list(user: int, group: int, mask: int) -> bytes:
    """acl(5), in the form of linux/posix_acl_xattr.h; ``user``: what uid 7 may."""
    entries = ((_OWNER, 6, _UNDEFINED), (_USER, user, 7), (_GROUP, group, _UNDEFINED), (_MASK, mask, _UNDEFINED))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in (*entries, (_OTHER, 0, _UNDEFINED)))


def give(path: Path, name: str, rights: bytes) -> None:
    try:
        os.setxattr(path, name, rights)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        pytest.skip("this file system has no access lists")


@pytest.fixture
def root() -> Iterator[Path]:
    """A directory that every user may enter and write."""
    with tempfile.TemporaryDirectory(prefix="imgserve-test-") as top:
        Path(top).chmod(0o777)
        yield Path(top)


@contextmanager
def user(groups: list[int]) -> Iterator[None]:
    os.setgroups(groups)
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups([])


def deliver(path: Path) -> os.stat_result:
    rooted = Roots((str(path.parent),), "--write-root", DestinationRefused).locate(str(path))
    with Blob.of(b"picture") as blob:
        file_write.store(rooted, blob, write(), Future())
    return path.stat()


def old(path: Path, mode: int) -> Path:
    path.write_bytes(b"old")
    path.chmod(mode)
    return path


def test_an_access_list_stays(root: Path) -> None:
    path = old(root / "a.png", 0o600)
    rights = access_list(user=6, group=0, mask=6)
    give(path, ACL, rights)
    mode = stat.S_IMODE(deliver(path).st_mode)
    assert os.getxattr(path, ACL) == rights, "else the group has what was the mask"
    assert mode == 0o660


def test_a_directorys_list_gives_nobody_a_file_that_kept_him_out(root: Path) -> None:
    path = old(root / "a.png", 0o640)
    give(root, DEFAULT_ACL, access_list(user=7, group=7, mask=7))
    assert stat.S_IMODE(deliver(path).st_mode) == 0o640
    assert ACL not in os.listxattr(path)
    deliver(root / "b.png")
    assert ACL in os.listxattr(root / "b.png"), "a new file gets the directory's"


@as_root
def test_a_group_that_the_server_is_in_stays(root: Path) -> None:
    path = old(root / "a.png", 0o660)
    os.chown(path, 12, FRIENDS)
    with user([FRIENDS]):
        status = deliver(path)
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (NOBODY, FRIENDS, 0o660)


@as_root
@pytest.mark.parametrize(("mode", "becomes"), [(0o660, 0o600), (0o644, 0o644), (0o664, 0o644), (0o640, 0o600)])
def test_another_group_gets_no_more_than_all_others(root: Path, mode: int, becomes: int) -> None:
    path = old(root / "a.png", mode)
    os.chown(path, 12, FRIENDS)
    with user([NOBODY]):
        status = deliver(path)
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (NOBODY, NOBODY, becomes)
