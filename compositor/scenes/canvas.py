"""Backgrounds brought to the canvas's size, and what is left of their own objects."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from compositor.data.frames import stretch
from compositor.data.images import box_of
from compositor.data.labels import Instance, decode, encode
from compositor.data.records import Box, Photograph
from compositor.scenes.draw import Boxes

GONE = 0.75
"""An object of the background of which the canvas cuts off more is to be ignored: neither right
nor wrong to find."""


@dataclass(frozen=True)
class Canvas:
    """A background brought to the canvas's size.

    Attributes:
        name: The background's.
        image: (3, H, W) uint8.
        objects: Its own objects, as far as they are on the canvas.
    """

    name: str
    image: Tensor
    objects: tuple[Instance, ...]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.image.shape[1], self.image.shape[2]

    @property
    def boxes(self) -> Boxes:
        """The objects' boxes (k, 4)."""
        return np.array([found.box for found in self.objects], np.float64).reshape(-1, 4)


def enlargement(photograph: Photograph, size: tuple[int, int]) -> float:
    """How many times a photograph must be enlarged to cover a canvas of ``size`` (H, W)."""
    height, width = photograph.image.shape[:2]
    return float(max(size[0] / height, size[1] / width))


def covering(photograph: Photograph, size: tuple[int, int]) -> Photograph:
    """A photograph just large enough to cover a canvas of ``size`` (H, W), and its objects."""
    height, width = photograph.image.shape[:2]
    scale = enlargement(photograph, size)
    wanted = max(round(height * scale), size[0]), max(round(width * scale), size[1])
    image, annotation = stretch(photograph, wanted)
    # Each colour by itself in memory, as the op takes them: every canvas cut out of it is.
    image = np.ascontiguousarray(image.transpose(2, 0, 1)).transpose(1, 2, 0)
    # By rows and columns that stay: the masks of a large photograph are many, and mostly empty.
    kept = np.ix_(_nearest(height, wanted[0]), _nearest(width, wanted[1]))
    masks = tuple(None if mask is None else mask[kept] for mask in photograph.masks)
    return replace(photograph, image=image, annotation=annotation, masks=masks)


def cut(
    photograph: Photograph, size: tuple[int, int] | None, random: np.random.Generator
) -> Canvas:
    """A canvas cut out of a photograph at random.

    Args:
        photograph: The background, from :func:`covering`.
        size: (H, W) of the canvas; None: the photograph's own.
        random: Where to cut.
    """
    height, width = size or photograph.image.shape[:2]
    top = int(random.integers(photograph.image.shape[0] - height + 1))
    left = int(random.integers(photograph.image.shape[1] - width + 1))
    pixels = photograph.image[top : top + height, left : left + width]
    annotation = photograph.annotation
    masks = photograph.masks or (None,) * len(annotation)
    own = [
        _object(
            annotation.boxes[n].astype(np.float64) - np.array([left, top] * 2),
            None if mask is None else (mask[top : top + height, left : left + width], mask.sum()),
            (height, width),
            int(annotation.labels[n]),
            bool(annotation.ignore[n]),
        )
        for n, mask in enumerate(masks)
    ]
    canvas = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
    return Canvas(photograph.name, canvas, tuple(found for found in own if found))


def uncovered(
    objects: Sequence[Instance], owner: NDArray[np.int32], visible: float
) -> list[Instance]:
    """What is left of the background's objects.

    Args:
        objects: The canvas's.
        owner: (H, W), -1 where nothing is pasted.
        visible: Share of an object that must show; one of which less does is to be ignored.
    """
    kept: list[Instance] = []
    if not objects:
        return kept
    free = np.asfortranarray(owner < 0)  # by columns, as masks are decoded
    for found in objects:
        if found.mask is not None:
            shown = decode(found.mask) & free
            area = int(shown.sum())
            share = area / found.area
            box = _box(shown) if area else found.box
            seen = replace(found, box=box, mask=encode(shown), area=area, visibility=share)
        else:
            # Of a box without a mask nobody knows which pixels are the object's.
            x1, y1, x2, y2 = (int(side) for side in np.rint(found.box))
            share = float(free[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)].mean())
            seen = replace(found, visibility=share)
        if share > 0:
            little = share * (1 - found.truncation) < visible
            kept.append(replace(seen, ignore=found.ignore or little))
    return kept


def _nearest(length: int, wanted: int) -> NDArray[np.int32]:
    """The pixels of a line that Pillow takes to make it ``wanted`` long."""
    line = Image.fromarray(np.arange(length, dtype=np.int32)[None])
    return np.asarray(line.resize((wanted, 1), Image.Resampling.NEAREST)).ravel()


def _object(
    whole: Boxes,
    mask: tuple[NDArray[np.bool_], int] | None,
    size: tuple[int, int],
    label: int,
    ignore: bool,
) -> Instance | None:
    """An object of the background, from its box, perhaps beyond the canvas, and from its mask on
    the canvas and that mask's whole area; None if nothing of it is there."""
    if mask is not None and mask[1]:
        shown, area = mask
        left = int(shown.sum())
        if not left:
            return None
        beyond = 1 - left / int(area)
        ignore = ignore or beyond > GONE
        return Instance(label, _box(shown), encode(shown), left, ignore, 1.0, beyond)
    x1, y1, x2, y2 = np.clip(whole, 0, (size[1], size[0]) * 2).tolist()
    if x2 - x1 < 1 or y2 - y1 < 1:
        return None
    area = (x2 - x1) * (y2 - y1)
    beyond = max(1 - area / float((whole[2:] - whole[:2]).prod()), 0.0)
    ignore = ignore or beyond > GONE
    return Instance(label, (x1, y1, x2, y2), None, round(area), ignore, 1.0, beyond)


def _box(mask: NDArray[np.bool_]) -> Box:
    x1, y1, x2, y2 = box_of(mask)
    return float(x1), float(y1), float(x2), float(y2)
