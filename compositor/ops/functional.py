"""``blend``: checks its arguments, chooses a backend, calls one op."""

from __future__ import annotations

import math
from typing import Literal, overload

import torch
from torch import Tensor

from compositor import _arguments, _extension, triton
from compositor.ops import layers_registration, registration
from compositor.ops.reference import compute_dtype

BACKENDS = ("reference", "cpu", "cuda", "triton")
# Where is_autocast_enabled raises; PyTorch 2.11 cannot compile torch.amp.is_autocast_available.
_WITHOUT_AUTOCAST = ("meta", "lazy", "vulkan")
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
    threshold: float = _arguments.PAPER_THRESHOLD,
    sigma: float = 1.0,
    radius: int | None = None,
    mask_grad: MaskGrad = "straight_through",
    return_alpha: bool = False,
    backend: str | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Paste affinely warped, masked foregrounds on backgrounds (paper, sections 3.1 and A.2).

    One fused, differentiable operation: it warps colours and mask bilinearly, makes the resampled
    mask binary again by a threshold-ReLU, blurs its edge by a Gaussian, and blends by alpha. The
    mask is zero outside its frame while colours are clamped to theirs, so that black never bleeds
    in. The mask is evaluated beyond the canvas too, so that an object cut by the canvas keeps its
    full alpha there. Where alpha is 0 the composite is the background bit for bit.

    Gradients flow to foreground, mask, background and theta, in forward mode too; only those
    needed are computed. There are no second derivatives. Images of bytes are computed in float32
    and rounded once, half to even; they have no gradient and no alpha.

    Args:
        foreground: Colours, (N, C, h, w), float64, float32, bfloat16, float16 or uint8.
        mask: Coverage in [0, 1] or, of bytes, 0 to 255, (N, 1, h, w), of the foreground's dtype or
            bool; None for the whole foreground frame.
        background: The canvas, (N, C, H, W), of the foreground's dtype.
        theta: Affine maps, (N, 2, 3), float32 or float64, from output (canvas) to input
            (foreground), in normalised coordinates with pixel centres at (2 j + 1) / W - 1, as
            taken by ``torch.nn.functional.affine_grid`` with ``align_corners=False``.
            :mod:`compositor.affine` makes them. A map that is not finite gives NaN in its own
            image, or bytes of its background, and affects no other.
        threshold: In [0, 1). Mask samples from the threshold to 1 are scaled to [0, 1]; lower ones
            count as 0, higher ones as 1. The paper's 1 - 1e-7 makes the mask binary; 0 leaves it
            unchanged.
        sigma: Standard deviation of the blur in canvas pixels; 0 turns it off.
        radius: Reach of the blur in pixels; None means ``ceil(3 * sigma)``.
        mask_grad: The derivative used for the threshold-ReLU: "straight_through" takes 1, so that
            the silhouette moves theta; "exact" takes the true one, which is zero almost everywhere
            at the paper's threshold.
        return_alpha: Also return alpha, (N, 1, H, W). Of bytes, :func:`compositor.render` returns
            labels instead.
        backend: "reference", "cpu", "cuda" or "triton"; None lets the dispatcher choose by
            device. A named backend is used, or an error is raised.

    Returns:
        The composite, (N, C, H, W), of the background's dtype and memory format, or the pair
        (composite, alpha); plain tensors, even if the inputs are subclasses.

    Raises:
        TypeError: An argument is not a tensor, or its dtype is not one of those above.
        ValueError: A shape, device or option is not as above, the backend is unknown, or a gradient
            is asked for through bytes.
        RuntimeError: The named backend is not available, or does not run on this device.
    """
    # Subclasses such as torchvision's Image and Mask refuse to be mixed in one call.
    with torch._C.DisableTorchFunctionSubclass():
        given = foreground, mask, background, theta
        in_bytes = all(getattr(t, "dtype", None) == torch.uint8 for t in (foreground, background))
        given = _prepare_bytes(*given) if in_bytes else prepare(*given)
        foreground, mask, background, theta = given
        threshold = _arguments.threshold(threshold, compute_dtype(background.dtype))
        sigma = _arguments.blur(sigma)
        reach = math.ceil(3 * sigma) if radius is None else _arguments.radius(radius)
        reach = reach if sigma > 0 else 0
        _arguments.choices(mask_grad, "return_alpha", return_alpha)
        overload, straight_through = select(backend, background.device), mask_grad != "exact"
        if in_bytes:
            if return_alpha:
                raise ValueError(
                    "return_alpha: got True, wanted False for uint8 images; compositor.render"
                    " returns labels"
                )
            # One layer each.
            each = torch.arange(len(theta), device="cpu")
            in_levels: Tensor = getattr(layers_registration.render, overload)(
                [foreground],
                None if mask is None else [mask],
                background,
                theta,
                each,
                each,
                None,
                None,
                torch.full((len(theta),), sigma, dtype=torch.float64, device="cpu"),
                threshold,
                reach,
                straight_through,
                False,
            )[0]
            return in_levels
        composite, alpha = getattr(registration.blend, overload)(
            *given, threshold, sigma, reach, straight_through, return_alpha
        )
    return (composite, alpha) if return_alpha else composite


def _prepare_bytes(
    foreground: Tensor, mask: Tensor | None, background: Tensor, theta: Tensor
) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
    """As :func:`prepare`, images of bytes."""
    if mask is not None:
        mask = _arguments.mask("mask", mask, torch.uint8)
    _check_tensors(foreground, mask, background, theta, ("foreground", "mask", "background"))
    refuse_gradients({"theta": theta})
    return foreground, mask, background, theta


def refuse_gradients(given: dict[str, Tensor | None]) -> None:
    """Raise if a gradient is asked for through images of bytes."""
    for name, tensor in given.items():
        if tensor is not None and tensor.requires_grad and torch.is_grad_enabled():
            raise ValueError(
                f"{name}: got a tensor that requires a gradient, wanted none for uint8 images,"
                " which have no gradient"
            )


def prepare(
    foreground: Tensor,
    mask: Tensor | None,
    background: Tensor,
    theta: Tensor,
    names: tuple[str, str, str] = ("foreground", "mask", "background"),
) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
    """Check and convert the op's tensors; errors use the caller's names for the images."""
    foreground = _arguments.image(names[0], foreground)
    if mask is not None:
        mask = _arguments.mask(names[1], mask, foreground.dtype)
    background = _arguments.image(names[2], background)
    given = _autocast(foreground, mask, background, theta)
    _check_tensors(*given, names)
    return given


def _autocast(
    foreground: Tensor, mask: Tensor | None, background: Tensor, theta: Tensor
) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
    """Under autocast, convert the images to their widest dtype and theta to at least float32."""
    if not under_autocast(foreground.device):
        return foreground, mask, background, theta
    given = (foreground, background, theta, *(() if mask is None else (mask,)))
    # The checks that follow refuse anything but floating-point tensors.
    if not all(isinstance(t, Tensor) and t.is_floating_point() for t in given):
        return foreground, mask, background, theta
    widest = torch.promote_types(foreground.dtype, background.dtype)
    if mask is not None:
        widest = torch.promote_types(widest, mask.dtype)
        mask = mask.to(widest)
    theta = theta.to(torch.promote_types(theta.dtype, torch.float32))
    return foreground.to(widest), mask, background.to(widest), theta


def under_autocast(device: torch.device) -> bool:
    """Whether autocast chooses the dtypes on a device."""
    return device.type not in _WITHOUT_AUTOCAST and torch.is_autocast_enabled(device.type)


def _check_tensors(
    foreground: Tensor,
    mask: Tensor | None,
    background: Tensor,
    theta: Tensor,
    names: tuple[str, str, str],
) -> None:
    first, second, third = names
    owner = f"{first}'" if first.endswith("s") else f"{first}'s"
    images = {first: foreground, second: mask, third: background}
    for name, tensor in images.items():
        if tensor is None:
            continue
        if tensor.dim() != 4:
            raise ValueError(
                f"{name}: got shape {tuple(tensor.shape)}, wanted (N, C, height, width)"
            )
        if tensor.dtype != foreground.dtype:
            raise TypeError(
                f"{name}: got {tensor.dtype}, wanted {owner} {foreground.dtype};"
                f" convert with {name}.to({first}.dtype)"
            )
        if min(tensor.shape[1:]) == 0:
            raise ValueError(f"{name}: got shape {tuple(tensor.shape)}, wanted no empty dimension")
    n, channels, h, w = foreground.shape
    if background.shape[:2] != (n, channels):
        raise ValueError(
            f"{third}: got shape {tuple(background.shape)}, wanted {owner} batch and"
            f" channels, ({n}, {channels}, H, W)"
        )
    if mask is not None and mask.shape != (n, 1, h, w):
        raise ValueError(f"{second}: got shape {tuple(mask.shape)}, wanted {(n, 1, h, w)}")
    if _arguments.precise("theta", theta).shape != (n, 2, 3):
        raise ValueError(f"theta: got shape {tuple(theta.shape)}, wanted {(n, 2, 3)}")
    for name, tensor in ((second, mask), (third, background), ("theta", theta)):
        if tensor is not None and tensor.device != foreground.device:
            raise ValueError(
                f"{name}: got device {tensor.device}, wanted {owner} {foreground.device}"
            )


def select(backend: str | None, device: torch.device) -> str:
    """Return the op's overload for a backend."""
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
    return backend if backend in ("reference", "triton") else "default"
