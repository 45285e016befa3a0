"""What annotated pictures look like: sizes, aspects, overlaps, places and numbers of objects."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compositor.data.records import Annotation

ENOUGH = 20
"""Objects of a class from which its own sizes are drawn; with fewer, those of all classes."""

Seen = tuple[Annotation, tuple[int, int]]
"""A picture's objects, and its size (H, W)."""


@dataclass(frozen=True)
class Observed:
    """Objects of annotated pictures.

    Attributes:
        labels: (n,) int64.
        sizes: (n,) square root of the box's area over the picture's shorter side.
        aspects: (n,) the box's width over its height.
        overlaps: (n,) largest share of the box that another object's box covers.
        places: (n, 2) the box's centre (x, y) over the picture's width and height.
        numbers: (m,) objects of each picture that has any; their objects follow one another.
    """

    labels: NDArray[np.int64]
    sizes: NDArray[np.float64]
    aspects: NDArray[np.float64]
    overlaps: NDArray[np.float64]
    places: NDArray[np.float64]
    numbers: NDArray[np.int64]

    def alike(self, label: int) -> NDArray[np.int64]:
        """Which objects (k,) to take after for one of this class."""
        own = np.flatnonzero(self.labels == label)
        return own if len(own) >= ENOUGH else np.arange(len(self.labels))

    def layout(self, picture: int) -> range:
        """Which objects are those of a picture that has any."""
        end = int(self.numbers[: picture + 1].sum())
        return range(end - int(self.numbers[picture]), end)


def observe(pictures: Iterable[Seen]) -> Observed | None:
    """Measure pictures' objects, leaving out those to ignore; None if there are none."""
    labels, sizes, aspects, overlaps, places, numbers = [], [], [], [], [], []
    for annotation, (height, width) in pictures:
        known = ~annotation.ignore
        boxes = annotation.boxes[known].astype(np.float64)
        sides = boxes[:, 2:] - boxes[:, :2]
        if not len(boxes):
            continue
        labels.append(annotation.labels[known])
        sizes.append(np.sqrt(sides.prod(1)) / min(height, width))
        aspects.append(sides[:, 0] / sides[:, 1])
        shares = covered_share(boxes[:, None], boxes[None])
        np.fill_diagonal(shares, 0)
        overlaps.append(shares.max(1))
        places.append((boxes[:, :2] + boxes[:, 2:]) / (2 * width, 2 * height))
        numbers.append(len(boxes))
    if not numbers:
        return None
    return Observed(
        np.concatenate(labels),
        np.concatenate(sizes),
        np.concatenate(aspects),
        np.concatenate(overlaps),
        np.concatenate(places),
        np.array(numbers, np.int64),
    )


def covered_share(boxes: NDArray[np.float64], by: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of each box (..., 4) that another one (..., 4) covers."""
    low = np.maximum(boxes[..., :2], by[..., :2])
    high = np.minimum(boxes[..., 2:], by[..., 2:])
    areas = (boxes[..., 2:] - boxes[..., :2]).prod(-1)
    share: NDArray[np.float64] = (high - low).clip(0).prod(-1) / np.maximum(areas, 1e-9)
    return share
