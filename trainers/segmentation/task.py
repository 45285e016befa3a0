"""Segmentation as T's task: the IoU of each pasted object, and of each class."""

from collections.abc import Mapping, Sequence
from pathlib import Path
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
from trainers.segmentation import changes, networks
from trainers.segmentation.iou import confusion, ious, mean
from trainers.segmentation.pictures import VOID, Segmentations, SegmentedScenes


class Segmentation(Task):
    """Tells the class of each pixel, and is measured by the mean IoU of the classes."""

    measure = "iou"
    answer = "its IoU by T"
    hardness = "object", "IoU of the pasted object by T"
    finds = "masks"

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
        each = ious(pixels)
        per_class = {name: {"mean": iou} for name, iou in zip(test.classes, each, strict=True)}
        return {"mean": {"mean": mean(each)}, "per_class": per_class}

    def told(self, figures: Mapping[str, Any]) -> str:
        iou = figures["mean"]["mean"]
        return f"mean IoU {'none' if iou is None else f'{100 * iou:.1f} %'}"

    def kept(self, found: Sequence[Detections]) -> list[Detections]:
        return [{"packed": changes.packed(one["classes"])} for one in found]

    def draw(
        self,
        path: Path,
        test: Photographs,
        before: Sequence[Detections],
        after: Sequence[Detections],
        title: str,
    ) -> None:
        assert isinstance(test, Segmentations)
        first, last = (
            [changes.unpacked(one["packed"], test.size) for one in each] for each in (before, after)
        )
        changes.draw(path, test, first, last, title)
