"""Intersection over union of classes."""

from collections.abc import Sequence

from torch import Tensor

from trainers.segmentation.pictures import VOID


def confusion(told: Tensor, truth: Tensor, classes: int) -> Tensor:
    """Count pixels by true class (row) and told class (column): (C, C) int64, void left out.

    Args:
        told: (H, W) uint8.
        truth: (H, W) uint8, void too.
        classes: C, with the background.
    """
    known = truth != VOID
    pairs = truth[known].long() * classes + told[known].long()
    return pairs.bincount(minlength=classes**2).view(classes, classes)


def ious(pixels: Tensor) -> list[float | None]:
    """Each class's intersection over union by :func:`confusion`'s counts; None: it has neither."""
    both = pixels.diagonal()
    either = pixels.sum(0) + pixels.sum(1) - both
    pairs = zip(both.tolist(), either.tolist(), strict=True)
    return [hit / total if total else None for hit, total in pairs]


def mean(each: Sequence[float | None]) -> float | None:
    """The mean of the classes that are there; None: none is."""
    known = [iou for iou in each if iou is not None]
    return sum(known) / len(known) if known else None
