"""Inputs of many shapes for the op's tests."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

ON_GPU = torch.cuda.is_available()
# "emulated": the CUDA kernels' programs on the host. The kernels themselves, and Triton's at this
# many sizes, where there is a GPU.
KERNELS = ("cpu", "emulated", *(("cuda", "triton") if ON_GPU else ()))
BACKENDS = ("reference", *KERNELS)
each_backend = pytest.mark.parametrize("backend", BACKENDS)
each_kernel = pytest.mark.parametrize("backend", KERNELS)


def device_of(backend: str | None) -> str:
    """Where a backend's tensors live."""
    return "cuda" if ON_GPU and backend in ("cuda", "triton") else "cpu"


def overload_of(backend: str) -> str:
    """The op's overload that runs a backend on its device."""
    return "default" if backend in ("cpu", "cuda") else backend


# (N, C, h, w, H, W): odd, tiny, of different sizes, wider than one row block is high, empty.
SHAPES = [
    (2, 3, 7, 6, 9, 8),
    (1, 1, 1, 1, 1, 1),
    (3, 2, 33, 40, 70, 65),
    (2, 3, 20, 31, 1, 50),
    (5, 1, 40, 40, 40, 40),
    (1, 4, 9, 3, 140, 5),
    (0, 3, 4, 4, 5, 5),
]


class Inputs(NamedTuple):
    """The four tensors of the op."""

    foreground: Tensor
    mask: Tensor | None
    background: Tensor
    theta: Tensor


def inputs(
    shape: tuple[int, ...],
    dtype: torch.dtype = torch.float32,
    masked: bool = True,
    spread: float = 0.4,
) -> Inputs:
    """Random images and maps near the identity, by as much as ``spread``."""
    n, c, h, w, height, width = shape
    return Inputs(
        torch.rand(n, c, h, w, dtype=torch.float64).to(dtype),
        torch.rand(n, 1, h, w, dtype=torch.float64).to(dtype) if masked else None,
        torch.rand(n, c, height, width, dtype=torch.float64).to(dtype),
        torch.eye(2, 3, dtype=torch.float64) + spread * torch.randn(n, 2, 3, dtype=torch.float64),
    )


def disc(n: int, size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """A binary disc over most of the frame, (N, 1, size, size)."""
    line = torch.linspace(-1, 1, size)
    inside = (line[:, None] ** 2 + line**2) < 0.7
    return inside.to(dtype).expand(n, 1, -1, -1).contiguous()


def identity(n: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The identity map for a batch of n, (N, 2, 3)."""
    return torch.eye(2, 3, dtype=dtype).repeat(n, 1, 1)
