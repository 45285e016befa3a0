"""Masks that leave [0, 1]: what overshoots counts as 1, what undershoots as 0, on every backend."""

import pytest
import torch
from torch.nn.functional import interpolate

import compositor
from tests.ops import truth
from tests.ops.cases import BACKENDS, identity, inputs

PAPER = 1 - 1e-7
# Triton's kernels too: these cases are small enough for its interpreter.
each_backend = pytest.mark.parametrize("backend", dict.fromkeys((*BACKENDS, "triton")))
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:triton.runtime.interpreter")


@each_backend
@pytest.mark.parametrize("threshold", [0.0, 0.5, PAPER])
def test_a_mask_an_ulp_above_1_is_a_mask_of_1(backend, threshold):
    mask = interpolate(torch.ones(1, 1, 60, 60), size=(23, 31), mode="bilinear", antialias=True)
    assert 1 < mask.max() < 1 + 1e-6
    grey, black = torch.full_like(mask, 0.5), torch.zeros_like(mask)
    composite, alpha = compositor.blend(
        grey, mask.clamp(min=1), black, identity(1), threshold=threshold, sigma=0,
        return_alpha=True, backend=backend,
    )  # fmt: skip
    assert torch.equal(alpha, torch.ones_like(alpha))
    assert torch.equal(composite, grey)


@each_backend
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_what_leaves_the_range_by_hand(backend, dtype):
    mask = torch.tensor([[[[-255.0, -1.0, 0.0, 0.75, 1.0, 1.5, 255.0]]]], dtype=dtype)
    one, zero = torch.ones_like(mask), torch.zeros_like(mask)
    for threshold, three_quarters in ((0.0, 0.75), (0.5, 0.5), (PAPER, 0)):
        composite = compositor.blend(
            one, mask, zero, identity(1), threshold=threshold, sigma=0, backend=backend
        )
        assert composite.flatten().tolist() == [0, 0, 0, three_quarters, 1, 1, 1]


def overshooting(n, h, w):
    """A bicubic enlargement of a random pattern of 0 and 1."""
    small = (torch.rand(n, 1, (h + 2) // 3, (w + 2) // 3, dtype=torch.float64) > 0.5).double()
    mask = interpolate(small, size=(h, w), mode="bicubic")
    assert mask.min() < -0.02 and mask.max() > 1.02
    return mask


@each_backend
@pytest.mark.parametrize("times", [1.0, 255.0])
@pytest.mark.parametrize("mask_grad", ["exact", "straight_through"])
@pytest.mark.parametrize("threshold", [0.0, 0.4])
def test_bicubic_overshoot_and_levels_to_255_match_grid_sample(
    backend, times, mask_grad, threshold
):
    given = inputs((2, 2, 9, 12, 10, 11), torch.float64, spread=0.2)
    given = given._replace(mask=times * overshooting(2, 9, 12))
    leaves = [t.requires_grad_() for t in given]
    options = {"threshold": threshold, "sigma": 0.4, "radius": 1}
    got, alpha = compositor.blend(
        *leaves, **options, mask_grad=mask_grad, return_alpha=True, backend=backend
    )
    wanted, _ = truth.blend(*leaves, **options, straight_through=mask_grad == "straight_through")
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)
    assert alpha.max() <= 1
    grad = torch.randn_like(got)
    grads = [torch.autograd.grad(result, leaves, grad) for result in (got, wanted)]
    for ours, plain in zip(*grads, strict=True):
        # float64 sums of some hundred terms of up to 255, of either sign
        torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-9)


@each_backend
def test_the_exact_gradient_of_a_mask_is_that_of_the_ramp_up_to_1_and_0_beyond(backend):
    """L = the sum of alpha, at the identity: dL/dmask is ds/dm, pixel by pixel."""
    mask = torch.tensor([[[[-1.0, 0.0, 0.5, 0.6, 1.0, 1 + 2**-23, 1.5, 255.0]]]])
    one, zero = torch.ones_like(mask), torch.zeros_like(mask)
    wanted = {"exact": [0, 0, 0, 2, 2, 0, 0, 0], "straight_through": [1] * 8}
    for mask_grad, by_hand in wanted.items():
        leaf = mask.clone().requires_grad_()
        composite = compositor.blend(
            one, leaf, zero, identity(1), threshold=0.5, sigma=0, mask_grad=mask_grad,
            backend=backend,
        )  # fmt: skip
        composite.sum().backward()
        assert leaf.grad.flatten().tolist() == by_hand


@each_backend
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_above_1_nothing_moves_but_by_the_straight_through_derivative(backend, dtype):
    """A canvas well inside the frame, so that only the mask's slopes could move theta."""
    mask = (1.5 + torch.rand(1, 1, 20, 20)).to(dtype)
    one, zero = torch.ones(1, 1, 20, 20, dtype=dtype), torch.zeros(1, 1, 20, 20, dtype=dtype)
    theta = (0.5 * identity(1)).requires_grad_()
    moves = {}
    for mask_grad in ("exact", "straight_through"):
        composite = compositor.blend(
            one, mask, zero, theta, threshold=0.5, radius=1, mask_grad=mask_grad, backend=backend
        )
        assert torch.equal(composite, one)
        (grad,) = torch.autograd.grad(composite.float().sum(), theta)
        moves[mask_grad] = grad.abs().sum().item()
    assert moves["exact"] == 0 < moves["straight_through"]
