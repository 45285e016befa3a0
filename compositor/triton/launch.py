"""Runs the op on Triton: allocates buffers and launches kernels, without waiting for any.

Everything a kernel needs is computed on the device, so a CUDA graph can capture both directions
once a first call has compiled and tuned them. The exception is a blur wider than the canvas: how
far it has to reach depends on theta, which is waited for.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from compositor.ops.reference import compute_dtype
from compositor.ops.sampling import reach_of
from compositor.triton.adjoint import pull_kernel, spread_kernel
from compositor.triton.backward import theta_kernel
from compositor.triton.device import MAP, TAPS, plan_kernel
from compositor.triton.rows import rows_kernel
from compositor.triton.tuning import (
    BACKWARD,
    EXACT,
    FLAT,
    FORWARD,
    LARGEST_HALO,
    halo_of,
    partial_tile,
    run_tuned,
    tiles,
)


def _on(tensor: Tensor) -> AbstractContextManager[Any]:
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


class _Plan:
    """What both directions launch first: each image's map, the taps, rows for very wide blurs."""

    def __init__(
        self,
        foreground: Tensor,
        mask: Tensor | None,
        background: Tensor,
        theta: Tensor,
        threshold: float,
        sigma: float,
        radius: int,
        straight_through: bool,
        gradients: tuple[Tensor | None, ...] = (),
    ) -> None:
        _check(foreground, mask, background, theta, gradients)
        self.n, self.channels, self.height, self.width = background.shape
        self.h, self.w = foreground.shape[2:]
        self.sizes = (self.h, self.w, self.height, self.width)
        self.dtype = compute_dtype(background.dtype)
        self.radius = radius
        if radius > LARGEST_HALO:
            # A power of two, because each radius compiles kernels of its own; and never so small
            # that the blur takes another path, so an image's bits do not depend on its batch.
            reach = reach_of(theta, (self.h, self.w), (self.height, self.width), radius)
            self.radius = min(radius, triton.next_power_of_2(max(reach, LARGEST_HALO + 1)))
        self.halo = halo_of(self.radius)
        self.mask, self.straight_through = mask, straight_through
        images = (foreground, mask, background, *gradients)
        wide = self.dtype == torch.float64
        self.options = {
            "RADIUS": self.radius,
            "T": tl.float64 if wide else tl.float32,
            "INDEX": tl.int32 if _fits_32_bits(self.radius, *images) else tl.int64,
            "MAP": MAP,
        }
        self.maps = theta.new_empty((self.n, MAP), dtype=self.dtype)
        self.constants = theta.new_empty(TAPS + radius + 1, dtype=self.dtype)
        plan_kernel[(self.n,)](
            theta, theta.stride(), self.maps, self.constants, *self.sizes, threshold, sigma,
            DIGITS=53 if wide else 24, RADIUS=radius, BLOCK=triton.next_power_of_2(radius + 1),
            MAP=MAP, TAPS=TAPS, **EXACT,
        )  # fmt: skip

    def grid(self, tile: dict[str, int]) -> tuple[int]:
        """Programs over the canvas."""
        return (self.n * tiles(self.height, self.width, tile, self.halo),)

    def blurred_rows(self, slopes: bool) -> Tensor | None:
        """Fields for the column pass if a tile has no room for the halo, otherwise None."""
        if self.radius == self.halo:
            return None
        grown = self.height + 2 * self.radius
        out = self.maps.new_empty((self.n, 5 if slopes else 1, grown, self.width))
        mask = out if self.mask is None else self.mask
        rows_kernel[(self.n * tiles(grown, self.width, FLAT),)](
            mask, mask.stride(), out, self.maps, self.constants, *self.sizes,
            SLOPES=slopes, STRAIGHT=self.straight_through, MASKED=self.mask is not None,
            TAPS=TAPS, **self.options, **FLAT, **EXACT,
        )  # fmt: skip
        return out

    def pull(self, field: Tensor, like: Tensor, clamped: bool) -> Tensor:
        """The adjoint of sampling ``like`` over the canvas, applied to ``field``."""
        out = torch.empty_like(like)
        channels = like.shape[1]
        at_once = min(4, triton.next_power_of_2(channels))
        groups = self.n * triton.cdiv(channels, at_once)
        pull_kernel[(groups * tiles(self.h, self.w, FLAT),)](
            field, out, out.stride(), self.maps, *self.sizes, channels,
            CLAMPED=clamped, CHANNELS=at_once, **self.options, **FLAT, **EXACT,
        )  # fmt: skip
        return out


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
    """As ``compositor.ops.reference.blend``."""
    n, _, height, width = background.shape
    composite = torch.empty_like(background)
    alpha = background.new_empty((n, 1, height, width) if return_alpha else (0,))
    if n == 0:
        return composite, alpha
    with _on(background):
        plan = _Plan(
            foreground, mask, background, theta, threshold, sigma, radius, straight_through
        )
        cover = background if mask is None else mask
        run_tuned(
            FORWARD, plan.grid, foreground, foreground.stride(), cover, cover.stride(),
            background, background.stride(), composite, composite.stride(),
            alpha if return_alpha else None, plan.maps, plan.constants, plan.blurred_rows(False),
            *plan.sizes, plan.channels, MASKED=mask is not None, TAPS=TAPS, **plan.options,
        )  # fmt: skip
    return composite, alpha


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
    """As ``compositor.ops.reference.blend_backward``."""
    mask_grad = mask_grad and mask is not None
    d_foreground = background.new_empty(0)
    d_mask = background.new_empty(0)
    d_background = torch.empty_like(background) if background_grad else background.new_empty(0)
    d_theta = torch.empty_like(theta) if theta_grad else theta.new_empty(0)
    if background.shape[0] == 0:
        if foreground_grad:
            d_foreground = torch.empty_like(foreground)
        if mask is not None and mask_grad:
            d_mask = torch.empty_like(mask)
        return d_foreground, d_mask, d_background, d_theta
    with _on(background):
        plan = _Plan(
            foreground, mask, background, theta, threshold, sigma, radius, straight_through,
            (grad_composite, grad_alpha),
        )  # fmt: skip
        canvas = (plan.n, 1, plan.height, plan.width)
        count = tiles(plan.height, plan.width, partial_tile(plan.radius), plan.halo)
        new = plan.maps.new_empty
        colour_weight = new(background.shape) if foreground_grad else None
        d_alpha = new(canvas) if mask_grad else None
        partial = new((plan.n, count, 6)) if theta_grad else None
        cover = background if mask is None else mask
        from_alpha = grad_composite if grad_alpha is None else grad_alpha
        run_tuned(
            BACKWARD, plan.grid, grad_composite, grad_composite.stride(),
            grad_alpha, from_alpha.stride(), foreground, foreground.stride(), cover, cover.stride(),
            background, background.stride(), d_background if background_grad else None,
            d_background.stride(), colour_weight, d_alpha, partial, plan.maps, plan.constants,
            plan.blurred_rows(theta_grad), *plan.sizes, plan.channels,
            STRAIGHT=straight_through, MASKED=mask is not None, TAPS=TAPS, **plan.options,
        )  # fmt: skip
        if partial is not None:
            theta_kernel[(plan.n,)](
                partial, d_theta, d_theta.stride(), plan.maps, *plan.sizes, count,
                MAP=MAP, BLOCK=128, **EXACT,
            )  # fmt: skip
        if colour_weight is not None:
            d_foreground = plan.pull(colour_weight, foreground, True)
        if d_alpha is not None and mask is not None:
            grown = plan.height + 2 * plan.radius, plan.width + 2 * plan.radius
            to_mask = new((plan.n, 1, *grown))
            spread_kernel[(plan.n * tiles(*grown, FLAT),)](
                d_alpha, mask, mask.stride(), to_mask, plan.maps, plan.constants, *plan.sizes,
                STRAIGHT=straight_through, TAPS=TAPS, **plan.options, **FLAT, **EXACT,
            )  # fmt: skip
            d_mask = plan.pull(to_mask, mask, False)
    return d_foreground, d_mask, d_background, d_theta


def _fits_32_bits(radius: int, *images: Tensor | None) -> bool:
    """Whether offsets within one plane, of an image or a buffer, fit 32 bits."""
    for image in images:
        if image is None:
            continue
        grown = (image.shape[2] + 2 * radius) * (image.shape[3] + 2 * radius)
        last = (image.shape[2] + 1) * image.stride(2) + (image.shape[3] + 1) * image.stride(3)
        if max(grown, last) >= 2**31:
            return False
    return True


def _check(
    foreground: Tensor,
    mask: Tensor | None,
    background: Tensor,
    theta: Tensor,
    gradients: tuple[Tensor | None, ...],
) -> None:
    """Repeat the checks of ``compositor.blend`` for direct callers of the op."""
    if foreground.dim() != 4 or background.dim() != 4:
        raise RuntimeError("compositor.blend: wanted (N, C, height, width) images")
    n, channels, h, w = foreground.shape
    canvas = background.shape[2:]
    wanted = {
        "mask": (mask, (n, 1, h, w)),
        "background": (background, (n, channels, *canvas)),
        "theta": (theta, (n, 2, 3)),
        **{
            name: (gradient, (n, c, *canvas))
            for name, gradient, c in zip(
                ("grad_composite", "grad_alpha"), gradients, (channels, 1), strict=False
            )
        },
    }
    for name, (tensor, shape) in wanted.items():
        if tensor is None:
            continue
        alike = name == "theta" or tensor.dtype == foreground.dtype
        if tensor.shape != shape or tensor.device != foreground.device or not alike:
            raise RuntimeError(f"compositor.blend: {name} does not fit the other arguments")
    if min(h, w, channels, *canvas) == 0:
        raise RuntimeError("compositor.blend: wanted no empty dimension but N")
