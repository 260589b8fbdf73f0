"""The search for a quality, over random encoders whose files grow with it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imgserve.imaging.faults import MaxBytesUnreachable
from imgserve.imaging.worker.saver.sizecap import fitted

SIZES = st.lists(st.integers(1, 2000), min_size=100, max_size=100).map(sorted)


# Sizes by which a guess alone would go up by one quality with each encode.
@example([100] * 98 + [90_000, 100_000], 100, 101)
@example([1] + [90_000] * 99, 100, 2)
@example(list(range(1, 101)), 100, 30)
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
