"""Versions of files, by files in memory: most disks do not hold such times."""

import os
from contextlib import nullcontext

import pytest

from imgserve.transfer.protocols import copying


@pytest.mark.parametrize(
    ("time_s", "modified"),
    [
        (1_700_000_000, "Tue, 14 Nov 2023 22:13:20 GMT"),
        (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (253_402_300_800, ""),
        (-62_135_596_801, ""),
    ],
)
def test_a_time_that_no_date_can_name(time_s: int, modified: str) -> None:
    file = os.memfd_create("picture")
    try:
        os.utime(file, (time_s, time_s))
        version = copying.version_of(lambda: nullcontext(file))
    finally:
        os.close(file)
    assert version.modified == modified
    assert version.etag
