"""Infinities and NaN reach the samples that they have a weight in, and no others."""

import math

import pytest
import torch

import compositor
from tests.ops.cases import BACKENDS, identity
from tests.ops.test_values import PLAIN

# Triton's kernels too: these cases are small enough for its interpreter.
each_backend = pytest.mark.parametrize("backend", dict.fromkeys((*BACKENDS, "triton")))
each_odd = pytest.mark.parametrize("odd", [math.inf, -math.inf, math.nan])
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:triton.runtime.interpreter")

SIZE = 20
PLACES = ((0, 0), (0, 7), (9, 0), (9, 10), (8, 19), (19, 19))
TURNS = {"identity": (1, 1), "mirror": (-1, 1), "half turn": (-1, -1)}


def same(got, wanted):
    """Equal, NaN to NaN."""
    return torch.equal(got.isnan(), wanted.isnan()) and torch.equal(
        got.nan_to_num(0.5), wanted.nan_to_num(0.5)
    )


@each_backend
@each_odd
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_an_odd_colour_stays_in_its_own_pixel(backend, odd, dtype):
    places = torch.tensor(PLACES).T
    foreground = torch.rand(1, 3, SIZE, SIZE).to(dtype)
    foreground[0, 1, places[0], places[1]] = odd
    background = torch.rand(1, 3, SIZE, SIZE).to(dtype)
    for x, y in TURNS.values():
        theta = identity(1) * torch.tensor([x, y, 1.0])[None, None]
        composite = compositor.blend(foreground, None, background, theta, backend=backend, **PLAIN)
        flipped = [dim for dim, sign in ((-1, x), (-2, y)) if sign < 0]
        assert same(composite, foreground.flip(flipped))


@each_backend
@each_odd
@pytest.mark.parametrize("axis", [0, 1])
def test_between_two_pixels_of_a_line_the_next_line_does_not_count(backend, odd, axis):
    foreground = torch.ones(1, 1, SIZE, SIZE)
    foreground[0, 0, 9, 10] = odd
    theta = identity(1)
    theta[:, 1 - axis, 2] = 1 / SIZE  # half a pixel along the axis
    composite = compositor.blend(
        foreground, None, torch.zeros_like(foreground), theta, sigma=0, threshold=0.0,
        backend=backend,
    )  # fmt: skip
    found = (~composite[0, 0].isfinite()).nonzero().tolist()
    assert found == ([[8, 10], [9, 10]] if axis == 0 else [[9, 9], [9, 10]])


@each_backend
@each_odd
def test_an_odd_mask_pixel_counts_where_it_has_a_weight(backend, odd):
    one, zero = torch.ones(1, 1, SIZE, SIZE), torch.zeros(1, 1, SIZE, SIZE)
    mask = torch.full_like(one, 0.5)
    mask[0, 0, 9, 10] = odd
    alpha = compositor.blend(one, mask, zero, identity(1), backend=backend, **PLAIN)
    assert same(alpha, mask.clamp(0, 1))  # beyond the range it is 0 or 1, as any other


@each_backend
@each_odd
def test_an_odd_colour_pulls_on_the_mask_where_it_has_a_weight(backend, odd):
    """An infinite gradient may still reach what a sample weighs with 0: to the right and below."""
    foreground, background = torch.rand(2, 1, 1, SIZE, SIZE)
    foreground[0, 0, 9, 10] = odd
    mask = torch.full_like(foreground, 0.5).requires_grad_()
    compositor.blend(
        foreground, mask, background, identity(1), backend=backend, **PLAIN
    ).sum().backward()
    reached = torch.zeros_like(mask, dtype=torch.bool)
    reached[..., 9:11, 10:12] = True
    assert not mask.grad[..., 9, 10].isfinite()
    assert mask.grad[~reached].isfinite().all()
