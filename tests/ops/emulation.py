"""The CUDA kernels without a GPU: their programs, compiled for the host, behind the op's schemas.

A block's threads run one after the other, phase by phase (``emulated_block.h``). What this cannot
show is what only a device has: speed, the launch itself, memory that is not coherent.
"""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ROOT = Path(__file__).parents[2]
SCALARS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)  # as in view.h
FLAGS = ("-std=c++20", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas")


class CTensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("strides", ctypes.c_int64 * 4)]

    def __init__(self, tensor: Tensor | None = None) -> None:
        if tensor is None or tensor.numel() == 0:
            super().__init__(None, (0,) * 4)
        else:
            super().__init__(tensor.data_ptr(), tensor.stride())


TENSORS = (
    "foreground", "mask", "background", "theta", "composite", "alpha", "grad_composite",
    "grad_alpha", "grad_foreground", "grad_mask", "grad_background", "grad_theta",
)  # fmt: skip
NUMBERS = (
    "batch", "channels", "h", "w", "height", "width", "radius", "seed", "scalar", "wide_theta",
    "straight_through", "narrow", "back",
)  # fmt: skip


class Call(ctypes.Structure):
    _fields_ = [
        *((name, CTensor) for name in TENSORS),
        *((name, ctypes.c_int64) for name in NUMBERS),
        ("threshold", ctypes.c_double),
        ("sigma", ctypes.c_double),
    ]


@functools.cache
def library() -> ctypes.CDLL:
    """Compile the programs, once a session."""
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "emulated.so"
        source = ROOT / "tests/ops/emulated_ops.cpp"
        command = [os.environ.get("CXX", "g++"), *FLAGS, "-O1", "-fPIC", "-shared", source]
        subprocess.run([*command, "-o", built], check=True)
        return ctypes.CDLL(str(built))


def _fits(tensor: Tensor | None) -> bool:
    """Whether 32 bits index all of every image, as blend.cpp has it."""
    if tensor is None:
        return True
    _, channels, rows, columns = tensor.shape
    _, *strides = tensor.stride()
    lengths = (channels, rows + 1, columns + 1)
    return sum(a * b for a, b in zip(lengths, strides, strict=True)) < 2**31


def _run(
    given: tuple[Any, ...],
    options: tuple[Any, ...],
    seed: int,
    **tensors: Tensor | None,
) -> None:
    foreground, mask, background, theta = given
    threshold, sigma, radius, straight_through = options
    tensors |= dict(zip(TENSORS, given, strict=False))
    numbers = {
        "batch": foreground.shape[0],
        "channels": foreground.shape[1],
        "h": foreground.shape[2],
        "w": foreground.shape[3],
        "height": background.shape[2],
        "width": background.shape[3],
        "radius": radius,
        "seed": seed,
        "scalar": SCALARS.index(foreground.dtype),
        "wide_theta": theta.dtype == torch.float64,
        "straight_through": straight_through,
        "narrow": all(_fits(t) for t in (*given[:3], tensors.get("grad_composite"))),
        "back": tensors.get("grad_composite") is not None,
    }
    call = Call(
        **{name: CTensor(tensor) for name, tensor in tensors.items()},
        **{name: int(number) for name, number in numbers.items()},
        threshold=threshold,
        sigma=sigma,
    )
    library().run(ctypes.byref(call))


def _unwritten(like: Tensor) -> Tensor:
    """Fresh memory that shows where it was not written."""
    return torch.full_like(like, torch.nan)


def blend(*arguments: Any, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Run ``compositor::blend``."""
    given, options, return_alpha = arguments[:4], arguments[4:8], arguments[8]
    background = given[2]
    composite, alpha = _unwritten(background), background.new_empty(0)
    if return_alpha:
        alpha = background.new_full((len(background), 1, *background.shape[2:]), torch.nan)
    _run(given, options, seed, composite=composite, alpha=alpha)
    return composite, alpha


def blend_backward(*arguments: Any, seed: int = 0) -> tuple[Tensor, ...]:
    """Run ``compositor::blend_backward``."""
    grad_composite, grad_alpha = arguments[:2]
    given, options, needs = arguments[2:6], arguments[6:10], arguments[10:14]
    grads = [
        _unwritten(tensor) if needed and tensor is not None else given[2].new_empty(0)
        for tensor, needed in zip(given, needs, strict=True)
    ]
    if not needs[3]:
        grads[3] = given[3].new_empty(0)
    names = ("grad_foreground", "grad_mask", "grad_background", "grad_theta")
    _run(
        given, options, seed, grad_composite=grad_composite, grad_alpha=grad_alpha,
        **dict(zip(names, grads, strict=True)),
    )  # fmt: skip
    return tuple(grads)
