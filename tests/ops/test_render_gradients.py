"""Gradients of ``render``: against autograd through the truth in float64, and gradcheck."""

from dataclasses import replace

import pytest
import torch

import compositor
from tests.ops import truth
from tests.ops.layers import SIZES, scene

BACKENDS = ("reference", "cpu")
each_backend = pytest.mark.parametrize("backend", BACKENDS)


def leaves(given, dtype):
    """A scene's differentiable tensors, each a leaf: background, foreground, mask, theta, tones."""
    tensors = [*given.images(), given.theta, given.gain, given.bias]
    return [None if t is None else t.to(dtype).clone().requires_grad_() for t in tensors]


def split(given, tensors):
    """``leaves`` the way ``render`` takes them."""
    background, *rest = tensors
    count = len(given.foreground)
    foreground, rest = rest[:count], rest[count:]
    mask, rest = (None, rest) if given.mask is None else (rest[:count], rest[count:])
    return background, foreground, mask, *rest


def composite(given, tensors, backend, **options):
    background, foreground, mask, theta, gain, bias = split(given, tensors)
    options = given.options() | {"gain": gain, "bias": bias} | options
    return compositor.render(background, foreground, mask, theta, backend=backend, **options)


@each_backend
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("masked", "toned"), [(True, True), (False, False)])
# float32: a coordinate of some 60 pixels rounds by 4e-6, slopes are up to 2 a pixel, and theta's
# gradient sums thousands of pixels.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 3e-4)])
def test_gradients_are_those_of_autograd(backend, size, masked, toned, dtype, tolerance):
    given = scene(size, 0, masked, toned)
    wide, narrow = leaves(given, torch.float64), leaves(given, dtype)
    background, foreground, mask, theta, gain, bias = split(given, wide)
    for threshold in (0.0, 0.3):
        wanted, _, _ = truth.render(
            background, foreground, mask, theta, given.image, given.source, gain, bias,
            given.sigma, threshold,
        )  # fmt: skip
        got = composite(given, narrow, backend, threshold=threshold)
        weight = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(1)).double()
        there = [leaf for leaf in wide if leaf is not None]
        truths = torch.autograd.grad((wanted * weight).sum(), there, allow_unused=True)
        ours = torch.autograd.grad(
            (got * weight.to(dtype)).sum(),
            [leaf for leaf in narrow if leaf is not None],
            allow_unused=True,
        )
        for mine, true in zip(ours, truths, strict=True):
            true = torch.zeros_like(mine) if true is None else true
            scale = max(1.0, true.abs().max().item()) if true.numel() else 1.0
            torch.testing.assert_close(mine.double(), true.double(), rtol=0, atol=tolerance * scale)


@each_backend
def test_gradcheck(backend):
    given = scene((2, 2, 2, 4, 6, 7), seed=3)
    # Between the threshold and 1, where the ramp has no kink.
    given = replace(given, mask=[0.3 + 0.6 * torch.rand_like(mask) for mask in given.mask])
    tensors = leaves(given, torch.float64)

    def function(*tensors):
        return composite(given, tensors, backend, threshold=0.2, mask_grad="exact")

    assert torch.autograd.gradcheck(function, tensors, fast_mode=True)


@each_backend
def test_only_what_is_asked_for_is_computed(backend):
    given = scene((3, 3, 4, 9, 61, 77))
    theta = given.theta.clone().requires_grad_()
    composed = compositor.render(
        given.background, given.foreground, given.mask, theta, backend=backend, **given.options()
    )
    composed.sum().backward()
    assert theta.grad.shape == theta.shape
    assert all(image.grad is None for image in given.images())


@each_backend
def test_hidden_and_outside_layers_have_a_gradient_of_zero(backend):
    background = torch.rand(1, 3, 20, 20, dtype=torch.float64)
    foreground = torch.rand(3, 3, 4, 4, dtype=torch.float64)
    theta = torch.eye(2, 3, dtype=torch.float64).repeat(3, 1, 1)
    theta[1] *= 0.1  # over all of the canvas, and so of the first
    theta[2, 0, 2] = 50  # outside
    theta.requires_grad_()
    composed = compositor.render(
        background, foreground, None, theta, image=torch.zeros(3, dtype=torch.int64),
        backend=backend,
    )  # fmt: skip
    (composed**2).sum().backward()
    assert torch.equal(theta.grad[0], torch.zeros(2, 3).double())
    assert torch.equal(theta.grad[2], torch.zeros(2, 3).double())
    assert theta.grad[1].abs().sum() > 0
