"""The operation once more, from PyTorch's own grid_sample and conv2d in float64.

Written from the definition, it shares no line with the library. Only its coordinates differ by
rounding, so it is no judge of samples that fall exactly on a pixel; the hand-worked tests are.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import conv2d, grid_sample


def grown_grid(theta: Tensor, height: int, width: int, grow: int) -> Tensor:
    """Source coordinates of the canvas grown by ``grow`` pixels, (N, H', W', 2), normalised."""
    x = (2 * torch.arange(-grow, width + grow, dtype=torch.float64) + 1) / width - 1
    y = (2 * torch.arange(-grow, height + grow, dtype=torch.float64) + 1) / height - 1
    yy, xx = torch.meshgrid(y, x, indexing="ij")
    points = torch.stack([xx, yy, torch.ones_like(xx)], -1)
    return torch.einsum("nij,hwj->nhwi", theta.double(), points)


def blend(
    foreground: Tensor,
    mask: Tensor | None,
    background: Tensor,
    theta: Tensor,
    threshold: float = 1 - 1e-7,
    sigma: float = 1.0,
    radius: int | None = None,
    straight_through: bool = True,
) -> tuple[Tensor, Tensor]:
    """Composite and alpha in float64, differentiable by autograd."""
    if radius is None or sigma == 0:
        radius = math.ceil(3 * sigma)
    height, width = background.shape[2:]
    if mask is None:
        mask = torch.ones_like(foreground[:, :1])
    grid = grown_grid(theta, height, width, radius)
    m = grid_sample(mask.double(), grid, padding_mode="zeros", align_corners=False)
    s = (torch.relu(m - threshold) / (1 - threshold)).clamp(max=1)
    if straight_through:
        s = s.detach() + m - m.detach()
    a = torch.arange(-radius, radius + 1, dtype=torch.float64)
    g = torch.exp(-(a**2) / (2 * sigma**2)) if sigma else torch.ones(1, dtype=torch.float64)
    g = g / g.sum()
    alpha = conv2d(s, (g[:, None] * g)[None, None])
    inner = grid[:, radius : radius + height, radius : radius + width]
    f = grid_sample(foreground.double(), inner, padding_mode="border", align_corners=False)
    return alpha * f + (1 - alpha) * background.double(), alpha


def render(
    background: Tensor,
    foreground: list[Tensor],
    mask: list[Tensor] | None,
    theta: Tensor,
    image: Tensor,
    source: Tensor,
    gain: Tensor | None,
    bias: Tensor | None,
    sigma: Tensor,
    threshold: float,
    straight_through: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """Composite, owner and covered in float64: one blend after the other on one canvas each."""
    canvases = list(background.double().split(1))
    owner = torch.full((len(background), *background.shape[2:]), -1, dtype=torch.int32)
    covered = torch.zeros(len(theta), dtype=torch.int64)
    for layer, (n, k) in enumerate(zip(image.tolist(), source.tolist(), strict=True)):
        colours = foreground[k].double()[None]
        if gain is not None:
            colours = colours * gain[layer].double()[:, None, None]
        if bias is not None:
            colours = colours + bias[layer].double()[:, None, None]
        canvases[n], alpha = blend(
            colours,
            None if mask is None else mask[k][None],
            canvases[n],
            theta[layer : layer + 1],
            threshold,
            float(sigma[layer]),
            straight_through=straight_through,
        )
        solid = alpha[0, 0] > 0.5
        owner[n][solid] = layer
        covered[layer] = solid.sum()
    return torch.cat(canvases) if canvases else background.double(), owner, covered
