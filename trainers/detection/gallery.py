"""Keeps a run's pictures for the figures: composites of each cycle, detections before and after.

And draws figure 5, blending artefacts, which need no run.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.utils import draw_bounding_boxes, make_grid, save_image

from compositor.files import replacing
from trainers.detection.composites import with_artefacts
from trainers.detection.pictures import Sheet
from trainers.detection.scenes import NOTHING, Scenes
from trainers.detectors.base import Detections

SHOWN = 8
"""Composites per cycle on the contact sheet."""


class Gallery:
    """Pictures to show, kept in a run's checkpoint.

    Attributes:
        sheets: Composites of each cycle, for figure 11.
        before, after: What T found on the test pictures at the start and in the last cycle.
    """

    def __init__(self) -> None:
        self.sheets: list[Sheet] = []
        self.before: list[Detections] = []
        self.after: list[Detections] = []

    def add(
        self, label: str, images: Tensor, boxes: Sequence[Tensor], confidences: Tensor
    ) -> Tensor:
        """Keep a row of composites; return it as one picture (3, H, W) uint8.

        Args:
            label: The row's label.
            images: (n, 3, H, W) in [0, 1].
            boxes: For each image, the boxes of all objects (k, 4), the pasted one last.
            confidences: (n,), T's confidence for each pasted object.
        """
        pixels = (images.cpu() * 255).round().to(torch.uint8)
        self.sheets.append(Sheet(label, pixels, list(boxes), confidences))
        drawn = [
            draw_bounding_boxes(image, found[-1:], [f"{score:.2f}"], colors="cyan")
            if len(found)
            else image
            for image, found, score in zip(pixels, boxes, confidences.tolist(), strict=True)
        ]
        return make_grid(drawn, nrow=len(drawn))

    def tested(self, found: list[Detections], first: bool) -> None:
        """Keep what T found on the test pictures."""
        if first:
            self.before = found
        self.after = found

    def state_dict(self) -> dict[str, Any]:
        return {
            "sheets": [vars(sheet) for sheet in self.sheets],
            "before": self.before,
            "after": self.after,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sheets = [Sheet(**sheet) for sheet in state["sheets"]]
        self.before, self.after = state["before"], state["after"]


def artefacts(path: Path, scenes: Scenes, columns: int = 8) -> None:
    """Draw figure 5: pictures with a blending artefact, backgrounds above and real ones below.

    Of the first pictures drawn, those that have room for one.
    """
    always = Scenes(scenes.real, scenes.backgrounds, scenes.cutouts, artefacts=1.0)
    random = torch.Generator().manual_seed(0)
    real = torch.randint(len(scenes.real), (2 * columns,), generator=random)
    rows = []
    for recipes in (always.draw(2 * columns, random), always.draw_real(real, random)):
        placed = recipes[(recipes.shape != NOTHING).nonzero()[:columns, 0]]
        images = with_artefacts(always.load(placed)) if len(placed) else torch.zeros(0)
        empty = torch.ones(columns - len(placed), 3, *scenes.size)
        rows.append(torch.cat((images.reshape(-1, 3, *scenes.size), empty)))
    with replacing(path) as partial:
        save_image(torch.cat(rows), partial, nrow=columns, format="png")
