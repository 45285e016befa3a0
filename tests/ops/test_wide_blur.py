"""A blur far wider than the canvas: as right as any, at the price of what it can reach."""

import math

import pytest
import torch

import compositor
from tests.ops import truth
from tests.ops.cases import BACKENDS, identity, inputs

# Triton's kernels too, where a case is small enough for its interpreter.
each_backend = pytest.mark.parametrize("backend", dict.fromkeys((*BACKENDS, "triton")))
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:triton.runtime.interpreter")

# fmt: off
MAPS = {
    "shrunk and beside the canvas": [[3, 0.4, 5], [-0.3, 4, -7]],
    "sheared": [[1, 2.5, 0.3], [0.2, -1, 0.1]],
    "magnified": [[0.3, 0.05, 0.4], [0, 0.25, 0]],
    "one point": [[0, 0, 0.3], [0, 0, -0.2]],
    "nearly a line": [[1, 0.5, 0], [2, 1 + 1e-7, 0]],
    "out of reach": [[1, 0, 300], [0, 1, 0]],
}
# fmt: on


@each_backend
@pytest.mark.parametrize("place", MAPS)
def test_a_radius_of_several_canvases_matches_conv2d(backend, place):
    """Two images, one at the identity: each has a reach of its own."""
    given = inputs((2, 1, 7, 6, 6, 8), torch.float64)
    theta = torch.stack([torch.eye(2, 3), torch.tensor(MAPS[place])]).double()
    leaves = [t.clone().requires_grad_() for t in (*given[:3], theta)]
    if backend == "triton":
        leaves = [*given[:3], leaves[3]]
    options = {"threshold": 0.0, "sigma": 15.0, "radius": 40}
    got = compositor.blend(*leaves, **options, backend=backend)
    wanted, _ = truth.blend(*leaves, **options)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)
    grad = torch.randn_like(got)
    needing = [t for t in leaves if t.requires_grad]
    grads = [torch.autograd.grad(result, needing, grad) for result in (got, wanted)]
    for ours, plain in zip(*grads, strict=True):
        # float64 sums of some thousand terms, of either sign
        torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-9)


@each_backend
def test_a_sigma_of_1e4_takes_what_the_canvas_and_the_object_take(backend):
    """On all of the grown canvas it would take gigabytes, and minutes."""
    size, sigma = 32, 1e4
    one, zero = torch.ones(1, 1, size, size).double(), torch.zeros(1, 1, size, size).double()
    theta = identity(1, torch.float64).requires_grad_()
    composite = compositor.blend(one, None, zero, theta, sigma=sigma, backend=backend)
    # The frame is 1 all over, so alpha is a product of sums of taps.
    taps = torch.exp(-0.5 * (torch.arange(-30_000, 30_001, dtype=torch.float64) / sigma) ** 2)
    taps /= taps.sum()
    sums = taps.unfold(0, size, 1)[30_000 - size + 1 : 30_001].sum(1)
    # Rounding of 6e4 taps to half an ulp of 1.
    torch.testing.assert_close(composite[0, 0], sums[:, None] * sums, rtol=0, atol=1e-11)
    (grad,) = torch.autograd.grad(composite.sum(), theta)
    assert grad.isfinite().all() and not math.isclose(grad[0, 0, 0].item(), 0, abs_tol=1e-9)
