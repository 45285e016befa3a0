"""What T does in a run: how it is built, asked about objects and measured."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from compositor.data.prepared import Photographs
from compositor.selection.judge import confidences, presence
from trainers.detection import pictures, players
from trainers.detection.average_precision import average_precision
from trainers.detection.config import Config
from trainers.detection.report import Measure
from trainers.detection.scenes import Scenes
from trainers.detection.synthesis import Found
from trainers.detectors.base import Detections, TrainableDetector, detect

LEAST = 0.3
"""Detections with lower scores are not kept, since they are never drawn."""


class Task(ABC):
    """What T does.

    Attributes:
        measure: The name of its figures in records and results.
        answer: What :meth:`ask` asks it for, in words.
        hardness: The answer that figure 8 shows, and what it is.
        finds: What it finds in pictures, as :meth:`draw`'s figure is called.
    """

    measure: ClassVar[Measure]
    answer: ClassVar[str]
    hardness: ClassVar[tuple[str, str]]
    finds: ClassVar[str]

    @abstractmethod
    def build(self, config: Config, classes: Sequence[str]) -> TrainableDetector:
        """Build T's network for classes, the background's name first."""

    @abstractmethod
    def ask(self, target: nn.Module, scenes: Scenes, found: Found) -> dict[str, Tensor]:
        """Ask T about composites: its confidence (n,) for each pasted ``object``, and perhaps more.

        Args:
            target: T, in eval mode.
            scenes: What the composites are made of.
            found: The composites.
        """

    @abstractmethod
    def figures(
        self, found: Sequence[Detections], test: Photographs, config: Config
    ) -> dict[str, Any]:
        """How good what T found on the test pictures is: in the ``mean`` and ``per_class``."""

    @abstractmethod
    def told(self, figures: Mapping[str, Any]) -> str:
        """Figures in a few words."""

    @abstractmethod
    def kept(self, found: Sequence[Detections]) -> list[Detections]:
        """Of what T found on the test pictures all that is drawn, for a run's checkpoint."""

    @abstractmethod
    def draw(
        self,
        path: Path,
        test: Photographs,
        before: Sequence[Detections],
        after: Sequence[Detections],
        title: str,
    ) -> None:
        """Draw figures 9 and 14 of what was kept: the test pictures that changed most."""


class Detection(Task):
    """Finds objects, and is measured by AP."""

    measure = "ap"
    answer = "T's confidence"
    hardness = "picture", "T's p that the picture shows the object's class"
    finds = "detections"

    def build(self, config: Config, classes: Sequence[str]) -> TrainableDetector:
        return players.detector(config, classes)

    def ask(self, target: nn.Module, scenes: Scenes, found: Found) -> dict[str, Tensor]:
        """Ask for its confidence, and for its p of the object's class in the ``picture``."""
        detections = detect(target, found.composites)
        pasted = zip(detections, found.boxes[:, None], found.labels[:, None], strict=True)
        return {
            "object": torch.cat([confidences(*one) for one in pasted]),
            "picture": torch.tensor([*map(presence, detections, found.labels.tolist())]),
        }

    def figures(
        self, found: Sequence[Detections], test: Photographs, config: Config
    ) -> dict[str, Any]:
        return average_precision(
            found, test.targets, test.classes, points=config.points, ignored=test.ignored
        )

    def told(self, figures: Mapping[str, Any]) -> str:
        iou, ap = next(iter(figures["mean"].items()))
        return f"AP at IoU {iou:g} {'none' if ap is None else f'{100 * ap:.1f} %'}"

    def kept(self, found: Sequence[Detections]) -> list[Detections]:
        return [{k: v[one["scores"] >= LEAST] for k, v in one.items()} for one in found]

    def draw(
        self,
        path: Path,
        test: Photographs,
        before: Sequence[Detections],
        after: Sequence[Detections],
        title: str,
    ) -> None:
        pictures.detections(path, test.__getitem__, before, after, title)


DETECTION = Detection()
