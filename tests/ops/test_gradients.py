"""Gradients: gradcheck of the real kernels in float64, borders by hand, and what must not move."""

import math

import pytest
import torch

import compositor
from tests.ops import truth
from tests.ops.cases import disc, each_backend, identity, inputs

NAMES = ("foreground", "mask", "background", "theta")


def smooth_mask(n, h, w):
    """Values in (0.1, 0.9): no sample sits on a threshold of 0, nor are two corners alike."""
    return 0.1 + 0.8 * torch.rand(n, 1, h, w, dtype=torch.float64)


@each_backend
@pytest.mark.parametrize("needing", [*[(name,) for name in NAMES], NAMES])
@pytest.mark.parametrize(("sigma", "threshold"), [(0.0, 0.0), (1.0, 0.0), (0.7, 0.05)])
def test_gradcheck_one_input_at_a_time_and_all(backend, needing, sigma, threshold):
    given = inputs((2, 2, 4, 5, 5, 4), torch.float64, spread=0.3)
    given = given._replace(mask=smooth_mask(2, 4, 5))
    tensors = [
        t.clone().requires_grad_(name in needing) for name, t in zip(NAMES, given, strict=True)
    ]

    def function(*args):
        return compositor.blend(
            *args, sigma=sigma, threshold=threshold, mask_grad="exact", return_alpha=True,
            backend=backend,
        )  # fmt: skip

    assert torch.autograd.gradcheck(function, tensors)
    out = function(*tensors)
    out[0].sum().backward()
    assert [t.grad is not None for t in tensors] == [name in needing for name in NAMES]


@each_backend
@pytest.mark.parametrize("straight_through", [True, False])
@pytest.mark.parametrize("sigma", [0.0, 1.0])
def test_gradients_match_autograd_through_grid_sample(backend, straight_through, sigma):
    given = inputs((3, 2, 21, 17, 30, 26), torch.float64)
    tensors = [t.clone().requires_grad_() for t in given]
    grad = torch.randn(3, 2, 30, 26, dtype=torch.float64)
    kind = "straight_through" if straight_through else "exact"
    options = {"threshold": 0.4, "sigma": sigma}
    got = compositor.blend(*tensors, mask_grad=kind, backend=backend, **options)
    got = torch.autograd.grad(got, tensors, grad)
    wanted, _ = truth.blend(*tensors, straight_through=straight_through, **options)
    wanted = torch.autograd.grad(wanted, tensors, grad)
    for g, w in zip(got, wanted, strict=True):
        # float64 sums of some thousand terms of size 1 to 30
        torch.testing.assert_close(g, w, rtol=1e-9, atol=1e-9)


def one_sided(function, theta, direction, step=1e-7):
    """The derivative along ``direction``, from that side only."""
    return (function(theta + step * direction) - function(theta)) / step


@each_backend
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("sigma", [0.0, 1.0])
@pytest.mark.parametrize("size", [5, 8])
def test_theta_gradient_exactly_on_pixels(backend, masked, sigma, size):
    """At the identity every sample is on a pixel, a kink: the gradient is the one to the right.

    The mask's frame counts from -1 on, closed: the column that enters is felt. At threshold 0 the
    straight-through derivative is the true one, there too.
    """
    given = inputs((1, 2, size, size, size, size), torch.float64, masked)
    given = given._replace(mask=smooth_mask(1, size, size) if masked else None)
    weight = torch.randn(1, 2, size, size, dtype=torch.float64)

    def loss(theta):
        composite = compositor.blend(*given[:3], theta, sigma=sigma, threshold=0.0, backend=backend)
        return (composite * weight).sum()

    theta = identity(1, torch.float64).requires_grad_()
    (grad,) = torch.autograd.grad(loss(theta), theta)
    # Pure translations to the right and down: no sample moves left or up.
    for row in (0, 1):
        direction = torch.zeros(1, 2, 3, dtype=torch.float64)
        direction[0, row, 2] = 1
        with torch.no_grad():
            wanted = one_sided(loss, theta, direction)
        # The step of 1e-7 leaves an error of that order; cancellation one of 1e-8.
        torch.testing.assert_close((grad * direction).sum(), wanted, rtol=1e-5, atol=1e-5)


@each_backend
def test_gradcheck_exactly_on_pixels_where_images_are_straight(backend):
    """On a ramp there is no kink at a pixel, so finite differences hold at the identity too.

    The map shrinks nothing and the frame is larger than the canvas: no border is met.
    """
    size = 12
    ramp = torch.linspace(0.2, 0.8, size, dtype=torch.float64)
    mask = (ramp[:, None] * 0.5 + ramp * 0.5)[None, None]
    foreground = torch.stack([mask[:, 0], 1 - mask[:, 0]], 1).requires_grad_()
    background = torch.rand(1, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    theta = (identity(1, torch.float64) * 0.5).requires_grad_()
    mask.requires_grad_()
    # 6 canvas pixels over the middle half: sample positions are 3, 4, ... exactly.

    def function(*args):
        return compositor.blend(
            *args, sigma=1.0, radius=2, threshold=0.0, mask_grad="exact", backend=backend
        )

    assert torch.autograd.gradcheck(function, (foreground, mask, background, theta))


@each_backend
def test_silhouette_moves_theta_by_hand(backend):
    """One row, one object pixel wide: L = alpha at pixel 1, f = 1, background = 0."""
    foreground, background = torch.ones(1, 1, 1, 4), torch.zeros(1, 1, 1, 4)
    mask = torch.tensor([[[[0.0, 1.0, 0.0, 0.0]]]])
    theta = torch.eye(2, 3)[None].requires_grad_()
    kinds = {"straight_through": -1.0 * 2, "exact": -1.0 * 2 / (1 - 0.5)}
    for kind, wanted in kinds.items():
        composite = compositor.blend(
            foreground, mask, background, theta, threshold=0.5, sigma=0, mask_grad=kind,
            backend=backend,
        )  # fmt: skip
        (grad,) = torch.autograd.grad(composite[0, 0, 0, 1], theta)
        # u = 2 tx + ...: d/dtx = 4 / 2 times the slope 0 - 1 to the right, times ds/dm; x is -0.25.
        assert grad[0, 0, 2].item() == pytest.approx(wanted, rel=1e-6)
        assert grad[0, 0, 0].item() == pytest.approx(wanted * -0.25, rel=1e-6)


@each_backend
def test_exact_gradient_is_zero_at_the_papers_threshold_and_straight_through_is_not(backend):
    foreground, background = torch.ones(1, 1, 40, 40), torch.zeros(1, 1, 40, 40)
    theta = (0.83 * identity(1)).requires_grad_()
    grads = {}
    for kind in ("exact", "straight_through"):
        composite = compositor.blend(
            foreground, disc(1, 40), background, theta, mask_grad=kind, backend=backend
        )
        (grads[kind],) = torch.autograd.grad(composite.sum(), theta)
    assert grads["exact"].abs().max() == 0
    # Growing the disc (a smaller scale in theta) covers more: dL/dscale is about -2 area.
    area = composite.sum().item()
    growth = grads["straight_through"][0, [0, 1], [0, 1]].sum().item()
    # The straight-through derivative treats the eroded edge as the mask's own: right to a tenth.
    assert growth == pytest.approx(-2 * area / 0.83, rel=0.15)


@each_backend
def test_object_outside_the_canvas_gives_exactly_zero(backend):
    given = inputs((2, 3, 9, 9, 12, 12))
    theta = identity(2)
    theta[:, 0, 2] = 9.0
    theta.requires_grad_()
    composite = compositor.blend(*given[:3], theta, backend=backend)
    (grad,) = torch.autograd.grad(composite.sum(), theta)
    assert torch.equal(grad, torch.zeros_like(grad))


@each_backend
@pytest.mark.parametrize("hidden", [math.nan, math.inf])
@pytest.mark.parametrize("sigma", [0.0, 1.0])
def test_what_hides_behind_alpha_zero_does_not_reach_theta(backend, hidden, sigma):
    """A colour that is not finite, five pixels off the object: beyond the blur of any sample."""
    size = 64
    mask = torch.zeros(1, 1, size, size)
    far = torch.ones(1, 1, size, size, dtype=torch.bool)
    for left in (10, 44):  # two parts, and the colour also between them
        mask[..., 12:52, left : left + 10] = 1
        far[..., 7:57, left - 5 : left + 15] = False
    clean = torch.rand(1, 3, size, size)
    background = torch.rand(1, 3, size, size)
    weight = torch.randn(1, 3, size, size)
    grads = []
    for foreground in (clean, torch.where(far, hidden, clean)):
        theta = (0.95 * identity(1)).requires_grad_()
        composite = compositor.blend(
            foreground, mask, background, theta, sigma=sigma, backend=backend
        )
        grads.append(torch.autograd.grad((composite * weight).sum(), theta)[0])
    assert grads[1].isfinite().all()
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-4, atol=1e-3)


@each_backend
def test_gradients_of_an_image_without_a_finite_map_are_nan_and_only_its_own(backend):
    given = inputs((3, 2, 9, 9, 12, 12), torch.float64)
    theta = given.theta.clone()
    theta[1, 0, 0] = math.nan
    tensors = [t.clone().requires_grad_() for t in (*given[:3], theta)]
    grads = torch.autograd.grad(compositor.blend(*tensors, backend=backend).sum(), tensors)
    clean = [t.clone().requires_grad_() for t in given]
    wanted = torch.autograd.grad(compositor.blend(*clean, backend=backend).sum(), clean)
    for grad, reference in zip(grads, wanted, strict=True):
        assert grad[1].isnan().all()
        assert torch.equal(grad[[0, 2]], reference[[0, 2]])


@each_backend
def test_two_runs_give_the_same_bits(backend):
    given = inputs((3, 3, 50, 60, 200, 90))
    tensors = [t.float().requires_grad_() for t in given]
    weight = torch.randn(3, 3, 200, 90)
    runs = [
        torch.autograd.grad((compositor.blend(*tensors, backend=backend) * weight).sum(), tensors)
        for _ in range(2)
    ]
    for one, two in zip(*runs, strict=True):
        assert torch.equal(one, two)


@each_backend
def test_theta_gradient_comes_in_thetas_own_dtype(backend):
    given = inputs((2, 3, 20, 20, 20, 20), torch.bfloat16)
    for dtype in (torch.float32, torch.float64):
        theta = given.theta.to(dtype).requires_grad_()
        compositor.blend(*given[:3], theta, backend=backend).sum().backward()
        assert theta.grad.dtype == dtype and theta.grad.abs().sum() > 0


def test_frozen_images_allocate_nothing_of_their_size():
    """The memory of a backward for theta alone, counted by PyTorch's own profiler."""
    given = inputs((2, 3, 200, 200, 200, 200))
    theta = given.theta.float().requires_grad_()
    composite = compositor.blend(*given[:3], theta, backend="cpu")
    grad = torch.ones_like(composite)
    with torch.profiler.profile(profile_memory=True) as profile:
        torch.autograd.grad(composite, theta, grad)
    allocated = sum(max(0, event.self_cpu_memory_usage) for event in profile.events())
    assert allocated < given.mask.nbytes / 10


@each_backend
def test_second_derivative_is_refused_by_name(backend):
    given = inputs((1, 1, 5, 5, 5, 5), torch.float64)
    theta = given.theta.requires_grad_()
    composite = compositor.blend(*given[:3], theta, backend=backend)
    (grad,) = torch.autograd.grad(composite.sum(), theta, create_graph=True)
    with pytest.raises(RuntimeError, match=r"compositor\.blend has no second derivatives"):
        grad.sum().backward()
