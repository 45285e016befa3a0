"""Draws how the masks of test pictures changed: the paper's figures 9 and 14 for a segmentation."""

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.patches import Patch
from torch import Tensor

from compositor.data.figures import save
from trainers.detection.pictures import grid
from trainers.segmentation.colours import COLOURS, tinted
from trainers.segmentation.iou import confusion, ious, mean
from trainers.segmentation.pictures import VOID, Segmentations

LABEL = {"fontsize": 6, "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.6}}


def packed(classes: Tensor) -> Tensor:
    """The classes of a picture's pixels (H, W) uint8 in about a kilobyte, (n,) uint8."""
    return torch.frombuffer(bytearray(zlib.compress(classes.numpy().tobytes())), dtype=torch.uint8)


def unpacked(content: Tensor, size: tuple[int, int]) -> Tensor:
    """The classes of the pixels of a picture of this size (H, W), which were packed."""
    pixels = bytearray(zlib.decompress(content.numpy().tobytes()))
    return torch.frombuffer(pixels, dtype=torch.uint8).view(size)


def draw(
    path: Path,
    test: Segmentations,
    before: Sequence[Tensor],
    after: Sequence[Tensor],
    title: str,
    columns: int = 8,
) -> None:
    """Draw the test pictures whose IoU changed most, gains and losses alike.

    Three rows, tinted by class: as annotated, before and after, with the mean IoU of the classes
    that are annotated or told in the picture.

    Args:
        path: Where to write the picture.
        test: The test pictures.
        before: The classes of the pixels of each by T, (H, W) uint8.
        after: The same after T has learnt.
        title: The picture's title.
        columns: The number of pictures.
    """
    every = [[_iou(told, test, n) for n, told in enumerate(each)] for each in (before, after)]
    change = np.subtract(every[1], every[0])
    chosen = np.argsort(-np.abs(change), kind="stable")[:columns].tolist()
    truth = {number: test.classes_of(number) for number in chosen}
    figure, panels = grid(3, len(chosen), test.size)
    rows: dict[str, Mapping[int, Tensor] | Sequence[Tensor]]
    rows = {"annotated": truth, "before": before, "after": after}
    shown: set[int] = set()
    for row, (label, classes) in enumerate(rows.items()):
        panels[row, 0].set_ylabel(label)
        for axes, number in zip(panels[row], chosen, strict=True):
            image, told = test.image(number).permute(1, 2, 0).numpy(), classes[number].numpy()
            axes.imshow(tinted(image, told))
            shown |= set(np.unique(told).tolist())
            if row:
                axes.text(0, 0, f"{every[row - 1][number]:.2f}", va="top", **LABEL)
    labels = sorted(shown - {0, VOID})
    colours = [Patch(color=COLOURS[n] / 255, label=test.classes[n]) for n in labels]
    style = {"fontsize": "small", "frameon": False, "borderaxespad": 0}
    figure.legend(handles=colours, loc="outside lower center", ncols=8, **style)
    figure.suptitle(
        f"{title}: the IoU rose on {(change > 0).sum()} and fell on {(change < 0).sum()} of "
        f"{len(change)} images, of which these changed most",
        fontsize="medium",
    )
    save(figure, path)


def _iou(told: Tensor, test: Segmentations, number: int) -> float:
    """A picture's mean IoU; 1 if nothing of it counts."""
    count = len(test.classes)
    found = mean(ious(confusion(told, test.classes_of(number), count)))
    return 1.0 if found is None else found
