"""What is specific to the CUDA kernels: tiles, chunks of a wide blur, the inverse map's search.

On the host, see emulation.py; the rest of the op's tests run there too.
"""

import math
from dataclasses import replace

import pytest
import torch

import compositor
from tests.ops import emulation
from tests.ops import test_render_gradients as gradients
from tests.ops.cases import Inputs, disc, identity, inputs
from tests.ops.layers import scene
from tests.ops.test_agreement import check_both_directions, check_close

reference_backward = torch.ops.compositor.blend_backward.reference
ALL = (True, True, True, True)


def test_threads_may_run_in_any_order_within_a_phase():
    """No thread relies on another before a barrier: the bits stay, also those of the sums."""
    given = inputs((2, 4, 50, 60, 70, 150), spread=0.2)
    grad = torch.randn_like(given.background)
    for radius in (3, 9):
        options = (0.2, radius / 3, radius, True)
        runs = [
            (
                *emulation.blend(*given, *options, True, seed=seed),
                *emulation.blend_backward(grad, None, *given, *options, *ALL, seed=seed),
            )
            for seed in (1, 2)
        ]
        for one, two in zip(*runs, strict=True):
            assert torch.equal(one, two)


def test_threads_may_run_in_any_order_within_a_phase_of_render():
    given = scene((2, 4, 3, 9, 61, 150), spread=0.3).to(torch.float32)
    arguments = (
        [image[None] for image in given.foreground], [mask[None] for mask in given.mask],
        given.background, given.theta, given.image, given.source, given.gain, given.bias,
        given.sigma, 0.3, -1, True,
    )  # fmt: skip
    runs = []
    for seed in (1, 2):
        outputs = emulation.render(*arguments, True, seed=seed)
        foreground, mask, *grads = emulation.render_backward(
            torch.ones_like(given.background), *arguments, [True] * 6, seed=seed
        )
        runs.append((*outputs, *foreground, *mask, *grads))
    for one, two in zip(*runs, strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.uint8])
@pytest.mark.parametrize("radius", [0, 2, 3, 4, 16, 17, 90])
def test_layers_of_any_blur_over_several_tiles(dtype, radius):
    """Tiles of 64 x 16, or 64 x 8: whole layers inside, beside and across, channels in groups."""
    given = scene((2, 5, 3, 7, 70, 150), 1, spread=0.3).to(dtype)
    given.theta[0, :, :2] *= 0.1  # everywhere
    options = given.options() | {"sigma": radius / 3, "radius": radius, "return_labels": True}
    results = [
        compositor.render(
            given.background, given.foreground, given.mask, given.theta, threshold=0.3,
            backend=backend, **options,
        )
        for backend in ("emulated", "reference")
    ]  # fmt: skip
    (got, labels), (wanted, truths) = results
    # As in test_render_values; where a byte lies half-way between two, either.
    close = {torch.float64: 1e-11, torch.float32: 1e-4, torch.uint8: 1}[dtype]
    torch.testing.assert_close(got.double(), wanted.double(), rtol=0, atol=close)
    for mine, true in zip(labels, truths, strict=True):
        assert torch.equal(mine, true)


@pytest.mark.parametrize("mask_grad", ["exact", "straight_through"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("radius", [0, 2, 3, 4, 17, 90])
def test_gradients_of_layers_of_any_blur_over_several_tiles(dtype, radius, mask_grad):
    given = scene((2, 5, 3, 7, 70, 150), 1, spread=0.3).to(dtype)
    given.theta[0, :, :2] *= 0.1  # everywhere
    given = replace(given, mask=[0.3 + 0.6 * torch.rand_like(mask) for mask in given.mask])
    weight = torch.randn(given.background.shape).to(dtype)
    grads = []
    for backend in ("emulated", "reference"):
        tensors = gradients.leaves(given, dtype)
        composed = gradients.composite(
            given, tensors, backend, threshold=0.2, mask_grad=mask_grad, sigma=radius / 3,
            radius=radius,
        )  # fmt: skip
        grads.append(torch.autograd.grad((composed * weight).sum(), tensors))
    for got, wanted in zip(*grads, strict=True):
        scale = max(1.0, wanted.abs().max().item())
        close = 1e-11 if dtype == torch.float64 else 3e-4  # as in test_render_gradients
        torch.testing.assert_close(got, wanted, rtol=0, atol=close * scale)


def test_each_gradient_of_render_alone_is_the_one_among_all():
    given = scene((2, 4, 3, 9, 61, 90), spread=0.3)
    arguments = (
        [image[None] for image in given.foreground], [mask[None] for mask in given.mask],
        given.background, given.theta, given.image, given.source, given.gain, given.bias,
        given.sigma, 0.3, -1, True,
    )  # fmt: skip
    weight = torch.randn_like(given.background)
    together = emulation.render_backward(weight, *arguments, [True] * 6)
    for k in range(6):
        alone = emulation.render_backward(weight, *arguments, [k == other for other in range(6)])
        for other, (one, all_of_it) in enumerate(zip(alone, together, strict=True)):
            pairs = zip(one, all_of_it, strict=True) if other < 2 else [(one, all_of_it)]
            for mine, wanted in pairs:
                assert torch.equal(mine, wanted) if other == k else mine.numel() == 0


def test_more_layers_on_a_canvas_than_a_block_has_threads():
    count = 600
    given = scene((2, 1, 3, 20, 20, 70))
    random = torch.Generator().manual_seed(0)
    theta = 3 * torch.eye(2, 3).repeat(count, 1, 1)
    theta[:, :, 2] += 2 * torch.randn(count, 2, generator=random)
    image, source = torch.randint(2, (count,)), torch.randint(3, (count,))
    results, grads = [], []
    for backend in ("emulated", "cpu"):
        tensors = [t.clone().requires_grad_() for t in (theta.double(), *given.images())]
        maps, background, *images = tensors
        composed, labels = compositor.render(
            background, images[:3], images[3:], maps, image=image, source=source, sigma=0.4,
            return_labels=True, backend=backend,
        )  # fmt: skip
        results.append((composed, labels))
        grads.append(torch.autograd.grad(composed.square().sum(), tensors))
    (got, labels), (wanted, truths) = results
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-11)
    for mine, true in zip(*grads, strict=True):
        scale = max(1.0, true.abs().max().item())
        torch.testing.assert_close(mine, true, rtol=0, atol=1e-11 * scale)
    for mine, true in zip(labels, truths, strict=True):
        assert torch.equal(mine, true)
    assert (labels.area > 0).sum() > 100


def test_a_canvas_has_the_same_bits_whatever_blurs_another_has():
    """A soft mask, whose sums round, under a blur that has a way of its own through a tile."""
    given = scene((2, 3, 2, 2, 40, 90), spread=0.2).to(torch.float32)
    given.mask[0][:] = torch.rand(given.mask[0].shape)
    one, other = (
        compositor.render(
            given.background, given.foreground, given.mask, given.theta, threshold=0,
            sigma=torch.tensor([1.0, width]), backend="emulated",
        )
        for width in (1.0, 2.0)
    )  # fmt: skip
    assert torch.equal(one[0], other[0]) and not torch.equal(one[1], other[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("radius", [2, 15, 16, 17, 40, 130])
def test_blur_of_any_radius_over_several_tiles(dtype, radius):
    """Chunks are 96 pixels wide and as high as a tile: below one, one, several."""
    given = inputs((1, 2, 40, 50, 70, 140), dtype, spread=0.2)
    check_both_directions("emulated", given, radius / 3, radius, 0.3, True)


@pytest.mark.parametrize("mask_grad", ["exact", "straight_through"])
def test_tiles_wholly_inside_the_object_and_wholly_outside(mask_grad):
    size = 260
    canvas = (2, 3, size, size, size, size)
    given = inputs(canvas, spread=0)._replace(mask=disc(2, size))
    theta = torch.stack([1.5 * identity(1)[0], torch.eye(2, 3) * 0.4])
    for mask in (given.mask, None):
        check_both_directions(
            "emulated", Inputs(given.foreground, mask, given.background, theta), 1.0, 3, 0.5,
            mask_grad == "straight_through",
        )  # fmt: skip


# Every sample of the canvas lies in the frame: turned, flipped, between pixels, where slopes have
# one value; and on them.
INSIDE = {
    "turned": [[0.41314159, -0.29727182, 0.05314159], [0.25314159, 0.49127182, -0.10141421]],
    "flipped": [[-0.61314159, 0.09727182, 0.00314159], [0.05314159, 0.69127182, 0.10141421]],
    "on whole pixels": [[150 / 230, 0, 0], [0, -90 / 200, 0]],
}


@pytest.mark.parametrize("name", INSIDE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("radius", [3, 5])
def test_tiles_whose_samples_all_lie_inside_the_frame(name, dtype, radius):
    """Nothing is clamped there, and neighbours are neighbours in memory; else the general path."""
    given = inputs((1, 4, 200, 230, 90, 150), dtype)
    given = given._replace(theta=torch.tensor([INSIDE[name]], dtype=torch.float64))

    def apart(image):
        return image.repeat_interleave(2, -1)[..., ::2]

    for mask in (given.mask, apart(given.mask), None):
        for foreground in (given.foreground, apart(given.foreground)):
            layout = given._replace(foreground=foreground, mask=mask)
            check_both_directions("emulated", layout, radius / 3, radius, 0.3, True)


def test_mask_of_one_is_alpha_of_one_whatever_the_threshold():
    """(1 - t) times the reciprocal of (1 - t), rounded, is not always 1."""
    given = inputs((1, 1, 100, 120, 60, 70))
    mask = torch.ones_like(given.mask)
    mask[..., 50, 60] = 0  # or the tile would be known to be 1 all over
    theta = 0.5 * identity(1)
    for threshold in torch.linspace(0, 0.999, 41).tolist():
        options = (threshold, 0.0, 0, True, True)
        _, alpha = emulation.blend(given.foreground, mask, given.background, theta, *options)
        assert (alpha == 1).sum() > 0.9 * alpha.numel()
        assert alpha.max() == 1


# Maps of a plane onto a line or a point, or nearly; strong shears; an object of a pixel, and one a
# hundred times the canvas. Their inverses do not exist or are useless.
MAPS = {
    "point": [[0, 0, 0.1], [0, 0, -0.2]],
    "point between pixels": [[0, 0, 0.125], [0, 0, 0.0]],
    "line": [[1, 0, 0], [0, 0, 0.3]],
    "diagonal": [[1, 1, 0], [1, 1, 0.1]],
    "almost a line": [[1, 0.5, 0], [2, 1 + 1e-7, 0]],
    "almost a point": [[1e-30, 0, 0.2], [0, 1e-30, 0.2]],
    "shear": [[1, 30, 0], [0, 1, 0]],
    "tiny object": [[40, 3, 0.5], [-2, 45, 0.5]],
    "huge object": [[0.01, 0, 0.3], [0, -0.01, 0.3]],
    "quarter turn": [[0, -1, 0], [1, 0, 0]],
    "mirrored": [[-1, 0, 0.01], [0, 1, 0]],
    "outside": [[1, 0, 50], [0, 1, 0]],
    "too large for float32": [[1e39, 0, 0], [0, 1, 0]],
}


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("radius", [0, 3, 5])
def test_image_gradients_under_any_map(name, dtype, radius):
    given = inputs((1, 5, 13, 17, 37, 75), dtype)
    theta = torch.tensor([MAPS[name]], dtype=torch.float64)
    # Whole canvases of equal terms fall on one pixel: float32 sums of some 3000.
    check_both_directions("emulated", given._replace(theta=theta), radius / 3, radius, 0.0, True)


@pytest.mark.parametrize("hidden", [math.nan, math.inf])
@pytest.mark.parametrize("column", [50, 60, 63, 64, 66, 67, 70])
def test_colour_that_is_not_finite_counts_where_alpha_does(hidden, column):
    """Beside a tile's border alpha is not at hand: shown or not must be decided all the same."""
    given = inputs((1, 3, 40, 130, 40, 130), torch.float64)
    mask = torch.zeros(1, 1, 40, 130, dtype=torch.float64)
    mask[..., 10:30, :64] = 0.9  # ends where a tile of the backward does, or three columns off
    foreground = given.foreground.clone()
    foreground[:, 1, 20, column] = hidden
    grad = torch.randn_like(given.background)
    for shift in (0.3, 3.3):
        theta = identity(1, torch.float64)
        theta[0, :, 2] = torch.tensor([2 * shift / 130, 0.6 / 40])
        arguments = (grad, None, foreground, mask, given.background, theta, 0.3, 1.0, 3, True)
        got = emulation.blend_backward(*arguments, *ALL)
        wanted = reference_backward(*arguments, *ALL)
        for g, w in zip(got, wanted, strict=True):
            assert torch.equal(g.isfinite(), w.isfinite())
            check_close(g.nan_to_num(0, 0, 0), w.nan_to_num(0, 0, 0), 1e-11)


@pytest.mark.parametrize("offset", [0, 1, 2, 4])
@pytest.mark.parametrize("width", [64, 68, 71])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
def test_tiles_without_the_object_are_copies_bit_by_bit(offset, width, dtype):
    """In pieces of 16 bytes where both images allow it, else by the element."""
    room = torch.rand(2 * 3 * 40 * width + 8, dtype=torch.float64).to(dtype)
    room[7::31] = math.nan
    background = room[offset : offset + 2 * 3 * 40 * width].view(2, 3, 40, width)
    theta = identity(2, torch.float64)
    theta[:, 0, 2] = 9
    composite, alpha = emulation.blend(
        torch.rand_like(background), None, background, theta, 0.5, 1.0, 3, True, True
    )
    assert torch.equal(composite.view(torch.uint8), background.view(torch.uint8))
    assert torch.equal(alpha, torch.zeros_like(alpha))


def test_emulated_is_no_name_of_the_library():
    assert "emulated" not in compositor.build_info()["backends"]
