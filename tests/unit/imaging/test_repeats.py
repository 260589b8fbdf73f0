"""The share of repeated pixels against numpy's."""

import numpy as np
import pytest

from imgserve.imaging.worker.saver import repeats


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(2, 1), (2, 9), (9, 1), (31, 17)])
def test_as_many_pixels_are_equal_to_their_left_neighbour(
    size: tuple[int, int], bands: int, kind: type[np.uint8 | np.uint16]
) -> None:
    width, height = size
    for levels in (1, 2, 3, np.iinfo(kind).max):
        samples = np.random.default_rng(levels).integers(0, levels, (height, width, bands), kind, endpoint=levels > 3)
        equal = (samples[:, 1:] == samples[:, :-1]).all(axis=2)
        assert repeats.share(samples.tobytes(), width, bands * samples.itemsize) == equal.sum() / equal.size
