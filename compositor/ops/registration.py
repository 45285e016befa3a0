"""Schemas of ``compositor::blend`` and its rules for autograd, vmap, fake and meta tensors.

A backend asked for by name is an overload of the same op: ``blend.default`` is what the dispatcher
chooses for (kernels in ``csrc`` register there, Triton's for CUDA tensors where those are not, and
the reference stands behind them on every other device), ``blend.reference`` and ``blend.triton``
are one backend's on every device. All overloads share every rule below.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from compositor import triton
from compositor.ops import reference

_INPUTS = "Tensor foreground, Tensor? mask, Tensor background, Tensor theta"
_OPTIONS = "float threshold, float sigma, int radius, bool straight_through"
_NEEDS = "bool foreground_grad, bool mask_grad, bool background_grad, bool theta_grad"
_BLEND = f"({_INPUTS}, {_OPTIONS}, bool return_alpha) -> (Tensor, Tensor)"
_BLEND_BACKWARD = (
    f"(Tensor grad_composite, Tensor? grad_alpha, {_INPUTS}, {_OPTIONS}, {_NEEDS})"
    " -> (Tensor, Tensor, Tensor, Tensor)"
)

_functions: dict[str, Callable[..., Any]] = {}
_library = torch.library.Library("compositor", "DEF")


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


def _save_for_backward(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs[:4])  # inputs only: the backward recomputes the rest
    *ctx.options, ctx.return_alpha = inputs[4:]


def _fold(batch: int, value: Any, dim: int | None) -> Any:
    """Fold a vmapped dimension into N; a tensor without one is repeated."""
    if not isinstance(value, Tensor):
        return value
    value = value.expand(batch, *value.shape) if dim is None else value.movedim(dim, 0)
    return value.flatten(0, 1)


def _register(overload: str, backend: Any) -> None:
    name, backward_name = f"blend{overload}", f"blend_backward{overload}"
    _library.define(name + _BLEND, tags=(torch.Tag.pt2_compliant_tag,))
    _library.define(backward_name + _BLEND_BACKWARD, tags=(torch.Tag.pt2_compliant_tag,))
    _library.impl(name, backend.blend, "CompositeExplicitAutograd")
    _library.impl(backward_name, backend.blend_backward, "CompositeExplicitAutograd")
    forward_op = getattr(torch.ops.compositor.blend, overload[1:] or "default")
    backward_op = getattr(torch.ops.compositor.blend_backward, overload[1:] or "default")

    def backward(ctx: Any, grad_composite: Tensor, grad_alpha: Tensor) -> tuple[Any, ...]:
        needs = ctx.needs_input_grad[:4]
        grads = call(
            backward_name,
            grad_composite,
            grad_alpha if ctx.return_alpha else None,
            *ctx.saved_tensors,
            *ctx.options,
            *needs,
        )
        wanted = [grad if need else None for grad, need in zip(grads, needs, strict=True)]
        return *wanted, *[None] * 5

    def second_backward(ctx: Any, *grads: Tensor) -> None:
        raise RuntimeError(
            "compositor.blend has no second derivatives: call backward without create_graph=True"
        )

    def blend_vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> Any:
        folded = [_fold(info.batch_size, a, d) for a, d in zip(args, in_dims, strict=True)]
        composite, alpha = call(name, *folded)
        unfolded = composite.unflatten(0, (info.batch_size, -1))
        if alpha.dim() == 1:  # not asked for: nothing to unfold
            return (unfolded, alpha), (0, None)
        return (unfolded, alpha.unflatten(0, (info.batch_size, -1))), (0, 0)

    def backward_vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> Any:
        folded = [_fold(info.batch_size, a, d) for a, d in zip(args, in_dims, strict=True)]
        grads = call(backward_name, *folded)
        given = [grad.dim() > 1 for grad in grads]
        unfolded = [
            grad.unflatten(0, (info.batch_size, -1)) if ok else grad
            for grad, ok in zip(grads, given, strict=True)
        ]
        return tuple(unfolded), tuple(0 if ok else None for ok in given)

    torch.library.register_fake(forward_op, _fake_blend, lib=_library)
    torch.library.register_fake(backward_op, _fake_blend_backward, lib=_library)
    torch.library.register_autograd(
        forward_op, backward, setup_context=_save_for_backward, lib=_library
    )
    torch.library.register_autograd(backward_op, second_backward, lib=_library)
    torch.library.register_vmap(forward_op, blend_vmap, lib=_library)
    torch.library.register_vmap(backward_op, backward_vmap, lib=_library)

    _functions[name] = _under_transforms(forward_op, _save_for_backward, backward, blend_vmap)
    _functions[backward_name] = _under_transforms(
        backward_op, lambda ctx, inputs, output: None, second_backward, backward_vmap
    )


def _under_transforms(op: Any, save: Any, differentiate: Any, vectorise: Any) -> Any:
    """The same rules once more for ``torch.func``, which cannot see a registered autograd."""

    class UnderTransforms(torch.autograd.Function):
        forward = staticmethod(op)
        setup_context = staticmethod(save)
        backward = staticmethod(differentiate)
        vmap = staticmethod(vectorise)

        @staticmethod
        def jvp(ctx: Any, *tangents: Any) -> Any:
            raise RuntimeError(
                "compositor.blend has no forward-mode derivative: use reverse mode"
                " (torch.func.grad, vjp or jacrev)"
            )

    return UnderTransforms.apply


def call(name: str, *args: Any) -> Any:
    """Call the op ``name``, "blend" or that of a backend, also under ``torch.func``."""
    if torch._C._are_functorch_transforms_active():
        return _functions[name](*args)
    op, _, overload = name.partition(".")
    return getattr(getattr(torch.ops.compositor, op), overload or "default")(*args)


def _serve_cuda_with_triton() -> None:
    """Where the extension has no CUDA kernels and Triton is there; on AMD it is untested."""
    built = torch._C._dispatch_has_kernel_for_dispatch_key("compositor::blend", "CUDA")
    there = importlib.util.find_spec("triton") is not None and torch.version.hip is None
    if there and not built:
        _library.impl("blend", triton.blend, "CUDA")
        _library.impl("blend_backward", triton.blend_backward, "CUDA")


for _overload, _backend in (("", reference), (".reference", reference), (".triton", triton)):
    _register(_overload, _backend)
_serve_cuda_with_triton()
