"""The public face of the operation: arguments checked, a backend chosen, one op called."""

from __future__ import annotations

import math
from typing import Literal, overload

import torch
from torch import Tensor

from compositor import _extension, triton
from compositor.ops import registration
from compositor.ops.reference import compute_dtype

IMAGE_DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
BACKENDS = ("reference", "cpu", "cuda", "triton")
MaskGrad = Literal["straight_through", "exact"]


@overload
def blend(
    foreground: Tensor,
    mask: Tensor | None,
    background: Tensor,
    theta: Tensor,
    *,
    threshold: float = ...,
    sigma: float = ...,
    radius: int | None = ...,
    mask_grad: MaskGrad = ...,
    return_alpha: Literal[False] = ...,
    backend: str | None = ...,
) -> Tensor: ...
@overload
def blend(
    foreground: Tensor,
    mask: Tensor | None,
    background: Tensor,
    theta: Tensor,
    *,
    threshold: float = ...,
    sigma: float = ...,
    radius: int | None = ...,
    mask_grad: MaskGrad = ...,
    return_alpha: Literal[True],
    backend: str | None = ...,
) -> tuple[Tensor, Tensor]: ...
@overload
def blend(
    foreground: Tensor,
    mask: Tensor | None,
    background: Tensor,
    theta: Tensor,
    *,
    threshold: float = ...,
    sigma: float = ...,
    radius: int | None = ...,
    mask_grad: MaskGrad = ...,
    return_alpha: bool,
    backend: str | None = ...,
) -> Tensor | tuple[Tensor, Tensor]: ...
def blend(
    foreground: Tensor,
    mask: Tensor | None,
    background: Tensor,
    theta: Tensor,
    *,
    threshold: float = 1 - 1e-7,
    sigma: float = 1.0,
    radius: int | None = None,
    mask_grad: MaskGrad = "straight_through",
    return_alpha: bool = False,
    backend: str | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Paste affinely warped, masked foregrounds on backgrounds (paper, sections 3.1 and A.2).

    One fused, differentiable operation: bilinear warp of colours and mask, threshold-ReLU that
    turns the resampled mask binary again, Gaussian blur of its edge, alpha blend. The mask is zero
    outside its frame and the colours are clamped to theirs, so colours never bleed black; the mask
    is evaluated beyond the canvas too, so an object cut by the canvas keeps its full alpha there.
    Where alpha is 0 the composite is the background bit for bit.

    Gradients flow to foreground, mask, background and theta; only those asked for are computed.

    Args:
        foreground: Colours, (N, C, h, w), float64, float32, bfloat16 or float16.
        mask: Coverage in [0, 1], (N, 1, h, w), of the foreground's dtype, or None for the whole
            foreground frame.
        background: The canvas, (N, C, H, W), of the foreground's dtype.
        theta: Affine maps, (N, 2, 3), float32 or float64, from output (canvas) to input
            (foreground), in normalised coordinates with pixel centres at (2 j + 1) / W - 1: what
            ``torch.nn.functional.affine_grid`` takes with ``align_corners=False``.
            :mod:`compositor.affine` makes them. A map that is not finite gives NaN in its own
            image and touches no other.
        threshold: In [0, 1). Mask samples from there to 1 are scaled to 0 to 1; below they count
            as 0, above 1 as 1. The paper's 1 - 1e-7 gives a binary mask, 0 the mask as it is.
        sigma: Standard deviation of the blur in canvas pixels; 0 turns it off.
        radius: Reach of the blur in pixels; None means ``ceil(3 * sigma)``.
        mask_grad: What the derivative of the threshold-ReLU counts as: "straight_through" is 1,
            so the silhouette moves theta; "exact" is the true one, zero almost everywhere at the
            paper's threshold.
        return_alpha: Also return alpha, (N, 1, H, W).
        backend: "reference", "cpu", "cuda" or "triton"; None lets the dispatcher choose by
            device. A backend asked for by name serves or raises.

    Returns:
        The composite, (N, C, H, W), of the background's dtype and memory format, or the pair
        (composite, alpha).

    Raises:
        TypeError: An argument is no tensor, or its dtype is not one of those above.
        ValueError: A shape, device or option is not as above, or the backend is unknown.
        RuntimeError: The backend asked for is not there, or cannot serve this device.
    """
    foreground, mask, background, theta = _autocast(foreground, mask, background, theta)
    _check_tensors(foreground, mask, background, theta)
    reach = _check_options(threshold, sigma, radius, mask_grad, background.dtype)
    composite, alpha = registration.call(
        _select(backend, background.device),
        foreground,
        mask,
        background,
        theta,
        float(threshold),
        float(sigma),
        reach,
        mask_grad == "straight_through",
        return_alpha,
    )
    return (composite, alpha) if return_alpha else composite


def _autocast(
    foreground: Tensor, mask: Tensor | None, background: Tensor, theta: Tensor
) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
    """Under autocast, bring the images to their widest dtype and theta to float32 at least."""
    given = (foreground, background, theta, *(() if mask is None else (mask,)))
    # Anything but floating-point tensors is for the checks that follow to refuse.
    if not all(isinstance(t, Tensor) and t.is_floating_point() for t in given):
        return foreground, mask, background, theta
    device = foreground.device.type
    if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
        return foreground, mask, background, theta
    widest = torch.promote_types(foreground.dtype, background.dtype)
    if mask is not None:
        widest = torch.promote_types(widest, mask.dtype)
        mask = mask.to(widest)
    theta = theta.to(torch.promote_types(theta.dtype, torch.float32))
    return foreground.to(widest), mask, background.to(widest), theta


def _check_tensors(
    foreground: Tensor, mask: Tensor | None, background: Tensor, theta: Tensor
) -> None:
    images = {"foreground": foreground, "mask": mask, "background": background}
    for name, tensor in (*images.items(), ("theta", theta)):
        if tensor is None and name == "mask":
            continue
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name}: got {type(tensor).__name__}, wanted a tensor")
        if name == "theta":
            continue
        if tensor.dtype not in IMAGE_DTYPES:
            raise TypeError(
                f"{name}: got {tensor.dtype}, wanted float64, float32, bfloat16 or float16;"
                " convert integer images with .float() / 255"
            )
        if tensor.dim() != 4:
            raise ValueError(
                f"{name}: got shape {tuple(tensor.shape)}, wanted (N, C, height, width)"
            )
        if tensor.dtype != foreground.dtype:
            raise TypeError(f"{name}: got {tensor.dtype}, wanted foreground's {foreground.dtype}")
        if min(tensor.shape[1:]) == 0:
            raise ValueError(f"{name}: got shape {tuple(tensor.shape)}, wanted no empty dimension")
    n, channels, h, w = foreground.shape
    if background.shape[:2] != (n, channels):
        raise ValueError(
            f"background: got shape {tuple(background.shape)}, wanted foreground's batch and"
            f" channels, ({n}, {channels}, H, W)"
        )
    if mask is not None and mask.shape != (n, 1, h, w):
        raise ValueError(f"mask: got shape {tuple(mask.shape)}, wanted {(n, 1, h, w)}")
    if theta.shape != (n, 2, 3):
        raise ValueError(f"theta: got shape {tuple(theta.shape)}, wanted {(n, 2, 3)}")
    if theta.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"theta: got {theta.dtype}, wanted float32 or float64")
    for name, tensor in (("mask", mask), ("background", background), ("theta", theta)):
        if tensor is not None and tensor.device != foreground.device:
            raise ValueError(
                f"{name}: got device {tensor.device}, wanted foreground's {foreground.device}"
            )


def _check_options(
    threshold: float, sigma: float, radius: int | None, mask_grad: str, dtype: torch.dtype
) -> int:
    """Check what is not a tensor; return the radius in pixels."""
    # It is rounded to the computation type, where 1 - 1e-9 is 1 and would divide by zero.
    one = 1 if compute_dtype(dtype) == torch.float64 else 1 - 2**-25
    if not 0 <= threshold < one:
        raise ValueError(
            f"threshold: got {threshold}, wanted a number in [0, 1) after rounding to"
            f" {compute_dtype(dtype)}"
        )
    if not 0 <= sigma < math.inf:
        raise ValueError(f"sigma: got {sigma}, wanted a finite number of pixels, 0 or more")
    if radius is not None and (not isinstance(radius, int) or radius < 0):
        raise ValueError(f"radius: got {radius}, wanted None or an integer, 0 or more")
    if mask_grad not in ("straight_through", "exact"):
        raise ValueError(f"mask_grad: got {mask_grad!r}, wanted 'straight_through' or 'exact'")
    if sigma == 0:
        return 0
    return math.ceil(3 * sigma) if radius is None else radius


def _select(backend: str | None, device: torch.device) -> str:
    """Return the op's overload that serves the backend asked for."""
    if backend is not None and backend not in BACKENDS:
        raise ValueError(f"backend: got {backend!r}, wanted None or one of {BACKENDS}")
    if backend in ("cpu", "cuda"):
        _extension.require(backend)
        if device.type != backend:
            raise RuntimeError(
                f"backend: got {backend!r} for tensors on {device}, wanted them on {backend}"
            )
    if backend == "triton":
        _extension.require("triton")
        if device.type != "cuda" and not (device.type == "cpu" and triton.interpreted()):
            raise RuntimeError(
                f"backend: got 'triton' for tensors on {device}, wanted them on cuda"
            )
    return f"blend.{backend}" if backend in ("reference", "triton") else "blend"
