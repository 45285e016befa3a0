"""Shared by the geometry modules: a theta's entries and its closed-form inverse."""

import torch
from torch import Tensor


def pack(xx: Tensor, xy: Tensor, x: Tensor, yx: Tensor, yy: Tensor, y: Tensor) -> Tensor:
    """Stack the six entries of a map, row by row, into (..., 2, 3)."""
    return torch.stack((torch.stack((xx, xy, x), -1), torch.stack((yx, yy, y), -1)), -2)


def unpack(theta: Tensor) -> tuple[Tensor, ...]:
    """Split (..., 2, 3) into its six entries, row by row."""
    return theta.flatten(-2).unbind(-1)


def inverse(theta: Tensor) -> Tensor:
    """Invert (..., 2, 3) maps; elementwise, because autocast would round a matrix product."""
    xx, xy, x, yx, yy, y = unpack(theta)
    # Scaled by powers of two, which is exact, or the determinant would leave float32's range.
    to_x, to_y = _power_of_two(xx, xy), _power_of_two(yx, yy)
    xx, xy, yx, yy = xx / to_x, xy / to_x, yx / to_y, yy / to_y
    determinant = xx * yy - xy * yx
    xx, xy, yx, yy = yy / determinant, -xy / determinant, -yx / determinant, xx / determinant
    xx, xy, yx, yy = xx / to_x, xy / to_y, yx / to_x, yy / to_y
    return pack(xx, xy, -(xx * x + xy * y), yx, yy, -(yx * x + yy * y))


def _power_of_two(first: Tensor, second: Tensor) -> Tensor:
    """The power of two just below the larger magnitude; 1 where both are 0."""
    largest = torch.maximum(first.abs(), second.abs()).detach()
    fraction, _ = torch.frexp(largest)  # in [1/2, 1)
    return torch.where(largest == 0, 1, largest / (2 * fraction))
