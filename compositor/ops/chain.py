"""``render`` as a chain of ``blend``s, one layer after the other: the truth for its kernels.

It serves every backend and device that has no ``render`` of its own. A canvas is kept in the
computation type through all of its layers and rounded once, at the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from compositor._arguments import LONGEST_REACH
from compositor.ops.reference import compute_dtype


class _Layer(NamedTuple):
    """One layer in the computation type, as ``blend`` takes it, and where it comes from."""

    number: int
    canvas: slice
    stack: int
    cutout: slice
    foreground: Tensor  # (1, C, h, w), before gain and bias
    mask: Tensor | None
    theta: Tensor  # (1, 2, 3)
    gain: Tensor | None  # (1, C, 1, 1)
    bias: Tensor | None
    options: tuple[float, float, int, bool]

    @property
    def toned(self) -> Tensor:
        colours = self.foreground if self.gain is None else self.foreground * self.gain
        return colours if self.bias is None else colours + self.bias


def _layers(
    foreground: list[Tensor],
    mask: list[Tensor] | None,
    background: Tensor,
    theta: Tensor,
    image: Tensor,
    source: Tensor,
    gain: Tensor | None,
    bias: Tensor | None,
    sigma: Tensor,
    threshold: float,
    radius: int,
    straight_through: bool,
) -> Iterator[_Layer]:
    """What is pasted, in order. A layer of bytes whose map is not finite is left out."""
    dtype = compute_dtype(background.dtype)
    levels = background.dtype == torch.uint8
    places = [(k, i) for k, stack in enumerate(foreground) for i in range(len(stack))]
    rows = zip(
        _indices("image", image, len(background)),
        _indices("source", source, len(places)),
        _blurs(sigma),
        strict=True,
    )
    for number, (canvas, cutout, width) in enumerate(rows):
        if levels and not bool(theta[number].isfinite().all()):
            continue
        stack, place = places[cutout]
        one = slice(place, place + 1)
        toned = [
            None if tone is None else tone[number].to(dtype)[None, :, None, None]
            for tone in (gain, bias)
        ]
        if levels and toned[1] is not None:
            toned[1] = 255 * toned[1]
        cover = None if mask is None else mask[stack][one].to(dtype)
        if cover is not None and levels:
            cover = cover / 255
        reach = 0 if width == 0 else math.ceil(3 * width) if radius < 0 else radius
        yield _Layer(
            number,
            slice(canvas, canvas + 1),
            stack,
            one,
            foreground[stack][one].to(dtype),
            cover,
            theta[number : number + 1],
            toned[0],
            toned[1],
            (threshold, width, reach, straight_through),
        )


def _indices(name: str, given: Tensor, count: int) -> list[int]:
    """Checked as the kernels do it: while a graph is captured, nothing else does."""
    indices: list[int] = given.tolist()
    for index in indices:
        if not 0 <= index < count:
            raise RuntimeError(f"compositor.render: {name}: got {index}, wanted 0 to {count - 1}")
    return indices


def _blurs(sigma: Tensor) -> list[float]:
    widths: list[float] = sigma.tolist()
    if not all(0 <= 3 * width <= LONGEST_REACH for width in widths):
        raise RuntimeError(
            f"compositor.render: wanted blurs of at least 0 and at most {LONGEST_REACH} pixels"
        )
    return widths


def render_by(blend: Callable[..., Any]) -> Callable[..., tuple[Tensor, ...]]:
    """Return ``render`` as a chain of this ``blend``."""

    def render(
        foreground: list[Tensor], mask: list[Tensor] | None, background: Tensor, *rest: Any
    ) -> tuple[Tensor, ...]:
        *arguments, return_labels = rest
        n, _, height, width = background.shape
        count = len(arguments[0])
        canvas = background.to(compute_dtype(background.dtype), copy=True)
        owner = background.new_full((n, height, width), -1, dtype=torch.int32)
        covered = background.new_zeros(count, dtype=torch.int64)
        for layer in _layers(foreground, mask, background, *arguments):
            at = layer.canvas
            composite, alpha = blend(
                layer.toned, layer.mask, canvas[at], layer.theta, *layer.options, return_labels
            )
            canvas[at] = composite
            if return_labels:
                solid = alpha[:, 0] > 0.5
                owner[at] = torch.where(solid, layer.number, owner[at])
                covered[layer.number] = solid.sum()
        composite = torch.empty_like(background).copy_(_stored(canvas, background.dtype))
        if not return_labels:
            nothing = [torch.int32, torch.float32, torch.int64, torch.int64]
            return composite, *(background.new_empty(0, dtype=dtype) for dtype in nothing)
        boxes, area = _own(owner, arguments[1])
        return composite, owner, boxes, area, covered

    return render


def _stored(canvas: Tensor, dtype: torch.dtype) -> Tensor:
    """The canvas in the images' type: bytes are rounded to nearest, ties to even, and saturated."""
    if dtype != torch.uint8:
        return canvas.to(dtype)
    return canvas.nan_to_num(0, 255, 0).clamp(0, 255).round().to(dtype)


def _own(owner: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """Box (L, 4) and area (L,) of the pixels that each layer owns."""
    count = len(image)
    boxes = owner.new_zeros((count, 4), dtype=torch.float32)
    area = owner.new_zeros(count, dtype=torch.int64)
    for number, canvas in enumerate(image.tolist()):
        y, x = (owner[canvas] == number).nonzero(as_tuple=True)
        area[number] = len(x)
        if len(x):
            edges = [x.min(), y.min(), x.max() + 1, y.max() + 1]
            boxes[number] = torch.stack(edges).to(torch.float32)
    return boxes, area


def render_backward_by(
    blend: Callable[..., Any], blend_backward: Callable[..., Any]
) -> Callable[..., tuple[Any, ...]]:
    """Return ``render_backward`` as a chain of this ``blend`` and ``blend_backward``.

    It keeps the canvas under each layer: as many as there are layers.
    """

    def render_backward(
        grad_composite: Tensor,
        foreground: list[Tensor],
        mask: list[Tensor] | None,
        background: Tensor,
        *rest: Any,
    ) -> tuple[Any, ...]:
        *arguments, needs = rest
        needs_foreground, needs_mask, needs_background, needs_theta, needs_gain, needs_bias = needs
        theta, _, _, gain, bias = arguments[:5]
        dtype = compute_dtype(background.dtype)
        layers = list(_layers(foreground, mask, background, *arguments))

        canvas, behind = background.to(dtype, copy=True), []
        for layer in layers:
            behind.append(canvas[layer.canvas].clone())
            canvas[layer.canvas], _ = blend(
                layer.toned, layer.mask, behind[-1], layer.theta, *layer.options, False
            )

        def zeros(like: Tensor | None, needed: bool) -> Tensor:
            if like is None or not needed:
                return background.new_empty(0)
            return torch.zeros_like(like, dtype=compute_dtype(like.dtype))

        to_foreground = [zeros(stack, needs_foreground) for stack in foreground]
        to_mask = [zeros(stack, needs_mask) for stack in mask or []]
        to_theta, to_gain, to_bias = (
            zeros(like, needed)
            for like, needed in ((theta, needs_theta), (gain, needs_gain), (bias, needs_bias))
        )
        grad = grad_composite.to(dtype, copy=True)
        tones = needs_gain or needs_bias
        for layer, under in zip(reversed(layers), reversed(behind), strict=True):
            colours, cover, rest_of_grad, moved = blend_backward(
                grad[layer.canvas], None, layer.toned, layer.mask, under, layer.theta,
                *layer.options, needs_foreground or tones, needs_mask, True, needs_theta,
            )  # fmt: skip
            grad[layer.canvas] = rest_of_grad
            if needs_foreground:
                gained = colours if layer.gain is None else colours * layer.gain
                to_foreground[layer.stack][layer.cutout] += gained
            if needs_mask and layer.mask is not None:
                to_mask[layer.stack][layer.cutout] += cover
            if needs_theta:
                to_theta[layer.number] = moved[0]
            if needs_gain:
                # What is not shown may be infinite.
                shown = torch.where(colours == 0, 0, colours * layer.foreground)
                to_gain[layer.number] = shown.sum((0, 2, 3))
            if needs_bias:
                to_bias[layer.number] = colours.sum((0, 2, 3))
        # A canvas with a map that is not finite is NaN, and so are all gradients of it.
        lost = {at.canvas.start for at in layers if not bool(at.theta.isfinite().all())}
        for layer in (at for at in layers if at.canvas.start in lost):
            one = slice(layer.number, layer.number + 1)
            cutouts = [sums[layer.stack][layer.cutout] for sums in (to_foreground, to_mask) if sums]
            for sums in (*cutouts, grad[layer.canvas], to_theta[one], to_gain[one], to_bias[one]):
                sums.fill_(torch.nan)
        return (
            [
                _like(grad_of, stack)
                for grad_of, stack in zip(to_foreground, foreground, strict=True)
            ],
            [_like(grad_of, stack) for grad_of, stack in zip(to_mask, mask or [], strict=True)],
            _like(grad, background) if needs_background else background.new_empty(0),
            to_theta,
            to_gain,
            to_bias,
        )

    return render_backward


def _like(grad: Tensor, image: Tensor) -> Tensor:
    """A gradient in its image's type and layout; what was not asked for stays empty."""
    return torch.empty_like(image).copy_(grad) if grad.dim() == 4 else grad
