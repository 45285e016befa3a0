"""Gradients of ``render``: against autograd through the truth in float64, and gradcheck."""

from dataclasses import replace

import pytest
import torch

import compositor
from tests.ops import truth
from tests.ops.cases import each_backend
from tests.ops.layers import SIZES, scene


def leaves(given, dtype):
    """A scene's differentiable tensors, each a leaf: background, foreground, mask, theta, tones.

    All in ``dtype``, or as they are if it is None.
    """
    tensors = [*given.images(), given.theta, given.gain, given.bias]
    return [None if t is None else t.to(dtype or t.dtype).clone().requires_grad_() for t in tensors]


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
        weight = torch.randn(
            wanted.shape, generator=torch.Generator().manual_seed(1), device="cpu"
        ).to(wanted)
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


@each_backend
def test_gradients_of_a_canvas_with_a_map_that_is_not_finite_are_nan(backend):
    given = scene((3, 3, 4, 9, 61, 77))
    lost = given.image[2]
    given.theta[2, 0, 1] = torch.nan
    tensors = leaves(given, torch.float64)
    composite(given, tensors, backend).sum().backward()
    background, foreground, mask, theta, gain, bias = split(given, tensors)
    of_lost = given.image == lost
    assert of_lost.any() and not of_lost.all()
    for by_layer in (theta, gain, bias):
        assert by_layer.grad[of_lost].isnan().all()
        assert by_layer.grad[~of_lost].isfinite().all()
    for k, cutouts in enumerate(zip(foreground, mask, strict=True)):
        used = bool((given.source[of_lost] == k).any())
        assert all(image.grad.isnan().all() == used for image in cutouts)
    assert background.grad[lost].isnan().all()
    assert background.grad[[n for n in range(3) if n != lost]].isfinite().all()


@each_backend
@pytest.mark.parametrize(("dtype", "digits"), [(torch.bfloat16, 8), (torch.float16, 11)])
def test_half_precision_rounds_gradients_once(backend, dtype, digits):
    """Those of the numbers that the images hold, in float32 through all layers."""
    halved = scene((2, 3, 3, 7, 40, 50)).to(dtype)
    single = halved.to(torch.float32)
    grads = []
    for given in (halved, single):
        # Tones and maps as they are: only images are in half precision.
        tensors = leaves(given, None)
        composite(given, tensors, backend).sum().backward()
        grads.append([leaf.grad for leaf in tensors])
    for half, full in zip(*grads, strict=True):
        # A rounding to `digits` bits, and the two sums' float32, which near cancel: 1e-6 of G = 1.
        wanted = full.to(half.dtype).double()
        close = 2.0**-digits if half.dtype == dtype else 1e-6
        torch.testing.assert_close(half.double(), wanted, rtol=close, atol=2e-5)


@each_backend
def test_any_layout_gives_the_same_gradients(backend):
    """Channels last, expanded, cropped and with a step between columns."""
    given = scene((2, 3, 3, 7, 40, 50)).to(torch.float32)
    dense = leaves(given, torch.float32)
    composite(given, dense, backend).square().sum().backward()

    def odd(image):
        if image.dim() == 4:
            return image.contiguous(memory_format=torch.channels_last)
        wide = torch.zeros(*image.shape[:2], 2 * image.shape[2] + 3)
        wide[..., 3::2] = image
        return wide[..., 3::2]

    strided = replace(
        given,
        background=odd(given.background),
        foreground=[odd(image) for image in given.foreground],
        mask=[odd(image) for image in given.mask],
    )
    tensors = [t.detach().requires_grad_() for t in strided.images()]
    tensors += [t.float().requires_grad_() for t in (given.theta, given.gain, given.bias)]
    composite(strided, tensors, backend).square().sum().backward()
    for first, second in zip(dense, tensors, strict=True):
        # Other loops, other roundings: of some hundred sums of about 1.
        torch.testing.assert_close(second.grad, first.grad, rtol=1e-5, atol=1e-4)


def test_threads_change_no_bit():
    """One cut-out on every canvas, whose layers' gradients are summed in one order."""
    random = torch.Generator().manual_seed(0)
    canvases, layers, side = 12, 36, 160  # large enough that two threads meet
    background = torch.rand(canvases, 3, side, side, generator=random)
    image = torch.arange(layers) % canvases
    theta = torch.eye(2, 3) + 0.2 * torch.randn(layers, 2, 3, generator=random)
    threads = torch.get_num_threads()
    runs = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            tensors = [
                torch.rand(1, 3, side, side, generator=random.manual_seed(1)),
                torch.rand(1, 1, side, side, generator=random),
                theta.clone(),
            ]
            foreground, mask, maps = (tensor.requires_grad_() for tensor in tensors)
            composed = compositor.render(
                background, foreground, mask, maps, image=image, source=torch.zeros_like(image),
                threshold=0.2, backend="cpu",
            )  # fmt: skip
            runs.append(torch.autograd.grad(composed.square().sum(), tensors))
    finally:
        torch.set_num_threads(threads)
    for other in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], other, strict=True))


@each_backend
def test_an_infinite_colour_that_is_not_shown_reaches_no_gradient(backend):
    given = scene((1, 3, 1, 2, 40, 50), spread=0.1)
    given.foreground[0][:, 0, 0] = torch.inf
    given.mask[0][:] = 0
    given.mask[0][:, 3:-3, 3:-3] = 1
    tensors = leaves(given, torch.float64)
    composite(given, tensors, backend).sum().backward()
    assert all(leaf.grad.isfinite().all() for leaf in tensors)
