"""Segmentation as T's task: the IoU of each pasted object, and of each class."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from compositor.data.prepared import Photographs
from trainers.detection.composites import pixel_classes
from trainers.detection.config import Config
from trainers.detection.scenes import Scenes
from trainers.detection.synthesis import Found
from trainers.detection.task import Task
from trainers.detectors.base import Detections, TrainableDetector, detect
from trainers.segmentation import networks
from trainers.segmentation.pictures import VOID, Segmentations, SegmentedScenes


class Segmentation(Task):
    """Tells the class of each pixel, and is measured by the mean IoU of the classes."""

    measure = "iou"
    answer = "its IoU by T"

    def build(self, config: Config, classes: Sequence[str]) -> TrainableDetector:
        ours = config.target
        option = "--target.weights"
        return networks.build(ours.network, len(classes), ours.weights, option, ours.heads)

    def ask(self, target: nn.Module, scenes: Scenes, found: Found) -> dict[str, Tensor]:
        """Ask for the IoU of each pasted ``object``, (n,) on the CPU.

        Other objects of its class, and void, count neither for nor against it.
        """
        assert isinstance(scenes, SegmentedScenes)
        under = torch.stack([scenes.classes_of(index) for index in found.background.tolist()])
        foreground, owner = found.recipes.foreground.cpu(), found.owner.cpu()
        classes = pixel_classes(under, scenes.cutouts.labels[foreground], owner)
        told = torch.stack([one["classes"] for one in detect(target, found.composites)]).cpu()
        label, pasted = found.labels.cpu()[:, None, None], owner == foreground.shape[1] - 1
        counts = pasted | (classes != label) & (classes != VOID)
        seen = told == label
        both, either = (pasted & seen).sum((1, 2)), ((pasted | seen) & counts).sum((1, 2))
        return {"object": both / either.clamp_min(1)}

    def figures(
        self, found: Sequence[Detections], test: Photographs, config: Config
    ) -> dict[str, Any]:
        """The IoU of each class over all pixels, the background's too; None if it is not there."""
        assert isinstance(test, Segmentations)
        count = len(test.classes)
        pixels = torch.zeros(count, count, dtype=torch.int64)
        for index, one in enumerate(found):
            pixels += confusion(one["classes"], test.classes_of(index), count)
        each = {name: {"mean": iou} for name, iou in zip(test.classes, ious(pixels), strict=True)}
        known = [iou["mean"] for iou in each.values() if iou["mean"] is not None]
        return {"mean": {"mean": sum(known) / len(known) if known else None}, "per_class": each}

    def told(self, figures: Mapping[str, Any]) -> str:
        iou = figures["mean"]["mean"]
        return f"mean IoU {'none' if iou is None else f'{100 * iou:.1f} %'}"


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
