"""OpenCV by hand, as fast as it gets: bytes, and each object's own box instead of the canvas."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np
from torch import Tensor

from benchmarks.render.scenes import Layers
from benchmarks.scenes import RADIUS, SIGMA, off_heap

Box = tuple[int, int, int, int]
SIZE = 2 * RADIUS + 1


class Picture(NamedTuple):
    """What is made of one canvas."""

    composite: np.ndarray  # (H, W, 3)
    owner: np.ndarray  # (H, W) int32, the layer's number on this canvas or -1
    boxes: list[Box | None]  # of each layer: x, y, width, height of what is seen


def interleaved(image: Tensor) -> np.ndarray:
    """Bring (C, h, w) to OpenCV's layout."""
    return off_heap(image.permute(1, 2, 0).contiguous()).numpy()


def cutouts(layers: Layers) -> list[np.ndarray]:
    """Return colours and mask of each cut-out as (h, w, 4)."""
    pairs = zip(layers.foreground, layers.mask, strict=True)
    return [np.dstack([interleaved(colours), interleaved(mask)]) for colours, mask in pairs]


def prepare(layers: Layers) -> Callable[[], list[Picture]]:
    """Prepare the loop over canvases and their layers."""
    sources = cutouts(layers)
    per_canvas = [
        [(sources[source], matrix) for source, matrix in zip(chosen, matrices, strict=True)]
        for chosen, matrices in zip(
            layers.source.view(-1, layers.objects).tolist(),
            layers.pixel_matrices().reshape(-1, layers.objects, 2, 3),
            strict=True,
        )
    ]
    canvases = list(map(interleaved, layers.background))
    return lambda: [_paste(*one) for one in zip(canvases, per_canvas, strict=True)]


def _reach(matrix: np.ndarray, size: tuple[int, int], canvas: tuple[int, int]) -> Box:
    """Find where a layer and its blur can show: (x1, y1, x2, y2) on the canvas."""
    (xx, xy, x), (yx, yy, y) = matrix.tolist()
    h, w = size
    across, down = (0.0, xx * w, xy * h, xx * w + xy * h), (0.0, yx * w, yy * h, yx * w + yy * h)
    more = RADIUS + 1
    return (
        max(0, math.floor(x + min(across)) - more),
        max(0, math.floor(y + min(down)) - more),
        min(canvas[1], math.ceil(x + max(across)) + more),
        min(canvas[0], math.ceil(y + max(down)) + more),
    )


def _paste(background: np.ndarray, layers: list[tuple[np.ndarray, np.ndarray]]) -> Picture:
    composite = background.copy()
    canvas = composite.shape[:2]
    owner = np.full(canvas, -1, np.int32)
    reaches: list[Any] = []
    for number, (cutout, matrix) in enumerate(layers):
        x1, y1, x2, y2 = _reach(matrix, cutout.shape[:2], canvas)
        reaches.append((slice(y1, y2), slice(x1, x2)))
        if x1 >= x2 or y1 >= y2:
            continue
        moved = matrix.copy()
        moved[:, 2] -= (x1, y1)
        warped = cv2.warpAffine(cutout, moved, (x2 - x1, y2 - y1), flags=cv2.INTER_LINEAR)
        colour = cv2.cvtColor(warped, cv2.COLOR_BGRA2BGR)
        mask = cv2.extractChannel(warped, 3)
        mask = cv2.threshold(mask, 254, 255, cv2.THRESH_BINARY)[1]
        alpha = cv2.GaussianBlur(mask, (SIZE, SIZE), SIGMA)
        # In bytes throughout: cv2.blendLinear, in floats, takes a quarter longer.
        weight = cv2.cvtColor(alpha, cv2.COLOR_GRAY2BGR)
        box = composite[reaches[-1]]
        above = cv2.multiply(colour, weight, scale=1 / 255)
        below = cv2.multiply(box, cv2.bitwise_not(weight), scale=1 / 255)
        cv2.add(above, below, dst=box)
        np.copyto(owner[reaches[-1]], number, where=alpha > 127)
    return Picture(composite, owner, [_box(owner, *one) for one in enumerate(reaches)])


def _box(owner: np.ndarray, number: int, reach: tuple[slice, slice]) -> Box | None:
    """Find the box of what is seen of a layer."""
    seen = (owner[reach] == number).view(np.uint8)
    if seen.size == 0:
        return None
    x, y, width, height = cv2.boundingRect(seen)
    return (x + reach[1].start, y + reach[0].start, width, height) if width else None
