"""The digest of a picture in memory, read at once or in a thread and in parts."""

import asyncio
import hashlib
import os

import pytest

from imgserve.blob import Blob
from imgserve.transfer.digest import AT_ONCE_BYTES, sha256_of


@pytest.mark.parametrize("size", [0, 1, AT_ONCE_BYTES, AT_ONCE_BYTES + 1, 1 << 20, (3 << 20) + 5])
def test_every_byte_counts_once(size: int) -> None:
    data = os.urandom(size)
    with Blob.of(data) as blob:
        assert asyncio.run(sha256_of(blob)) == hashlib.sha256(data).digest()
