"""The rules of ``compositor::render``: autograd, fake and meta tensors.

As of ``blend``, ``render.default`` is what the dispatcher chooses for, and ``render.reference`` and
``render.triton`` are one backend's on every device: chains of that backend's ``blend``. Wherever
no kernel is registered, a chain of the ``blend`` that the dispatcher chooses serves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from compositor import triton
from compositor.ops import chain, reference, registration, schemas

_DIFFERENTIABLE = (0, 1, 2, 3, 6, 7)  # of the inputs: all but image, source and sigma


def _fake_render(
    foreground: list[Tensor], mask: list[Tensor] | None, background: Tensor, *rest: Any
) -> tuple[Tensor, ...]:
    n, _, height, width = background.shape
    layers, return_labels = rest[0].shape[0], rest[-1]

    def label(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        return background.new_empty(shape if return_labels else (0,), dtype=dtype)

    return (
        torch.empty_like(background),
        label((n, height, width), torch.int32),
        label((layers, 4), torch.float32),
        label((layers,), torch.int64),
        label((layers,), torch.int64),
    )


def _fake_render_backward(grad_composite: Tensor, *rest: Any) -> tuple[Any, ...]:
    *inputs, _, _, _, needs = rest
    background = inputs[2]

    def grad(value: Any, needed: bool) -> Any:
        if isinstance(value, (list, tuple)):
            return [grad(one, needed) for one in value]
        if value is not None and needed:
            return torch.empty_like(value)
        return background.new_empty(0)

    wanted = zip(_DIFFERENTIABLE, needs, strict=True)
    foreground, mask, *grads = (grad(inputs[k], needed) for k, needed in wanted)
    return foreground, mask if inputs[1] is not None else [], *grads


class _Arguments:
    """Arguments with lists of tensors, spread out for an ``autograd.Function``, which sees none."""

    def __init__(self, arguments: Sequence[Any]) -> None:
        self._lengths = [len(a) if isinstance(a, (list, tuple)) else None for a in arguments]

    def spread(self, values: Sequence[Any]) -> list[Any]:
        flat: list[Any] = []
        for value, length in zip(values, self._lengths, strict=True):
            flat.extend([value] if length is None else value)
        return flat

    def gather(self, flat: Sequence[Any]) -> list[Any]:
        values, at = [], 0
        for length in self._lengths:
            taken = 1 if length is None else length
            values.append(flat[at] if length is None else list(flat[at : at + taken]))
            at += taken
        return values


def _refuse(what: str) -> Callable[..., Any]:
    def rule(*args: Any) -> Any:
        raise RuntimeError(f"compositor.render {what}")

    return rule


def _no_second_derivatives(ctx: Any, *grads: Any) -> Any:
    raise RuntimeError(
        "compositor.render has no second derivatives: call backward without create_graph=True"
    )


def _register(
    name: str,
    schema: str,
    kernel: Callable[..., Any],
    fake: Callable[..., Any],
    save: Callable[..., None] = registration.save_nothing,
    differentiate: Callable[..., Any] = _no_second_derivatives,
) -> Any:
    """Define an op: its kernel for any device, and its rules; return it."""
    if not hasattr(torch.ops.compositor, name):  # the extension defines some
        _library.define(name + schema)
    _library.impl(name, kernel, "CompositeExplicitAutograd")
    packet, _, overload = name.partition(".")
    op = getattr(getattr(torch.ops.compositor, packet), overload or "default")
    torch.library.register_fake(op, fake, lib=_library)

    class Render(torch.autograd.Function):
        @staticmethod
        def forward(arguments: _Arguments, *flat: Any) -> Any:
            with torch._C._AutoDispatchBelowAutograd():
                return op(*arguments.gather(flat))

        setup_context = staticmethod(save)
        backward = staticmethod(differentiate)
        jvp = staticmethod(_refuse("has no forward-mode derivative: use reverse mode"))
        vmap = staticmethod(_refuse("has no rule for vmap: give each layer its image and source"))

    def differentiable(*given: Any) -> Any:
        arguments = _Arguments(given)
        return Render.apply(arguments, *arguments.spread(given))

    _library.impl(name, registration.recorded_if_needed(op, differentiable), "Autograd")
    _library.impl(name, differentiable, "FuncTorchDynamicLayerFrontMode")
    return op


def _register_backend(
    overload: str, render: Callable[..., Any], render_backward: Callable[..., Any]
) -> None:
    backward_op = _register(
        f"render_backward{overload}",
        schemas.RENDER_BACKWARD,
        render_backward,
        _fake_render_backward,
    )

    def save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.arguments, *flat = inputs
        ctx.others = [None if isinstance(value, Tensor) else value for value in flat]
        ctx.save_for_backward(*(v if isinstance(v, Tensor) else None for v in flat))
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)

    def backward(ctx: Any, grad_composite: Tensor | None, *labels: Any) -> tuple[Any, ...]:
        flat = [
            other if tensor is None else tensor
            for tensor, other in zip(ctx.saved_tensors, ctx.others, strict=True)
        ]
        inputs = ctx.arguments.gather(flat)
        asked = ctx.arguments.gather(ctx.needs_input_grad[1:])
        if grad_composite is None:
            return (None,) * (len(flat) + 1)
        needs = [any(a) if isinstance(a, list) else bool(a) for a in asked]
        needs = [needs[k] for k in _DIFFERENTIABLE]
        grads: list[Any] = [None] * len(inputs)
        for k, grad in zip(
            _DIFFERENTIABLE, backward_op(grad_composite, *inputs[:-1], needs), strict=True
        ):
            grads[k] = list(grad) if isinstance(inputs[k], list) else grad
        grads = [
            [None] * len(value) if grad is None and isinstance(value, list) else grad
            for grad, value in zip(grads, inputs, strict=True)
        ]
        spread = zip(ctx.arguments.spread(grads), ctx.needs_input_grad[1:], strict=True)
        return None, *(grad if need else None for grad, need in spread)

    _register(f"render{overload}", schemas.RENDER, render, _fake_render, save, backward)


def _register_chain(overload: str, blend: Any, blend_backward: Any) -> None:
    _register_backend(
        overload, chain.render_by(blend), chain.render_backward_by(blend, blend_backward)
    )


_ops = torch.ops.compositor
# As in registration: where this module is loaded anew, the first rules stay.
if not hasattr(_ops, "render_backward") or not hasattr(_ops.render, "reference"):
    _library = torch.library.Library("compositor", "FRAGMENT")
    # Without an extension, registration has already defined blend and blend_backward.
    _register_chain("", registration.blend.default, _ops.blend_backward.default)
    _register_chain(".reference", reference.blend, reference.blend_backward)
    _register_chain(".triton", triton.blend, triton.blend_backward)

render = _ops.render
