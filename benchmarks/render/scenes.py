"""What is timed: canvases, cut-outs with sizes of their own, and where they are pasted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

import compositor
from benchmarks.scenes import Shape, off_heap
from compositor import affine

BYTES, FLOATS = "uint8", "float32"
CUTOUTS = 8
# Of an object's longer side, as a share of the canvas's shorter one. The floats' objects cover less
# than a tenth of the canvas each.
SIDES = {BYTES: (0.15, 0.45), FLOATS: (0.1, 0.3)}
CUTOUT_SIDES = (0.3, 0.5)  # likewise: most are shrunk, hardly any below half
TURN = 30.0  # degrees at most, either way


@dataclass(frozen=True)
class Layers:
    """Canvases with equally many layers each, those of the first canvas first."""

    background: Tensor  # (N, C, H, W), in [0, 0.4], or so much of 255: errors show
    foreground: list[Tensor]  # (C, h, w), in [0.6, 1]
    mask: list[Tensor]  # (1, h, w), 0 or 1, or 255
    pose: Tensor  # (L, 6), float64: affine.PARAMETERS
    theta: Tensor  # (L, 2, 3), float32
    image: Tensor  # (L,)
    source: Tensor  # (L,)
    upstream: Tensor  # (N, C, H, W), the gradient for the composite; empty for bytes
    covered: float  # the share of the canvases that the objects own, measured

    @property
    def canvas(self) -> tuple[int, int]:
        """(H, W)."""
        return self.background.shape[-2], self.background.shape[-1]

    @property
    def objects(self) -> int:
        """How many layers each canvas has."""
        return len(self.theta) // len(self.background)

    def pixel_matrices(self) -> np.ndarray:
        """Return (L, 2, 3), cut-out to canvas pixels, as OpenCV takes them."""
        height, width = self.canvas
        matrices = []
        for pose, source in zip(self.pose.tolist(), self.source.tolist(), strict=True):
            angle, _, scale, _, right, down = pose
            h, w = self.mask[source].shape[1:]
            cos, sin = (scale * turn(math.radians(angle)) for turn in (math.cos, math.sin))
            linear = np.array([[cos, sin], [-sin, cos]])
            middle = np.array([(width - 1) / 2 + right, (height - 1) / 2 + down])
            shift = middle - linear @ [(w - 1) / 2, (h - 1) / 2]
            matrices.append(np.column_stack([linear, shift]))
        return np.stack(matrices)


@lru_cache(maxsize=2)  # the scenes of a shape take turns
def make_layers(shape: Shape, dtype: str, objects: int) -> Layers:
    """Make a seeded scene: ellipses of random sizes, turned, anywhere on the canvas.

    A centre is on the canvas, so that many objects are cut by its edge, and many hide another.
    """
    n, channels, height, width = shape
    short, count = min(height, width), n * objects
    generator = torch.Generator().manual_seed(0)

    def uniform(low: float, high: float, *size: int) -> Tensor:
        return torch.rand(*size, generator=generator, dtype=torch.float64) * (high - low) + low

    def picture(low: float, high: float, *size: int) -> Tensor:  # smooth, as photographs are
        coarse = uniform(low, high, *size[:2], 9, 9)
        return interpolate(coarse, size[2:], mode="bilinear", align_corners=False)

    def stored(values: Tensor) -> Tensor:
        if dtype == BYTES:
            return off_heap((255 * values).round().to(torch.uint8))
        return off_heap(values.float())

    longest = uniform(*CUTOUT_SIDES, CUTOUTS) * short
    narrow = uniform(0.6, 1, CUTOUTS)
    if dtype == FLOATS:  # the chain of `blend`s takes a batch of one size
        longest, narrow = longest[:1].expand(CUTOUTS), narrow[:1].expand(CUTOUTS)
    sizes = [(int(side), int(side * ratio)) for side, ratio in zip(longest, narrow, strict=True)]
    foreground = [stored(picture(0.6, 1, 1, channels, h, w)[0]) for h, w in sizes]
    mask = [stored(_ellipse(h, w)) for h, w in sizes]
    background = stored(picture(0, 0.4, *shape))

    image = torch.arange(n).repeat_interleave(objects)
    source = torch.randint(CUTOUTS, (count,), generator=generator)
    scale = uniform(*SIDES[dtype], count) * short / longest[source].floor()
    pose = torch.stack(
        [
            uniform(-TURN, TURN, count),
            torch.zeros(count, dtype=torch.float64),
            scale,
            scale,
            uniform(-0.5, 0.5, count) * width,
            uniform(-0.5, 0.5, count) * height,
        ],
        -1,
    )
    theta = torch.stack(
        [
            affine.from_parameters(one, sizes[which], (height, width))
            for one, which in zip(pose, source.tolist(), strict=True)
        ]
    ).float()
    upstream = torch.randn(shape if dtype == FLOATS else (0,), generator=generator)
    layers = (background, foreground, mask, theta)
    _, labels = compositor.render(*layers, image=image, source=source, return_labels=True)
    covered = (labels.owner >= 0).double().mean().item()
    return Layers(
        background, foreground, mask, pose, theta, image, source, off_heap(upstream), covered
    )


def _ellipse(h: int, w: int) -> Tensor:
    """Draw the mask, (1, h, w): it reaches close to the frame, as a cut-out's does."""
    x, y = ((2 * torch.arange(size, dtype=torch.float64) + 1) / size - 1 for size in (w, h))
    return (x**2 + y[:, None] ** 2 < 0.95**2).double()[None]
