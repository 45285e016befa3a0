"""Decodes masks from files, checking them first because pycocotools' C code trusts its input."""

from typing import Any

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from compositor.data.records import Skip
from compositor.files import number

BROKEN = "broken mask"
REACH = 10
"""A polygon's point farther out than so many times the picture's longer side is invalid: the
decoder walks the outline in steps of a fifth of a pixel, and stores them all."""

SOFT = 64
"""Levels between which a mask has a soft edge; closer ones number objects."""


def decode(segmentation: Any, size: tuple[int, int], name: str) -> tuple[NDArray[np.bool_], bool]:
    """Decode a COCO segmentation: polygons, or run lengths as numbers or in COCO's string.

    Args:
        segmentation: As in the file; a polygon may be an array.
        size: (H, W) of the picture.
        name: The object's name in reports.

    Returns:
        The mask (H, W), and whether it is complete: a bad polygon beside a good one is skipped.

    Raises:
        Skip: No part of it is usable, or it belongs to a picture of another size.
    """
    if isinstance(segmentation, dict):
        return _run_lengths(segmentation, size, name), True
    if not isinstance(segmentation, list):
        raise Skip(BROKEN, name)
    reach = REACH * max(size)
    polygons = [points for each in segmentation if (points := _polygon(each, reach))]
    if not polygons:
        raise Skip(BROKEN, name)
    # One by one, because it takes a list whose first item has 4 numbers for boxes.
    pieces = [coco_mask.frPyObjects([points], *size)[0] for points in polygons]
    mask = coco_mask.decode(coco_mask.merge(pieces)).view(np.bool_)  # of zeros and ones
    return mask, len(polygons) == len(segmentation)


def levels_mask(levels: NDArray[Any], name: str) -> NDArray[np.bool_]:
    """Where a mask of any two levels has the higher one, or, with a soft edge, at least half of it:
    (H, W) bool.

    Args:
        levels: (H, W) numbers.
        name: The mask's name in reports.

    Raises:
        Skip: It has one level, or more than two that are no soft edge, such as objects' numbers.
    """
    low, high = levels.min().item(), levels.max().item()
    upper = levels == high
    if low == high:
        raise Skip("mask of a single level", name)
    if (upper | (levels == low)).all():
        return np.asarray(upper)
    reach = high - low
    edge = (levels > low + reach / 8) & (levels < high - reach / 8)
    # Of an edge few pixels are like all their neighbours; of another object, or a photograph, many.
    numbers = levels.astype(np.float32)
    steps = scipy.ndimage.maximum_filter(numbers, 3) - scipy.ndimage.minimum_filter(numbers, 3)
    flat = edge & (steps < reach / 64)
    inside = levels >= high - reach / 8
    if reach < SOFT or 4 * flat.sum() > edge.sum() or 2 * edge.sum() > inside.sum():
        raise Skip("mask of more than two levels", name)
    return np.asarray(levels >= low + reach / 2)


def _polygon(points: Any, reach: float) -> list[float] | None:
    if isinstance(points, np.ndarray):
        points = points.tolist()
    if not isinstance(points, list) or len(points) < 6 or len(points) % 2:
        return None
    numbers = [number(value) for value in points]
    found = [value for value in numbers if value is not None and abs(value) <= reach]
    return found if len(found) == len(points) else None


def _run_lengths(found: dict[str, Any], size: tuple[int, int], name: str) -> NDArray[np.bool_]:
    told, counts = found.get("size"), found.get("counts")
    if not isinstance(told, list) or len(told) != 2:
        raise Skip(BROKEN, name)
    if [number(side) for side in told] != list(size):
        raise Skip("image and mask differ in size", name)
    runs = uncompressed(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(type(run) is int and run >= 0 for run in runs):
        raise Skip(BROKEN, name)
    if sum(runs) != size[0] * size[1]:
        raise Skip(BROKEN, name)
    # Runs go down the columns, starting with zeros.
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size[::-1]).T


def uncompressed(text: str) -> list[int] | None:
    """The run lengths in COCO's string: 5 bits per character, later runs less the last but one."""
    if not text.isascii():
        return None
    codes = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - 48
    last = np.flatnonzero(codes & 32 == 0)  # of each run
    if not len(codes) or codes.min() < 0 or codes.max() >= 64 or codes[-1] & 32:
        return None if text else []
    first = np.concatenate(([0], last[:-1] + 1))
    lengths = last - first + 1
    if lengths.max() > 10:  # 50 bits, more than any run needs
        return None
    shifts = 5 * (np.arange(len(codes)) - np.repeat(first, lengths))
    runs = np.add.reduceat((codes & 31) << shifts, first)
    runs -= (codes[last] & 16) << (5 * lengths - 4)  # their sign
    for start in (1, 2):
        runs[start::2] = runs[start::2].cumsum()
    found: list[int] = runs.tolist()
    return found
