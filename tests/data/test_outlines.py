"""Outlines: filled by others' rasterisers, they give the mask back."""

import tracemalloc

import cv2
import numpy as np
import pytest
import scipy.ndimage
from pycocotools import mask as coco_mask

from compositor.data.outlines import joined, outlines
from tests.data import labelled
from tests.data.tiny_data import rectangle

KINDS = labelled.masks()


def even_odd(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    (found,) = coco_mask.frPyObjects([points.ravel().astype(float).tolist()], *size)
    return coco_mask.decode(found).astype(bool)


def windings(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """How often the outline goes round each pixel's centre, by its crossings right of there."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    total = np.zeros(size, int)
    for (x1, y1), (x2, y2) in zip(points, np.roll(points, -1, 0), strict=True):
        if y1 != y2:
            crossed = (y > min(y1, y2)) & (y < max(y1, y2))
            at = x1 + (y - y1) / (y2 - y1) * (x2 - x1)
            total += (crossed & (at > x)) * (1 if y2 > y1 else -1)
    return total


def check(mask: np.ndarray) -> None:
    size = mask.shape
    parts = outlines(mask)
    assert len(parts) == scipy.ndimage.label(mask)[1]
    filled = [even_odd(part, size) for part in parts]
    assert (np.sum(filled, 0) == mask).all()  # a pixel belongs to one part
    for part in parts:
        # OpenCV also paints the pixels that have their upper left corner on the outline.
        painted = cv2.fillPoly(np.zeros(size, np.uint8), [part.astype(np.int32)], 1)
        own = np.pad(even_odd(part, size), ((1, 0), (1, 0)))
        assert (painted == (own[1:, 1:] | own[:-1, 1:] | own[1:, :-1] | own[:-1, :-1])).all()
    if parts:
        whole = joined(parts)
        assert (even_odd(whole, size) == mask).all()
        assert (windings(whole, size) == mask).all()


@pytest.mark.parametrize("kind", KINDS)
def test_filled_by_others_they_are_the_mask(kind: str) -> None:
    check(KINDS[kind])


def test_noise_of_every_density_and_shape() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        size = rng.integers(1, 14, 2)
        check(rng.random(size) < rng.choice([0.2, 0.5, 0.8, 0.95]))


def test_by_hand() -> None:
    (square,) = outlines(rectangle(5, 6, (1, 2, 4, 5)))
    assert square.tolist() == [[1, 2], [4, 2], [4, 5], [1, 5]]
    ring = rectangle(5, 5, (0, 0, 3, 3))
    ring[1, 1] = False
    (outline,) = outlines(ring)
    hole = [[1, 1], [1, 2], [2, 2], [2, 1]]
    bridge = [[0, 1], *hole, [0, 1]]
    assert outline.tolist() == [[0, 0], [3, 0], [3, 3], [0, 3], *bridge]
    assert outlines(np.zeros((3, 4), bool)) == []
    ladder = rectangle(9, 5, (0, 0, 5, 9))
    ladder[2:3, 2], ladder[5:7, 2] = False, False
    (outline,) = outlines(ladder)
    steps = np.abs(np.roll(outline, -1, 0) - outline).sum()
    assert steps == 28 + 4 + 6 + 2 * (2 + 2)  # three borders, two bridges there and back
    two = joined([square, square + (10, 0)])
    assert two.tolist()[:3] == [[1, 2], [4, 2], [11, 2]]
    assert len(two) == 10


def test_only_the_object_is_gone_over() -> None:
    mask = rectangle(1000, 1500, (700, 300, 720, 310))
    mask[305, 705] = False
    tracemalloc.start()
    try:
        (outline,) = outlines(mask)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (even_odd(outline, mask.shape) == mask).all()
    assert peak < mask.size / 8
