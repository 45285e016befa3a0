"""Pictures and objects in memory, as the prepared data sets give them."""

import torch
from torch import Tensor

from compositor.data.prepared import Cutouts, Photographs
from compositor.data.records import BACKGROUND
from compositor.scenes.placement import Range
from trainers.detection.scenes import Scenes

CLASSES = (BACKGROUND, "person", "dog")
SIZE = (112, 128)
RANGE = Range(shear=0.2, scale=(0.15, 1.25), aspect=1.25)
"""Wide, all six numbers free and the identity in it."""


class Pictures(Photographs):
    """Noise, each with the boxes given; noise tells every pixel from every other."""

    def __init__(
        self, boxes: list[list[list[float]]], seed: int = 0, classes: tuple[str, ...] = CLASSES
    ) -> None:
        self.classes, self.size, self.ignored = classes, SIZE, "difficult"
        self.source, self.fingerprint = "noise", f"noise {seed}"
        random = torch.Generator().manual_seed(seed)
        self.pixels = torch.randint(
            256, (len(boxes), 3, *SIZE), generator=random, dtype=torch.uint8
        )
        self.names = [f"picture {i}" for i in range(len(boxes))]
        self.targets = [
            {
                "boxes": torch.tensor(found, dtype=torch.float32).reshape(-1, 4),
                "labels": torch.ones(len(found), dtype=torch.int64),
                "ignore": torch.zeros(len(found), dtype=torch.bool),
            }
            for found in boxes
        ]

    def __len__(self) -> int:
        return len(self.targets)

    def image(self, index: int) -> Tensor:
        return self.pixels[index]


class Objects(Cutouts):
    """Rectangles of one colour each, 0.7 of the frame's height."""

    def __init__(self, count: int = 4) -> None:
        self.classes, self.size = CLASSES, SIZE
        self.source, self.fingerprint = "rectangles", f"{count} rectangles"
        self.labels = torch.arange(count) % 2 + 1
        self.names = [f"object {i}" for i in range(count)]
        self.pixels = torch.zeros(count, 4, *SIZE, dtype=torch.uint8)
        height, width = SIZE
        for index, frame in enumerate(self.pixels):
            half = 12 + 6 * index
            inside = frame[:, 15 : height - 15, width // 2 - half : width // 2 + half]
            inside[:3] = torch.tensor([250, 60 * index, 20])[:, None, None]
            inside[3] = 255

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> Tensor:
        return self.pixels[index]


def scenes(
    artefacts: float = 0.5, existing: list[list[float]] | None = None, layers: int = 1
) -> Scenes:
    """Six real pictures with an object each, five backgrounds, four objects."""
    real = [[[5.0 + i, 6, 60 + i, 90]] for i in range(6)]
    backgrounds = Pictures([existing or []] * 5, seed=1)
    return Scenes(Pictures(real), backgrounds, Objects(), artefacts, layers)
