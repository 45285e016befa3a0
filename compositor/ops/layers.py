"""``render``: many objects on many canvases in one call, with the labels of what can be seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, overload

import torch
from torch import Tensor

from compositor import _arguments
from compositor.ops import functional, layers_registration
from compositor.ops.functional import MaskGrad
from compositor.ops.reference import compute_dtype


class Labels(NamedTuple):
    """What :func:`render` shows of its L layers on N canvases; no gradient reaches it.

    Attributes:
        owner: (N, H, W) int32: of each pixel the topmost layer whose alpha there is above 0.5, -1
            where there is none. ``owner[image] == layer`` is a layer's mask after occlusion.
        boxes: (L, 4) float32: (x1, y1, x2, y2) around the pixels that a layer owns, right and
            bottom exclusive; zeros where it owns none.
        area: (L,) int64: the pixels that a layer owns.
        covered: (L,) int64: its pixels above 0.5 on the canvas before later layers. ``1 - area /
            covered`` is how much of it they hide.
    """

    owner: Tensor
    boxes: Tensor
    area: Tensor
    covered: Tensor


@overload
def render(
    background: Tensor,
    foreground: Tensor | Sequence[Tensor],
    mask: Tensor | Sequence[Tensor] | None,
    theta: Tensor,
    *,
    image: Tensor | None = ...,
    source: Tensor | None = ...,
    gain: Tensor | None = ...,
    bias: Tensor | None = ...,
    threshold: float = ...,
    sigma: float | Tensor = ...,
    radius: int | None = ...,
    mask_grad: MaskGrad = ...,
    return_labels: Literal[False] = ...,
    backend: str | None = ...,
) -> Tensor: ...
@overload
def render(
    background: Tensor,
    foreground: Tensor | Sequence[Tensor],
    mask: Tensor | Sequence[Tensor] | None,
    theta: Tensor,
    *,
    image: Tensor | None = ...,
    source: Tensor | None = ...,
    gain: Tensor | None = ...,
    bias: Tensor | None = ...,
    threshold: float = ...,
    sigma: float | Tensor = ...,
    radius: int | None = ...,
    mask_grad: MaskGrad = ...,
    return_labels: Literal[True],
    backend: str | None = ...,
) -> tuple[Tensor, Labels]: ...
def render(
    background: Tensor,
    foreground: Tensor | Sequence[Tensor],
    mask: Tensor | Sequence[Tensor] | None,
    theta: Tensor,
    *,
    image: Tensor | None = None,
    source: Tensor | None = None,
    gain: Tensor | None = None,
    bias: Tensor | None = None,
    threshold: float = _arguments.PAPER_THRESHOLD,
    sigma: float | Tensor = 1.0,
    radius: int | None = None,
    mask_grad: MaskGrad = "straight_through",
    return_labels: bool = False,
    backend: str | None = None,
) -> Tensor | tuple[Tensor, Labels]:
    """Paste layers on canvases, each layer as :func:`compositor.blend` pastes its foreground.

    The layers of a canvas are pasted in their order in ``theta``, the last on top. With one layer
    a canvas in order this is ``blend``; a canvas without a layer is its background bit for bit.

    Gradients flow to background, foreground, mask, theta, gain and bias. Images of bytes are
    computed in float32 through all layers and rounded once, half to even; they have no gradient.

    Args:
        background: The canvases, (N, C, H, W), float64, float32, bfloat16, float16 or uint8.
        foreground: Colours of K cut-outs, (K, C, h, w), or K tensors (C, h, w) of sizes of their
            own, of the background's dtype.
        mask: Their coverage, (K, 1, h, w) or K tensors (1, h, w), in [0, 1] or, of bytes, 0 to 255;
            bool, too. None: each whole frame.
        theta: Affine maps, (L, 2, 3), float32 or float64, layer by layer, from the canvas to the
            frame of its cut-out, as ``blend`` takes them.
        image: (L,) int64: the canvas of each layer. None: one each, in order.
        source: (L,) int64: the cut-out of each layer. None: one each, in order.
        gain: (L, C), float32 or float64, of each layer's colours f: what is pasted is
            ``gain * f + bias``. None: 1.
        bias: (L, C), likewise, in units of 1, of bytes of 255. None: 0.
        threshold: As of ``blend``.
        sigma: As of ``blend``, for all layers or, (L,), for each.
        radius: As of ``blend``; None means ``ceil(3 * sigma)`` of each layer.
        mask_grad: As of ``blend``.
        return_labels: Also return :class:`Labels`.
        backend: As of ``blend``.

    Returns:
        The composite, (N, C, H, W), of the background's dtype and memory format, or the pair
        (composite, labels). A map that is not finite gives NaN on its whole canvas; of bytes, which
        have no NaN, its layer is left out.

    Raises:
        TypeError: An argument is no tensor, or its dtype is not one of those above.
        ValueError: A shape, index, device or option is not as above, or a gradient is asked for
            through bytes.
        RuntimeError: The backend asked for is not there, or cannot serve this device.
    """
    background = _picture("background", background)
    foregrounds, masks = _cutouts(foreground, mask, background)
    theta = _beside("theta", _arguments.precise("theta", theta, 2, 3), background)
    if theta.dim() != 3:
        raise ValueError(f"theta: got shape {tuple(theta.shape)}, wanted (L, 2, 3)")
    layers, device = len(theta), background.device
    cutouts = sum(len(stack) for stack in foregrounds)
    image = _index("image", image, "canvases", len(background), layers, device)
    source = _index("source", source, "cut-outs", cutouts, layers, device)
    gain = _tone("gain", gain, layers, background)
    bias = _tone("bias", bias, layers, background)
    threshold = _arguments.threshold(threshold, compute_dtype(background.dtype))
    widths = _widths(sigma, layers)
    reach = -1 if radius is None else functional.check_radius(radius)
    functional.check_choices(mask_grad, "return_labels", return_labels)
    if background.dtype == torch.uint8:
        functional.refuse_gradients({"theta": theta, "gain": gain, "bias": bias})
    op = getattr(layers_registration.render, functional.select(backend, background.device))
    composite, *labels = op(
        foregrounds,
        masks,
        background,
        theta,
        image,
        source,
        gain,
        bias,
        widths,
        threshold,
        reach,
        mask_grad == "straight_through",
        return_labels,
    )
    return (composite, Labels(*labels)) if return_labels else composite


def _picture(name: str, value: object) -> Tensor:
    """An image or bytes, (N, C, height, width) without an empty dimension but N."""
    if not (isinstance(value, Tensor) and value.dtype == torch.uint8):
        value = _arguments.image(name, value)
    if value.dim() != 4 or min(value.shape[1:]) == 0:
        raise ValueError(
            f"{name}: got shape {tuple(value.shape)}, wanted (N, C, height, width),"
            " no dimension but N empty"
        )
    return value


def _cutouts(
    foreground: Tensor | Sequence[Tensor],
    mask: Tensor | Sequence[Tensor] | None,
    background: Tensor,
) -> tuple[list[Tensor], list[Tensor] | None]:
    """Both as stacks (K, C, h, w): one of a tensor, one each of a list's."""
    channels = background.shape[1]
    foregrounds = _stacks("foreground", foreground, channels, background, _picture)
    if mask is None:
        return foregrounds, None

    def in_frame(name: str, value: object) -> Tensor:
        return _picture(name, _arguments.mask(name, value, background.dtype))

    masks = _stacks("mask", mask, 1, background, in_frame)
    if len(masks) != len(foregrounds):
        raise ValueError(
            f"mask: got {_counted(mask)}, wanted {_counted(foreground)}, as foreground is"
        )
    for number, (colours, cover) in enumerate(zip(foregrounds, masks, strict=True)):
        if (len(colours), *colours.shape[2:]) != (len(cover), *cover.shape[2:]):
            name = "mask" if isinstance(mask, Tensor) else f"mask[{number}]"
            raise ValueError(
                f"{name}: got {tuple(cover.shape)}, wanted the size and number of"
                f" foreground's {tuple(colours.shape)}"
            )
    return foregrounds, masks


def _counted(value: Tensor | Sequence[Tensor]) -> str:
    return "a tensor" if isinstance(value, Tensor) else f"{len(value)} tensors"


def _stacks(
    name: str,
    value: Any,
    channels: int,
    background: Tensor,
    check: Callable[[str, object], Tensor],
) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [_stack(name, check(name, value), channels, background)]
    if not isinstance(value, Sequence):
        kind = type(value).__name__
        raise TypeError(f"{name}: got {kind}, wanted a tensor or a sequence of tensors")
    stacks = []
    for number, one in enumerate(value):
        if isinstance(one, Tensor) and one.dim() == 3:
            one = one.unsqueeze(0)
        elif isinstance(one, Tensor):
            wanted = f"({channels}, height, width)"
            raise ValueError(f"{name}[{number}]: got shape {tuple(one.shape)}, wanted {wanted}")
        part = f"{name}[{number}]"
        stacks.append(_stack(part, check(part, one), channels, background))
    return stacks


def _stack(name: str, value: Tensor, channels: int, background: Tensor) -> Tensor:
    if value.shape[1] != channels:
        wanted = f"{channels} channels"
        raise ValueError(f"{name}: got shape {tuple(value.shape)}, wanted {wanted}")
    if value.dtype != background.dtype:
        raise TypeError(f"{name}: got {value.dtype}, wanted background's {background.dtype}")
    return _beside(name, value, background)


def _beside(name: str, value: Tensor, background: Tensor) -> Tensor:
    if value.device != background.device:
        raise ValueError(
            f"{name}: got device {value.device}, wanted background's {background.device}"
        )
    return value


def _index(
    name: str, value: Any, what: str, count: int, layers: int, device: torch.device
) -> Tensor:
    """The canvas or cut-out of each layer, (L,); without one, each layer's own."""
    if value is None:
        if layers != count:
            raise ValueError(
                f"{name}: got None for {layers} layers and {count} {what}, wanted one index a layer"
            )
        return torch.arange(layers, device=device)
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: got {type(value).__name__}, wanted an int64 tensor")
    if value.dtype != torch.int64:
        raise TypeError(f"{name}: got {value.dtype}, wanted int64")
    if value.shape != (layers,):
        raise ValueError(
            f"{name}: got shape {tuple(value.shape)}, wanted ({layers},), one for each layer"
        )
    # Elsewhere a look at the values would wait for the device; the kernels check them too.
    if layers and value.device.type == "cpu" and not torch.compiler.is_compiling():
        least, most = int(value.min()), int(value.max())
        if least < 0 or most >= count:
            got = least if least < 0 else most
            raise ValueError(f"{name}: got index {got}, wanted 0 to {count - 1} of {count} {what}")
    return value


def _tone(name: str, value: Any, layers: int, background: Tensor) -> Tensor | None:
    """Gain or bias, (L, C)."""
    if value is None:
        return None
    tone = _arguments.precise(name, value)
    wanted = (layers, background.shape[1])
    if tone.shape != wanted:
        raise ValueError(f"{name}: got shape {tuple(tone.shape)}, wanted (L, C), {wanted}")
    return _beside(name, tone, background)


def _widths(sigma: Any, layers: int) -> Tensor:
    """The blur of each layer, (L,) float64, where the kernels are launched from: the CPU."""
    if not isinstance(sigma, Tensor) or sigma.dim() == 0:
        width = functional.check_sigma(sigma)
        return torch.full((layers,), width, dtype=torch.float64)
    if sigma.shape != (layers,) or not sigma.is_floating_point():
        got = f"a {sigma.dtype} tensor of shape {tuple(sigma.shape)}"
        raise ValueError(
            f"sigma: got {got}, wanted a number, or a floating-point tensor with one for each of"
            f" {layers} layers"
        )
    if sigma.requires_grad:
        raise ValueError(
            "sigma: got a tensor that requires a gradient, and none reaches it; pass sigma.detach()"
        )
    widths = sigma.to("cpu", torch.float64)
    if not torch.compiler.is_compiling():
        bad = ~((widths >= 0) & (3 * widths <= functional.LONGEST_REACH))
        if bool(bad.any()):
            raise ValueError(
                f"sigma: got {float(widths[bad][0])}, wanted numbers of pixels from 0 to"
                f" {functional.LONGEST_REACH // 3}"
            )
    return widths
