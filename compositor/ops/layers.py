"""``render``: many objects on many canvases in one call, with the labels of what can be seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, overload

import torch
from torch import Tensor

from compositor import _arguments
from compositor.ops import functional, layer_arguments, layers_registration
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
        image: (L,) int64: the canvas of each layer. None: one each, in order. Keep it, ``source``
            and ``sigma`` on the CPU: fetching them from a GPU waits for it.
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
        (composite, labels); plain tensors, even if the inputs are subclasses. A map that is not
        finite gives NaN on its whole canvas; of bytes, which have no NaN, its layer is left out.

    Raises:
        TypeError: An argument is no tensor, or its dtype is not one of those above.
        ValueError: A shape, index, device or option is not as above, or a gradient is asked for
            through bytes.
        RuntimeError: The named backend is not available, or does not run on this device.
    """
    # Subclasses such as torchvision's Image and Mask refuse to be mixed in one call.
    with torch._C.DisableTorchFunctionSubclass():
        background, foreground, mask = layer_arguments.autocast(background, foreground, mask)
        background = layer_arguments.picture("background", background)
        foregrounds, masks = layer_arguments.cutouts(foreground, mask, background)
        theta = layer_arguments.maps(theta, background)
        layers = len(theta)
        cutouts = sum(stack.shape[0] for stack in foregrounds)
        image = layer_arguments.index("image", image, "canvases", len(background), layers)
        source = layer_arguments.index("source", source, "cut-outs", cutouts, layers)
        gain = layer_arguments.tone("gain", gain, layers, background)
        bias = layer_arguments.tone("bias", bias, layers, background)
        threshold = _arguments.threshold(threshold, compute_dtype(background.dtype))
        widths = layer_arguments.widths(sigma, layers)
        reach = -1 if radius is None else _arguments.radius(radius)
        _arguments.choices(mask_grad, "return_labels", return_labels)
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
