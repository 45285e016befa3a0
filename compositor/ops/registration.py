"""The rules of ``compositor::blend``: autograd, torch.func, fake and meta tensors.

Named backends are overloads of the same op. ``blend.default`` leaves the choice to the dispatcher:
kernels in ``csrc`` register there, Triton's serve CUDA tensors if those are missing, and the
reference serves every other device. ``blend.reference`` and ``blend.triton`` use one backend on
every device. All overloads share the rules below, including ``blend_jvp``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._functorch.pyfunctorch import (
    FunctionalizeInterpreter,
    retrieve_current_functorch_interpreter,
)
from torch._subclasses.functional_tensor import FunctorchFunctionalizeAPI
from torch.autograd import forward_ad

from compositor import triton
from compositor.ops import forward_mode, reference, schemas


def _fake_blend(
    foreground: Tensor,
    mask: Tensor | None,
    background: Tensor,
    theta: Tensor,
    *options: Any,
) -> tuple[Tensor, Tensor]:
    n, _, height, width = background.shape
    return_alpha = options[-1]
    alpha = background.new_empty((n, 1, height, width) if return_alpha else (0,))
    return torch.empty_like(background), alpha


def _fake_blend_backward(
    grad_composite: Tensor,
    grad_alpha: Tensor | None,
    foreground: Tensor,
    mask: Tensor | None,
    background: Tensor,
    theta: Tensor,
    *options: Any,
) -> tuple[Tensor, ...]:
    grads = []
    for tensor, needed in zip((foreground, mask, background, theta), options[-4:], strict=True):
        if tensor is not None and needed:
            grads.append(torch.empty_like(tensor))
        else:
            grads.append((theta if tensor is theta else background).new_empty(0))
    return tuple(grads)


def _fake_blend_jvp(*arguments: Any) -> tuple[Tensor, Tensor]:
    return _fake_blend(*arguments[4:])


def _save_inputs(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs[:4])  # inputs only: the backward recomputes the rest
    ctx.save_for_forward(*inputs[:4])
    ctx.set_materialize_grads(False)
    *ctx.options, ctx.return_alpha = inputs[4:]


def save_nothing(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    """Of an op without a derivative."""


def _no_second_derivatives(ctx: Any, *grads: Any) -> Any:
    raise RuntimeError(
        "compositor.blend has no second derivatives: call backward without create_graph=True"
    )


def recorded_if_needed(op: Any, record: Callable[..., Any]) -> Callable[..., Any]:
    """An op's rule for autograd: ``record`` makes a call of it that can be differentiated."""

    def rule(*args: Any) -> Any:
        tangents = forward_ad._current_level >= 0  # there may be some
        if tangents or (torch.is_grad_enabled() and torch._C._any_requires_grad(*args)):
            return record(*args)
        # To record nothing takes a third of a small picture's time (measured).
        with torch._C._AutoDispatchBelowAutograd():
            return op(*args)

    return rule


def _vmap_rule(op: Any) -> Callable[..., Any]:
    """An op's rule for ``torch.vmap``, which folds the vmapped dimension into N."""

    def lead(value: Any, dim: int | None, batch: int) -> Any:
        if not isinstance(value, Tensor):
            return value
        return value.expand(batch, *value.shape) if dim is None else value.movedim(dim, 0)

    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> Any:
        leading = [lead(a, dim, info.batch_size) for a, dim in zip(args, in_dims, strict=True)]
        batch = next(value.shape[:2] for value in leading if isinstance(value, Tensor))
        outputs = op(*[v.flatten(0, 1) if isinstance(v, Tensor) else v for v in leading])
        given = [output.dim() > 1 for output in outputs]  # the others were not requested
        unfolded = [
            output.unflatten(0, batch) if ok else output
            for output, ok in zip(outputs, given, strict=True)
        ]
        return tuple(unfolded), tuple(0 if ok else None for ok in given)

    return vmap


def _register(
    name: str,
    schema: str,
    kernel: Callable[..., Any],
    fake: Callable[..., Any],
    save: Callable[..., None] = save_nothing,
    differentiate: Callable[..., Any] = _no_second_derivatives,
    push_forward: Callable[..., Any] = _no_second_derivatives,
) -> None:
    """Define an op, with its kernel for any device and its rules.

    ``torch.library``'s own ``register_autograd`` supports neither forward mode nor ``torch.func``.
    """
    if not hasattr(torch.ops.compositor, name):  # the extension defines some
        _library.define(name + schema)
    _library.impl(name, kernel, "CompositeExplicitAutograd")
    packet, _, overload = name.partition(".")
    op = getattr(getattr(torch.ops.compositor, packet), overload or "default")
    torch.library.register_fake(op, fake, lib=_library)

    class Blend(torch.autograd.Function):
        @staticmethod
        def forward(*args: Any) -> Any:
            with torch._C._AutoDispatchBelowAutograd():
                return op(*args)

        setup_context = staticmethod(save)
        backward = staticmethod(differentiate)
        jvp = staticmethod(push_forward)
        vmap = staticmethod(_vmap_rule(op))

    def under_transforms(*args: Any) -> Any:
        interpreter = retrieve_current_functorch_interpreter()
        if not isinstance(interpreter, FunctionalizeInterpreter):
            return Blend.apply(*args)
        # A Function has no rule for functionalize; an op that mutates nothing needs none.
        functional = FunctorchFunctionalizeAPI(interpreter)
        with functional.redispatch_to_next():
            outputs = op(*functional.unwrap_tensors(args))
        return functional.wrap_tensors(outputs)

    _library.impl(name, recorded_if_needed(op, Blend.apply), "Autograd")
    _library.impl(name, under_transforms, "FuncTorchDynamicLayerFrontMode")


def _register_backend(overload: str, backend: Any) -> None:
    """Define ``blend`` and ``blend_backward`` with one backend's kernels."""
    name, backward_name = f"blend{overload}", f"blend_backward{overload}"
    _register(backward_name, schemas.BLEND_BACKWARD, backend.blend_backward, _fake_blend_backward)
    backward_op = getattr(torch.ops.compositor.blend_backward, overload[1:] or "default")

    def backward(
        ctx: Any, grad_composite: Tensor | None, grad_alpha: Tensor | None
    ) -> tuple[Any, ...]:
        needs = ctx.needs_input_grad[:4]
        inputs = ctx.saved_tensors
        grads = backward_op(
            torch.zeros_like(inputs[2]) if grad_composite is None else grad_composite,
            grad_alpha if ctx.return_alpha else None,
            *inputs,
            *ctx.options,
            *needs,
        )
        wanted = [grad if need else None for grad, need in zip(grads, needs, strict=True)]
        return *wanted, *[None] * 5

    def jvp(ctx: Any, *tangents: Any) -> Any:
        return torch.ops.compositor.blend_jvp.default(
            *tangents[:4], *ctx.saved_tensors, *ctx.options, ctx.return_alpha
        )

    _register(name, schemas.BLEND, backend.blend, _fake_blend, _save_inputs, backward, jvp)


def _serve_cuda_with_triton() -> None:
    """Serve CUDA by Triton if the extension has no CUDA kernels; on AMD this is untested."""
    built = torch._C._dispatch_has_kernel_for_dispatch_key("compositor::blend", "CUDA")
    if triton.INSTALLED and torch.version.hip is None and not built:
        _library.impl("blend", triton.blend, "CUDA")
        _library.impl("blend_backward", triton.blend_backward, "CUDA")


# PyTorch cannot take overloads back: where this module is loaded anew, the first rules stay.
if not hasattr(torch.ops.compositor, "blend_jvp"):
    _library = torch.library.Library("compositor", "FRAGMENT")
    _register("blend_jvp", schemas.BLEND_JVP, forward_mode.blend_jvp, _fake_blend_jvp)
    for _overload, _backend in (("", reference), (".reference", reference), (".triton", triton)):
        _register_backend(_overload, _backend)
    _serve_cuda_with_triton()

blend = torch.ops.compositor.blend
