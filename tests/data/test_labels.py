"""Run lengths of many masks at once, against pycocotools' own of each."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from compositor.data.labels import encode_each
from compositor.data.masks import uncompressed


@pytest.mark.parametrize("side", [1, 3, 8])
def test_each_mask_of_an_owner_map_is_as_pycocotools_encodes_it(side: int) -> None:
    random = np.random.default_rng(side)
    for _ in range(50):
        height, width = random.integers(1, 40, 2)
        blocks = random.integers(-1, 4, (height, width))
        owner = blocks.repeat(side, 0).repeat(side, 1)
        for number, found in enumerate(encode_each(owner, 4)):
            own = np.asfortranarray(owner == number).view(np.uint8)
            assert found["counts"] == coco_mask.encode(own)["counts"].decode()
            assert found["size"] == owner.shape
            runs = uncompressed(found["counts"])
            assert runs is not None
            inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
            assert (own == inside.reshape(owner.shape[::-1]).T).all()


def test_nobody_and_everybody() -> None:
    # Runs begin with those outside; a last run of none is left out.
    nobody, everybody = encode_each(np.ones((3, 4), np.int32), 2)
    assert (uncompressed(nobody["counts"]), uncompressed(everybody["counts"])) == ([12], [0, 12])
