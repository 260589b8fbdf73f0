"""The search for a quality, over random encoders whose files grow with it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.imaging.faults import MaxBytesUnreachable
from imgserve.imaging.worker.saver.sizecap import fitted

SIZES = st.lists(st.integers(1, 2000), min_size=100, max_size=100).map(sorted)


@given(SIZES, st.integers(1, 100), st.integers(1, 2100))
def test_the_highest_that_fits_in_eight_encodes(sizes: list[int], highest: int, most_bytes: int) -> None:
    tried = []

    def encode_at(quality: int) -> bytes:
        tried.append(quality)
        return bytes([quality]) * sizes[quality - 1]

    fitting = [quality for quality in range(1, highest + 1) if sizes[quality - 1] <= most_bytes]
    if fitting:
        file, encodes = fitted(encode_at, highest, most_bytes)
        assert file[0] == fitting[-1]
        assert encodes == len(tried)
    else:
        with pytest.raises(MaxBytesUnreachable):
            fitted(encode_at, highest, most_bytes)
        assert tried[-1] == 1
    assert tried[0] == highest
    assert len(tried) == len(set(tried)) <= 8
