"""Detectors as a user writes them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trainers.detectors import TrainableDetector


class Corner(TrainableDetector):
    """Finds one box, the same in every picture, and learns where it is."""

    def __init__(self, *given: Any) -> None:
        super().__init__()
        self.given = given
        self.corner = nn.Parameter(torch.tensor([0.0, 0, 32, 32]))

    def loss(self, images: Sequence[Tensor], targets: Sequence[Any]) -> Tensor:
        boxes = torch.cat([target["boxes"] for target in targets])
        return (boxes - self.corner).abs().sum() / 100 + 0 * sum(i.sum() for i in images)

    def predict(self, images: Sequence[Tensor] | Tensor) -> list[dict[str, Tensor]]:
        labels, scores = torch.ones(1, dtype=torch.int64), torch.full((1,), 0.5)
        box = self.corner.detach()[None].clone()
        return [{"boxes": box, "labels": labels, "scores": scores} for _ in images]


def detector(classes: Sequence[str], size: tuple[int, int], weights: str) -> TrainableDetector:
    return Corner(classes, size, weights)


other = detector


def number(classes: Sequence[str], size: tuple[int, int], weights: str) -> int:
    return 3


def failing(classes: Sequence[str], size: tuple[int, int], weights: str) -> TrainableDetector:
    raise RuntimeError("not today\nnor tomorrow")
