"""What the geometry modules share: argument checks and the closed-form inverse of a theta."""

from collections.abc import Sequence

import torch
from torch import Tensor


def check_size(name: str, size: Sequence[int]) -> tuple[int, int]:
    """Return ``size`` as (height, width), both at least 1."""
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"{name}: got {tuple(size)}, wanted (height, width), both at least 1")
    return size[0], size[1]


def check_floating(name: str, tensor: object) -> None:
    """Raise unless this is a floating-point tensor."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name}: got {type(tensor).__name__}, wanted a tensor")
    if not tensor.is_floating_point():
        raise TypeError(f"{name}: got {tensor.dtype}, wanted a floating-point tensor")


def check_precise(name: str, tensor: Tensor) -> None:
    """Raise unless the dtype can carry coordinates: half precision moves an object by pixels."""
    check_floating(name, tensor)
    if tensor.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name}: got {tensor.dtype}, wanted float32 or float64")


def check_coverage(name: str, coverage: Tensor) -> None:
    """Raise unless this is a floating-point mask or alpha, (N, 1, height, width)."""
    check_floating(name, coverage)
    if coverage.dim() != 4 or coverage.shape[1] != 1 or min(coverage.shape[2:]) < 1:
        raise ValueError(f"{name}: got shape {tuple(coverage.shape)}, wanted (N, 1, height, width)")


def check_theta(theta: Tensor) -> None:
    """Raise unless ``theta`` is (..., 2, 3) in float32 or float64."""
    check_precise("theta", theta)
    if theta.shape[-2:] != (2, 3):
        raise ValueError(f"theta: got shape {tuple(theta.shape)}, wanted (..., 2, 3)")


def check_beside(name: str, tensor: Tensor, shape: tuple[int, ...], mask: Tensor) -> None:
    """Raise unless the tensor has this shape and lies on the mask's device."""
    if tensor.shape != shape:
        raise ValueError(f"{name}: got shape {tuple(tensor.shape)}, wanted {shape} for this mask")
    if tensor.device != mask.device:
        raise ValueError(f"{name}: got device {tensor.device}, wanted the mask's {mask.device}")


def pack(xx: Tensor, xy: Tensor, x: Tensor, yx: Tensor, yy: Tensor, y: Tensor) -> Tensor:
    """Stack the six entries of a map, row by row, into (..., 2, 3)."""
    return torch.stack((torch.stack((xx, xy, x), -1), torch.stack((yx, yy, y), -1)), -2)


def unpack(theta: Tensor) -> tuple[Tensor, ...]:
    """Split (..., 2, 3) into its six entries, row by row."""
    return theta.flatten(-2).unbind(-1)


def inverse(theta: Tensor) -> Tensor:
    """Invert (..., 2, 3) maps; elementwise, because autocast would round a matrix product."""
    xx, xy, x, yx, yy, y = unpack(theta)
    determinant = xx * yy - xy * yx
    xx, xy, yx, yy = yy / determinant, -xy / determinant, -yx / determinant, xx / determinant
    return pack(xx, xy, -(xx * x + xy * y), yx, yy, -(yx * x + yy * y))
