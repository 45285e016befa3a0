"""The reference's parts: the map, bilinear samples, the mask's coverage, the blur."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


def reach_of(theta: Tensor, source: tuple[int, int], canvas: tuple[int, int], radius: int) -> int:
    """Return how far the blur has to reach: in no image do taps beyond that meet the frame.

    Computed only for a blur wider than the canvas, because it waits for theta; otherwise, and for a
    map that is nearly singular, it is the radius.
    """
    (h, w), (height, width) = source, canvas
    if radius <= max(height, width) or len(theta) == 0:
        return radius
    t = theta.detach().double().abs()
    far_x, far_y = width / 2 + radius, height / 2 + radius
    (au, bu, cu), (av, bv, cv) = (
        (t[:, 0] * w / t.new_tensor([width, height, 2])).unbind(-1),
        (t[:, 1] * h / t.new_tensor([width, height, 2])).unbind(-1),
    )
    # The frame with a pixel around it, seen from the canvas's centre, and room for rounding.
    u = cu + (w + 1) / 2 + 1e-5 * (au * far_x + bu * far_y + cu + w)
    v = cv + (h + 1) / 2 + 1e-5 * (av * far_x + bv * far_y + cv + h)
    left, right = theta[:, 0, 0].double() * theta[:, 1, 1], theta[:, 0, 1].double() * theta[:, 1, 0]
    regular = (left - right).abs() > 1e-4 * (left.abs() + right.abs())
    determinant = (left - right).abs() * (w * h / (width * height))
    x, y = (bv * u + bu * v) / determinant, (av * u + au * v) / determinant
    reach = 1.01 * torch.maximum(x + width / 2, y + height / 2) + 2
    known = regular & (reach < radius)  # NaN is not
    return int(torch.where(known, reach, radius).max())


class Corners(NamedTuple):
    """The four source pixels around each sample, and its position between them."""

    at: tuple[Tensor, Tensor, Tensor, Tensor]  # into the flattened image, (N, P) each
    weight: tuple[Tensor, Tensor]  # (tx, ty) in [0, 1), (N, P) each
    valid: tuple[Tensor, Tensor, Tensor, Tensor]  # corner inside the frame, (N, P) each


def coordinates(
    theta: Tensor, source: tuple[int, int], canvas: tuple[int, int], grow: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Source coordinates (u, v), (N, H + 2 grow, W + 2 grow), and the centred canvas grid (x, y).

    The map is composed once per image in float64 and evaluated about the two centres, so that the
    identity, flips and quarter turns are exact.
    """
    (h, w), (height, width) = source, canvas
    t = theta.double()
    to_u = torch.stack([t[:, 0, 0] * w / width, t[:, 0, 1] * w / height, t[:, 0, 2] * w / 2], -1)
    to_v = torch.stack([t[:, 1, 0] * h / width, t[:, 1, 1] * h / height, t[:, 1, 2] * h / 2], -1)
    centre = torch.tensor([0.0, 0.0, (w - 1) / 2], dtype=torch.float64, device=theta.device)
    au, bu, cu = (to_u + centre).to(dtype)[:, None, None].unbind(-1)
    centre = torch.tensor([0.0, 0.0, (h - 1) / 2], dtype=torch.float64, device=theta.device)
    av, bv, cv = (to_v + centre).to(dtype)[:, None, None].unbind(-1)
    x = torch.arange(-grow, width + grow, device=theta.device).to(dtype) - (width - 1) / 2
    y = torch.arange(-grow, height + grow, device=theta.device).to(dtype)[:, None]
    y = y - (height - 1) / 2
    return au * x + (bu * y + cu), av * x + (bv * y + cv), x, y


def corners_of(u: Tensor, v: Tensor, h: int, w: int) -> Corners:
    """Return the corners around the samples at (u, v), flattened; for NaN none is valid."""
    u, v = u.flatten(1), v.flatten(1)
    # NaN compares false and takes the safe branch before any cast to int.
    touches = (u >= -1) & (u < w) & (v >= -1) & (v < h)
    u, v = torch.where(touches, u, 0), torch.where(touches, v, 0)
    x0, y0 = u.floor(), v.floor()
    index, valid = [], []
    for y, x in ((y0, x0), (y0, x0 + 1), (y0 + 1, x0), (y0 + 1, x0 + 1)):
        valid.append(touches & (x >= 0) & (x < w) & (y >= 0) & (y < h))
        index.append(y.clamp(0, h - 1).long() * w + x.clamp(0, w - 1).long())
    return Corners(
        (index[0], index[1], index[2], index[3]),
        (u - x0.detach(), v - y0.detach()),
        (valid[0], valid[1], valid[2], valid[3]),
    )


def clamp_to_frame(u: Tensor, v: Tensor, h: int, w: int) -> tuple[Tensor, Tensor]:
    """Move samples outside the frame to its edge; NaN goes to the corner (its alpha is 0)."""
    u = torch.where(u == u, u, 0).clamp(0, w - 1)
    v = torch.where(v == v, v, 0).clamp(0, h - 1)
    return u, v


def gather(image: Tensor, corners: Corners, outside_is_zero: bool) -> list[Tensor]:
    """The values of the four corners, (N, C, P) each."""
    flat = image.flatten(2)
    values = [flat.gather(2, i[:, None].expand(-1, flat.shape[1], -1)) for i in corners.at]
    if outside_is_zero:
        values = [
            torch.where(ok[:, None], p, 0) for p, ok in zip(values, corners.valid, strict=True)
        ]
    return values


def _between(p: Tensor, q: Tensor, t: Tensor) -> Tensor:
    """``p + t (q - p)``, where a q of weight 0 does not count, even if it is not finite."""
    way = q - p
    return p + t * torch.where((t == 0) & ~way.isfinite(), 0, way)  # keeps the gradient of t


def lerp(values: list[Tensor], corners: Corners) -> Tensor:
    """Nested linear interpolation: a constant neighbourhood is reproduced exactly."""
    tx, ty = (t[:, None] for t in corners.weight)
    return _between(_between(values[0], values[1], tx), _between(values[2], values[3], tx), ty)


def slopes(values: list[Tensor], corners: Corners) -> tuple[Tensor, Tensor]:
    """Derivatives of ``lerp`` with respect to u and v, (N, C, P) each."""
    tx, ty = (t[:, None] for t in corners.weight)
    top, bottom = values[1] - values[0], values[3] - values[2]
    left, right = values[2] - values[0], values[3] - values[1]
    return top + ty * (bottom - top), left + tx * (right - left)


def blur(s: Tensor, taps: list[float]) -> Tensor:
    """Separable convolution without padding, rows first: (N, 1, H + 2r, W + 2r) -> (N, 1, H, W)."""
    radius = len(taps) - 1
    for dim in (3, 2):
        size = s.shape[dim] - 2 * radius
        total = s.narrow(dim, radius, size) * taps[0]
        for k in range(1, radius + 1):
            pair = s.narrow(dim, radius - k, size) + s.narrow(dim, radius + k, size)
            total = total + pair * taps[k]
        s = total
    return s


def coverage(
    mask: Tensor | None, corners: Corners, shape: tuple[int, ...], dtype: torch.dtype
) -> tuple[list[Tensor], Tensor]:
    """Corner values of the mask (ones where it is None) and its sample m, (N, 1, H', W')."""
    if mask is None:
        values = [ok[:, None].to(dtype) for ok in corners.valid]
    else:
        values = gather(mask.to(dtype), corners, outside_is_zero=True)
    return values, lerp(values, corners).reshape(shape)


def ramp(m: Tensor, floor: Tensor) -> Tensor:
    """The mask above the threshold, clamped to 1, which a resized mask overshoots by an ulp."""
    return (torch.relu(m - floor) / (1 - floor)).clamp(max=1)


def ramp_slope(m: Tensor, floor: Tensor) -> Tensor:
    """Return the derivative of ``ramp``."""
    return ((m > floor) & (m <= 1)) / (1 - floor)
