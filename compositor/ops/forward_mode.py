"""Forward-mode derivative of the operation in plain PyTorch, for every device and backend.

The transpose of ``reference.blend_backward``, term by term; the tests compare the two.
"""

from __future__ import annotations

import torch
from torch import Tensor

from compositor.ops.reference import compute_dtype, taps_of
from compositor.ops.sampling import (
    Corners,
    blur,
    clamp_to_frame,
    coordinates,
    corners_of,
    coverage,
    gather,
    lerp,
    ramp,
    ramp_slope,
    slopes,
)


def _sample_tangent(
    values: list[Tensor],
    tangents: list[Tensor] | None,
    corners: Corners,
    du: Tensor,
    dv: Tensor,
) -> Tensor:
    """Tangent of ``lerp``, (N, C, P), from its values' tangents and from the sample's motion."""
    along_x, along_y = slopes(values, corners)
    moved = along_x * du.flatten(1)[:, None] + along_y * dv.flatten(1)[:, None]
    return moved if tangents is None else moved + lerp(tangents, corners)


def blend_jvp(
    foreground_tangent: Tensor | None,
    mask_tangent: Tensor | None,
    background_tangent: Tensor | None,
    theta_tangent: Tensor | None,
    foreground: Tensor,
    mask: Tensor | None,
    background: Tensor,
    theta: Tensor,
    threshold: float,
    sigma: float,
    radius: int,
    straight_through: bool,
    return_alpha: bool,
) -> tuple[Tensor, Tensor]:
    """Tangents of ``blend``'s outputs, given those of its inputs; None is 0.

    An image whose theta is not finite has NaN in its tangents, as in its composite.
    """
    n, _, height, width = background.shape
    h, w = foreground.shape[2:]
    dtype = compute_dtype(background.dtype)
    taps = taps_of(sigma, radius, theta, (h, w), (height, width), dtype)
    radius = len(taps) - 1

    u, v, x, y = coordinates(theta, (h, w), (height, width), radius, dtype)
    du, dv = torch.zeros_like(u), torch.zeros_like(v)
    if theta_tangent is not None:
        scale = [w / width, w / height, w / 2, h / width, h / height, h / 2]
        factors = torch.tensor(scale, dtype=torch.float64, device=theta.device).reshape(2, 3)
        step = (theta_tangent.double() * factors).to(dtype)[..., None, None]
        du, dv = (step[:, k, 0] * x + step[:, k, 1] * y + step[:, k, 2] for k in (0, 1))

    # mask -> s -> alpha
    corners = corners_of(u, v, h, w)
    cover, m = coverage(mask, corners, (n, 1, *u.shape[1:]), dtype)
    floor = torch.tensor(threshold, dtype=dtype, device=m.device)
    alpha = blur(ramp(m, floor), taps)
    d_cover = None
    if mask_tangent is not None:
        d_cover = gather(mask_tangent.to(dtype), corners, outside_is_zero=True)
    d_m = _sample_tangent(cover, d_cover, corners, du, dv).view_as(m)
    if not straight_through:
        d_m = d_m * ramp_slope(m, floor)
    d_alpha = blur(d_m, taps)
    visible = alpha != 0

    # colour
    inner = (slice(None), slice(radius, radius + height), slice(radius, radius + width))
    iu, iv = u[inner], v[inner]
    corners = corners_of(*clamp_to_frame(iu, iv, h, w), h, w)
    colour = gather(foreground.to(dtype), corners, outside_is_zero=False)
    f = lerp(colour, corners).reshape(background.shape)
    d_colour = None
    if foreground_tangent is not None:
        d_colour = gather(foreground_tangent.to(dtype), corners, outside_is_zero=False)
    du = torch.where((iu >= 0) & (iu <= w - 1), du[inner], 0)
    dv = torch.where((iv >= 0) & (iv <= h - 1), dv[inner], 0)
    d_f = _sample_tangent(colour, d_colour, corners, du, dv).view_as(f)

    b = background.to(dtype)
    # Where alpha is 0 the colour may be anything, infinity included.
    contrast = torch.where(visible | f.isfinite(), f - b, 0)
    composite = d_alpha * contrast + torch.where(visible, alpha * d_f, 0)
    if background_tangent is not None:
        composite = composite + (1 - alpha) * background_tangent.to(dtype)
    finite = theta.isfinite().flatten(1).all(1)[:, None, None, None]
    composite = torch.where(finite, composite, torch.nan)
    composite = torch.empty_like(background).copy_(composite)
    if not return_alpha:
        return composite, background.new_empty(0)
    return composite, torch.where(finite, d_alpha, torch.nan).to(background.dtype).contiguous()
