"""The operation in plain PyTorch: the truth every kernel is tested against.

``blend`` is written for reading, not for speed, and is differentiable by PyTorch's own autograd.
``blend_backward`` spells the same derivatives out; the dispatcher uses it, as it uses ``blend``,
on any device without a kernel of its own, and the tests hold it against autograd in float64.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

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
    reach_of,
    slopes,
)


def compute_dtype(images: torch.dtype) -> torch.dtype:
    """Return the type of coordinates, weights and sums: float64 for float64, else float32."""
    return torch.float64 if images == torch.float64 else torch.float32


def gaussian_taps(sigma: float, radius: int, dtype: torch.dtype) -> list[float]:
    """Return the taps ``[g(0), ..., g(radius)]`` of the normalised Gaussian.

    The outer taps are rounded to multiples of half an ulp of 1 and the centre takes the rest, so
    every partial sum is exact: where the mask is 1 all around, alpha is exactly 1.
    """
    offsets = torch.arange(radius + 1, dtype=torch.float64, device="cpu")
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2) if sigma > 0 else (offsets == 0).double()
    weights = weights / (2 * weights.sum() - weights[0])
    grid = 2.0 ** (24 if dtype == torch.float32 else 53)
    outer = torch.round(weights[1:] * grid) / grid
    return [float(1 - 2 * outer.sum()), *outer.tolist()]


def taps_of(
    sigma: float,
    radius: int,
    theta: Tensor,
    source: tuple[int, int],
    canvas: tuple[int, int],
    dtype: torch.dtype,
) -> list[float]:
    """Return those of :func:`gaussian_taps` that can meet the frame."""
    taps = gaussian_taps(sigma, radius, dtype)
    return taps[: reach_of(theta, source, canvas, radius) + 1]


def blend(
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
    """Composite the foreground onto the background; see :func:`compositor.blend`.

    Returns:
        The composite, (N, C, H, W), laid out as the background is, and alpha, (N, 1, H, W), or an
        empty tensor where it was not asked for.
    """
    n, _, height, width = background.shape
    h, w = foreground.shape[2:]
    dtype = compute_dtype(background.dtype)
    taps = taps_of(sigma, radius, theta, (h, w), (height, width), dtype)
    radius = len(taps) - 1

    u, v, _, _ = coordinates(theta, (h, w), (height, width), radius, dtype)
    _, m = coverage(mask, corners_of(u, v, h, w), (n, 1, *u.shape[1:]), dtype)
    floor = torch.tensor(threshold, dtype=dtype, device=m.device)
    s = ramp(m, floor)
    if straight_through:
        s = s.detach() + (m - m.detach()).nan_to_num()  # also where m is infinite
    alpha = blur(s, taps)

    inner = (slice(None), slice(radius, radius + height), slice(radius, radius + width))
    corners = corners_of(*clamp_to_frame(u[inner], v[inner], h, w), h, w)
    colour = gather(foreground.to(dtype), corners, outside_is_zero=False)
    f = lerp(colour, corners).reshape(background.shape)

    b = background.to(dtype)
    # Where alpha is 0 the colour may be anything, infinity included; it must not enter the sum.
    f = torch.where((alpha == 0) & ~f.isfinite(), b, f)
    composite = alpha * f + (1 - alpha) * b
    with torch.no_grad():  # the same value, but for the sign of a zero; the gradient stays
        composite.copy_(torch.where(alpha == 0, b, composite))
    finite = theta.isfinite().flatten(1).all(1)[:, None, None, None]
    composite = torch.where(finite, composite, torch.nan).to(background.dtype)
    composite = torch.empty_like(background).copy_(composite)
    if not return_alpha:
        return composite, background.new_empty(0)
    return composite, torch.where(finite, alpha, torch.nan).to(background.dtype).contiguous()


def _bilinear_backward(
    grad: Tensor, values: list[Tensor], corners: Corners
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Gradients of ``lerp``: of the four corner values (N, C, P), of u and of v (N, P)."""
    tx, ty = (t[:, None] for t in corners.weight)
    left, right = grad * (1 - tx), grad * tx
    to_values = [left * (1 - ty), right * (1 - ty), left * ty, right * ty]
    along_x, along_y = slopes(values, corners)
    return to_values, (grad * along_x).sum(1), (grad * along_y).sum(1)


def _scatter(image: Tensor, grads: list[Tensor], corners: Corners) -> Tensor:
    """Adjoint of ``gather``: the corners' gradients summed per pixel of ``image``, (N, C, h w)."""
    n, c, h, w = image.shape
    total = grads[0].new_zeros((n, c, h * w))
    for grad, index in zip(grads, corners.at, strict=True):
        total.scatter_add_(2, index[:, None].expand(-1, c, -1), grad)
    return total


def _theta_gradient(du: Tensor, dv: Tensor, x: Tensor, y: Tensor, scale: list[float]) -> Tensor:
    """Sum the coordinate gradients against (x, y, 1); ``scale`` is d(u, v)/d(theta) per column."""
    moments = [
        torch.stack([(d * x).sum((1, 2)), (d * y).sum((1, 2)), d.sum((1, 2))], -1) for d in (du, dv)
    ]
    factors = torch.tensor(scale, dtype=du.dtype, device=du.device).reshape(2, 3)
    return torch.stack(moments, 1) * factors


def blend_backward(
    grad_composite: Tensor,
    grad_alpha: Tensor | None,
    foreground: Tensor,
    mask: Tensor | None,
    background: Tensor,
    theta: Tensor,
    threshold: float,
    sigma: float,
    radius: int,
    straight_through: bool,
    foreground_grad: bool,
    mask_grad: bool,
    background_grad: bool,
    theta_grad: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of ``blend`` for (foreground, mask, background, theta); empty if not requested.

    An image whose theta is not finite has NaN in each of its gradients, as in its composite.
    """
    n, _, height, width = background.shape
    h, w = foreground.shape[2:]
    dtype = compute_dtype(background.dtype)
    taps = taps_of(sigma, radius, theta, (h, w), (height, width), dtype)
    radius = len(taps) - 1
    grad = grad_composite.to(dtype)

    # alpha, as forward
    u, v, x, y = coordinates(theta, (h, w), (height, width), radius, dtype)
    mask_corners = corners_of(u, v, h, w)
    cover, m = coverage(mask, mask_corners, (n, 1, *u.shape[1:]), dtype)
    floor = torch.tensor(threshold, dtype=dtype, device=m.device)
    alpha = blur(ramp(m, floor), taps)
    visible = alpha != 0

    # colour: f, and the gradient of its sample
    inner = (slice(None), slice(radius, radius + height), slice(radius, radius + width))
    iu, iv = u[inner], v[inner]
    corners = corners_of(*clamp_to_frame(iu, iv, h, w), h, w)
    colour = gather(foreground.to(dtype), corners, outside_is_zero=False)
    f = lerp(colour, corners).reshape(background.shape)
    grad_f = torch.where(visible, alpha * grad, 0).flatten(2)
    # Where alpha is 0 the colour may be anything, infinity included; 0 * inf must not reach theta.
    shown = visible.flatten(2)
    colour = [torch.where(shown, p, 0) for p in colour]
    to_colour, du_f, dv_f = _bilinear_backward(grad_f, colour, corners)
    du_f = torch.where((iu >= 0) & (iu <= w - 1), du_f.view_as(iu), 0)
    dv_f = torch.where((iv >= 0) & (iv <= h - 1), dv_f.view_as(iv), 0)

    # alpha -> s -> m
    b = background.to(dtype)
    contrast = torch.where(visible | f.isfinite(), f - b, 0)
    grad_a = (grad * contrast).sum(1, keepdim=True)
    if grad_alpha is not None:
        grad_a = grad_a + grad_alpha.to(dtype)
    grad_m = blur(pad(grad_a, [2 * radius] * 4), taps)
    if not straight_through:
        grad_m = grad_m * ramp_slope(m, floor)
    to_cover, du_m, dv_m = _bilinear_backward(grad_m.flatten(2), cover, mask_corners)

    finite = theta.isfinite().flatten(1).all(1)

    def finish(value: Tensor, like: Tensor) -> Tensor:
        keep = finite.reshape(-1, *[1] * (like.dim() - 1))
        value = torch.where(keep, value.reshape(like.shape), torch.nan)
        return torch.empty_like(like).copy_(value)

    d_foreground, d_mask, d_background = (background.new_empty(0) for _ in range(3))
    d_theta = theta.new_empty(0)
    if foreground_grad:
        d_foreground = finish(_scatter(foreground, to_colour, corners), foreground)
    if mask_grad and mask is not None:
        to_cover = [
            torch.where(ok[:, None], grad, 0)
            for grad, ok in zip(to_cover, mask_corners.valid, strict=True)
        ]
        d_mask = finish(_scatter(mask, to_cover, mask_corners), mask)
    if background_grad:
        d_background = finish((1 - alpha) * grad, background)
    if theta_grad:
        du, dv = du_m.view_as(u), dv_m.view_as(v)
        du[inner] += du_f
        dv[inner] += dv_f
        scale = [w / width, w / height, w / 2, h / width, h / height, h / 2]
        d_theta = finish(_theta_gradient(du, dv, x, y, scale), theta)
    return d_foreground, d_mask, d_background, d_theta
