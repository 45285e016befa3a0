"""Triton's kernels against the reference: on its interpreter where there is no GPU.

The interpreter takes a millisecond for what a GPU does in a nanosecond, so these shapes are few:
each crosses tile borders, or is smaller than a tile, or odd.
"""

from __future__ import annotations

import pytest
import torch

from tests.ops.cases import inputs
from tests.ops.test_agreement import TOLERANCE, check_close

reference = torch.ops.compositor.blend.reference
reference_backward = torch.ops.compositor.blend_backward.reference
kernel = torch.ops.compositor.blend.triton
kernel_backward = torch.ops.compositor.blend_backward.triton

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
THETA = (False, False, False, True)
EVERY = (True, True, True, True)


def on_device(given):
    return type(given)(*(None if t is None else t.to(DEVICE) for t in given))


def check_forward(given, options):
    tolerance = TOLERANCE[given.background.dtype]
    got, wanted = kernel(*given, *options, True), reference(*given, *options, True)
    check_close(got[0], wanted[0], tolerance)
    check_close(got[1], wanted[1], tolerance)


def check_backward(given, options, needs, with_alpha=True):
    grad = torch.randn_like(given.background)
    grad_alpha = torch.randn_like(given.background[:, :1]) if with_alpha else None
    got = kernel_backward(grad, grad_alpha, *given, *options, *needs)
    wanted = reference_backward(grad, grad_alpha, *given, *options, *needs)
    for g, w in zip(got, wanted, strict=True):
        check_close(g, w, 10 * TOLERANCE[given.background.dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("masked", [True, False])
def test_agrees_over_several_tiles(dtype, masked):
    given = on_device(inputs((2, 3, 33, 40, 70, 65), dtype, masked))
    options = (0.3, 1.0, 3, False) if masked else (0.0, 1.0, 3, True)
    check_forward(given, options)
    check_backward(given, options, THETA)
