"""The composite as users write it today, in plain PyTorch: the eager and compiled peers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, conv2d, grid_sample

from benchmarks.scenes import RADIUS, SIGMA


def plain(
    foreground: Tensor,
    mask: Tensor,
    background: Tensor,
    theta: Tensor,
    taps: Tensor,
    threshold: float,
) -> Tensor:
    """Composite with PyTorch's own functions."""
    grid = affine_grid(theta, list(background.shape), align_corners=False)
    colour = grid_sample(foreground.float(), grid, padding_mode="border", align_corners=False)
    coverage = grid_sample(mask.float(), grid, align_corners=False)
    alpha = ((coverage - threshold) / (1 - threshold)).clamp(0, 1)
    alpha = conv2d(alpha, taps[None, None, None, :], padding=(0, RADIUS))
    alpha = conv2d(alpha, taps[None, None, :, None], padding=(RADIUS, 0))
    return torch.lerp(background.float(), colour, alpha).to(background.dtype)


def gaussian_taps() -> Tensor:
    offsets = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (offsets / SIGMA) ** 2)
    return (weights / weights.sum()).float()
