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


class Plain(nn.Module):
    """The same by its methods alone, which also tells how far off each box is."""

    def __init__(self) -> None:
        super().__init__()
        self.corner = nn.Parameter(torch.tensor([0.0, 0, 32, 32]))

    def loss(self, images: Sequence[Tensor], targets: Sequence[Any]) -> Tensor:
        return self.loss_by_object(images, targets)[0]

    def loss_by_object(
        self, images: Sequence[Tensor], targets: Sequence[Any]
    ) -> tuple[Tensor, list[Tensor]]:
        each = [(target["boxes"] - self.corner).abs().sum(1) / 100 for target in targets]
        total = torch.cat(each).sum() + 0 * sum(image.sum() for image in images)
        return total, [part.detach() for part in each]

    predict = Corner.predict


def plain(classes: Sequence[str], size: tuple[int, int], weights: str) -> nn.Module:
    return Plain()


def half(classes: Sequence[str], size: tuple[int, int], weights: str) -> nn.Module:
    network = nn.Linear(1, 1)
    network.loss = len
    return network


def number(classes: Sequence[str], size: tuple[int, int], weights: str) -> int:
    return 3


def failing(classes: Sequence[str], size: tuple[int, int], weights: str) -> TrainableDetector:
    raise RuntimeError("not today\nnor tomorrow")
