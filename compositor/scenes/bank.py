"""Cut-outs made ready to be pasted: cropped to the object, and halved again and again.

The op samples bilinearly, so an object shrunk below half its size would lose pixels at random. From
the level whose scale is closest to the wanted one it does not (mip maps).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log2

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from compositor.data.images import box_of, nearest
from compositor.data.records import Cutout

OUTLINE = 64
"""Pixels of an outline's sides."""
SMALLEST = 8
"""Longer side in pixels below which a cut-out is not halved again."""


@dataclass(frozen=True)
class Level:
    """A cut-out at one size: uint8 colours (3, h, w) and mask (1, h, w) of 0 and 255."""

    colours: Tensor
    mask: Tensor


@dataclass(frozen=True)
class BankedCutout:
    """A cut-out and its levels, which share a frame: the same theta serves all of them.

    Attributes:
        name: As in its data set.
        label: Index into the classes; 0: a distractor, which gets no label.
        size: (h, w) of the object's tight box, in pixels of the first level.
        area: Pixels of the object at the first level.
        frame: (h, w) of the first level, which holds the object in its upper left corner.
        levels: At the object's own size, at half of it and so on.
        outline: (OUTLINE, OUTLINE) uint8, the frame's mask averaged to this size: for measures of
            area.
    """

    name: str
    label: int
    size: tuple[int, int]
    area: int
    frame: tuple[int, int]
    levels: tuple[Level, ...]
    outline: NDArray[np.uint8]

    def level(self, scale: float) -> Level:
        """The smallest level that does not have to be magnified, at so many times its own size."""
        halvings = int(log2(1 / scale)) if scale < 1 else 0
        return self.levels[min(halvings, len(self.levels) - 1)]


def banked(cutout: Cutout, largest: int | None = None) -> BankedCutout:
    """Crop a cut-out to its mask, continue its colours beyond the edge, and halve it.

    Args:
        cutout: Its mask must not be empty.
        largest: Longer side in pixels beyond which a cut-out is halved at once, since no canvas has
            room for it; None: it keeps its size.
    """
    x1, y1, x2, y2 = box_of(cutout.mask)
    mask, image = cutout.mask[y1:y2, x1:x2], cutout.image[y1:y2, x1:x2]
    drop = 0
    if largest is not None and max(mask.shape) > largest:
        drop = ceil(log2(max(mask.shape) / largest))
    longer, shorter = max(mask.shape), min(mask.shape)
    halvings = max(
        min(int(log2(longer / SMALLEST)) if longer > SMALLEST else 0, int(log2(shorter))), drop
    )
    # A frame that halves evenly, so that all levels cover the same.
    step = 2**halvings
    frame = (ceil(mask.shape[0] / step) * step, ceil(mask.shape[1] / step) * step)
    solid = np.zeros(frame, np.bool_)
    solid[: mask.shape[0], : mask.shape[1]] = mask
    colours, inside = image[nearest(solid)].astype(np.float32), solid.astype(np.float32)
    levels: list[Level] = []
    for number in range(halvings + 1):
        if number:
            colours, inside = _halved(colours), _halved(inside)
        solid = inside >= 0.5
        if not solid.any():  # too thin for this size
            break
        if number >= drop:
            levels.append(Level(_bytes(colours.transpose(2, 0, 1)), _bytes(solid[None] * 255.0)))
    if not levels:  # so thin that no pixel is solid at a size for which a canvas has room
        levels.append(Level(_bytes(colours.transpose(2, 0, 1)), _bytes(inside[None] * 255)))
    scale = 2**drop
    small = next((level for level in levels if max(level.mask.shape) <= 4 * OUTLINE), levels[-1])
    averaged = adaptive_avg_pool2d(small.mask.float(), OUTLINE)
    return BankedCutout(
        cutout.name,
        cutout.label,
        (ceil(mask.shape[0] / scale), ceil(mask.shape[1] / scale)),
        max(round(int(mask.sum()) / scale**2), 1),
        (frame[0] // scale, frame[1] // scale),
        tuple(levels),
        averaged[0].round().byte().numpy(),
    )


class Bank:
    """Cut-outs by index, and by label.

    Args:
        cutouts: The objects, then the distractors, which have label 0.
    """

    def __init__(self, cutouts: Sequence[BankedCutout]) -> None:
        self._cutouts = list(cutouts)
        self.labels = np.array([cutout.label for cutout in cutouts], np.int64)
        self.aspects = np.array([cutout.size[1] / cutout.size[0] for cutout in cutouts])
        self.objects = np.flatnonzero(self.labels > 0)
        self.distractors = np.flatnonzero(self.labels == 0)
        self.by_label = {
            int(label): np.flatnonzero(self.labels == label)
            for label in np.unique(self.labels[self.objects])
        }
        if not len(self.objects):
            raise ValueError("cutouts: got none with a label, wanted at least one")

    def __len__(self) -> int:
        return len(self._cutouts)

    def __getitem__(self, index: int) -> BankedCutout:
        return self._cutouts[index]


def _halved(values: NDArray[np.float32]) -> NDArray[np.float32]:
    pairs = values[::2] + values[1::2]
    return (pairs[:, ::2] + pairs[:, 1::2]) * np.float32(0.25)


def _bytes(values: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.rint(values).astype(np.uint8, order="C"))
