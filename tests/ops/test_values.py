"""Values of the composite: exact where they can be, else against float64."""

import math

import pytest
import torch

import compositor
from tests.ops import truth
from tests.ops.cases import SHAPES, disc, each_backend, identity, inputs

PLAIN = {"threshold": 0.0, "sigma": 0.0}  # the mask as it is, no blur


def turn(foreground, quarter_turns, flip=False):
    image = foreground.flip(-1) if flip else foreground
    return torch.rot90(image, quarter_turns, (-2, -1))


def turn_theta(quarter_turns, flip=False):
    cos, sin = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarter_turns % 4]
    theta = torch.tensor([[cos, -sin, 0.0], [sin, cos, 0.0]])
    if flip:
        theta[0] = -theta[0]
    return theta[None]


@each_backend
@pytest.mark.parametrize("size", [1, 2, 5, 40, 299, 300])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
def test_turns_and_flips_give_exact_pixels(backend, size, quarter_turns, flip):
    foreground, background = torch.rand(1, 2, size, size), torch.rand(1, 2, size, size)
    for mask in (None, torch.ones(1, 1, size, size)):
        for threshold in (0.0, 1 - 1e-7):
            composite = compositor.blend(
                foreground, mask, background, turn_theta(quarter_turns, flip),
                threshold=threshold, sigma=0, backend=backend,
            )  # fmt: skip
            assert torch.equal(composite, turn(foreground, quarter_turns, flip))


@each_backend
@pytest.mark.parametrize(("h", "w"), [(30, 50), (7, 4)])
def test_identity_and_half_turn_are_exact_on_oblong_images(backend, h, w):
    foreground, background = torch.rand(2, 3, h, w), torch.rand(2, 3, h, w)
    for theta, wanted in ((identity(2), foreground), (-identity(2), foreground.flip(-1, -2))):
        composite = compositor.blend(foreground, None, background, theta, backend=backend, **PLAIN)
        assert torch.equal(composite, wanted)


@each_backend
@pytest.mark.parametrize(("dy", "dx"), [(0, 1), (3, -2), (-7, 0), (8, 8), (100, 0)])
def test_whole_pixel_shifts_move_pixels_unchanged(backend, dy, dx):
    size = 8  # a power of two: the shift 2 d / size is exact in theta
    foreground, background = torch.rand(1, 3, size, size), torch.rand(1, 3, size, size)
    theta = identity(1)
    theta[0, 0, 2], theta[0, 1, 2] = -2 * dx / size, -2 * dy / size
    wanted = background.clone()
    for i in range(size):
        for j in range(size):
            if 0 <= i - dy < size and 0 <= j - dx < size:
                wanted[:, :, i, j] = foreground[:, :, i - dy, j - dx]
    composite = compositor.blend(foreground, None, background, theta, backend=backend, **PLAIN)
    assert torch.equal(composite, wanted)


@each_backend
def test_half_pixel_shift_by_hand(backend):
    foreground = torch.tensor([[[[1.0, 3.0, 5.0, 7.0]]]])
    background = torch.full((1, 1, 1, 4), 9.0)
    theta = identity(1)
    theta[0, 0, 2] = 0.25  # half a source pixel of 2 / 4
    composite, alpha = compositor.blend(
        foreground, None, background, theta, return_alpha=True, backend=backend, **PLAIN
    )
    # The last sample is half in the frame: its colour is the edge's, its coverage a half.
    assert alpha.flatten().tolist() == [1, 1, 1, 0.5]
    assert composite.flatten().tolist() == [2, 4, 6, 0.5 * 7 + 0.5 * 9]


@each_backend
def test_threshold_by_hand(backend):
    mask = torch.tensor([[[[0.0, 0.25, 0.5, 0.75, 1.0]]]])
    one, zero = torch.ones(1, 1, 1, 5), torch.zeros(1, 1, 1, 5)
    composite = compositor.blend(
        one, mask, zero, identity(1), threshold=0.5, sigma=0, backend=backend
    )
    assert composite.flatten().tolist() == [0, 0, 0, 0.5, 1]
    composite = compositor.blend(one, mask, zero, identity(1), sigma=0, backend=backend)
    assert composite.flatten().tolist() == [0, 0, 0, 0, 1]  # the paper's: binary


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_a_bool_mask_counts_as_zero_and_one(dtype, autocast):
    foreground, background = (torch.rand(1, 3, 5, 6).to(dtype) for _ in range(2))
    mask = torch.rand(1, 1, 5, 6) > 0.5
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        composite = compositor.blend(foreground, mask, background, identity(1), sigma=0)
    assert torch.equal(composite, torch.where(mask, foreground, background))


@each_backend
def test_object_cut_by_the_canvas_keeps_its_alpha_there(backend):
    foreground, background = torch.rand(1, 1, 32, 32), torch.rand(1, 1, 32, 32)
    theta = identity(1) * 0.5  # twice as large: the frame lies far beyond the canvas
    composite, alpha = compositor.blend(
        foreground, None, background, theta, sigma=2.0, return_alpha=True, backend=backend
    )
    assert torch.equal(alpha, torch.ones_like(alpha))
    assert not torch.equal(composite, background)


@each_backend
@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.7, 10.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_alpha_is_exactly_one_well_inside(backend, sigma, dtype):
    size = 100
    foreground, background = (torch.rand(1, 1, size, size, dtype=dtype) for _ in range(2))
    composite, alpha = compositor.blend(
        foreground, None, background, identity(1), sigma=sigma, return_alpha=True, backend=backend
    )
    reach = math.ceil(3 * sigma)
    inner = (..., slice(reach, size - reach), slice(reach, size - reach))
    assert torch.equal(alpha[inner], torch.ones_like(alpha[inner]))
    assert torch.equal(composite[inner], foreground[inner])
    assert (alpha <= 1).all() and (alpha[..., 0, 0] < 1).all()


@each_backend
@pytest.mark.parametrize("flipped", [False, True])
def test_every_pixel_of_the_mask_counts(backend, flipped):
    """Stairs, whose rows each reach one pixel beyond those above, stretched."""
    mask = torch.tril(torch.ones(1, 1, 12, 40), diagonal=5)
    mask[..., :3, :] = mask[..., 11:, :] = mask[..., :4] = 0
    if flipped:
        mask = mask.flip(-2, -1)
    images = torch.ones(1, 1, 12, 40), mask, torch.zeros(1, 1, 12, 40)
    theta = torch.tensor([[[0.3, 0, 0], [0, 1, 0]]])
    options = {"threshold": 0.0, "sigma": 0.0}
    composite = compositor.blend(*images, theta, **options, backend=backend)
    wanted, _ = truth.blend(*images, theta, **options)
    torch.testing.assert_close(composite.double(), wanted, rtol=0, atol=1e-5)


@each_backend
@pytest.mark.parametrize("hidden", [math.nan, math.inf, -math.inf])
def test_background_is_untouched_where_alpha_is_zero(backend, hidden):
    size = 40
    mask = disc(1, size)
    mask[..., 14:26, 12:28] = 0  # a hole: alpha is 0 between the object's own pixels too
    foreground = torch.where(mask > 0, torch.rand(1, 3, size, size), hidden)
    # Zeros of both signs, infinities and NaN must come through as they are, bit by bit.
    background = torch.rand(1, 3, size, size)
    background[0, 0, :3, 0] = torch.tensor([-0.0, math.inf, math.nan])
    theta = identity(1)
    composite, alpha = compositor.blend(
        foreground, mask, background, theta, sigma=0, return_alpha=True, backend=backend
    )
    outside = (alpha == 0).expand_as(background)
    assert outside.any() and not outside.all()
    bits = composite[outside].view(torch.int32)
    assert torch.equal(bits, background[outside].view(torch.int32))


@each_backend
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_map_that_is_not_finite_spoils_its_own_image_only(backend, dtype):
    for bad in (math.nan, math.inf, -math.inf):
        given = inputs((3, 2, 9, 9, 12, 12), dtype)
        theta = given.theta.clone()
        theta[1, 1, 2] = bad
        spoilt, alpha = compositor.blend(*given[:3], theta, return_alpha=True, backend=backend)
        clean = compositor.blend(*given, backend=backend)
        assert spoilt[1].isnan().all() and alpha[1].isnan().all()
        assert torch.equal(spoilt[[0, 2]], clean[[0, 2]])


@each_backend
@pytest.mark.parametrize("size", [1e4, 1e30, 3e38])
def test_huge_map_means_outside(backend, size):
    given = inputs((4, 1, 8, 8, 9, 9))
    theta = torch.tensor([[[size, 0, size], [0, size, 0]], [[0, -size, 0], [size, 0, size]],
                          [[1, 0, size], [0, 1, -size]], [[1, 0, 0], [0, 1, size]]])  # fmt: skip
    composite = compositor.blend(*given[:3], theta, backend=backend)
    assert torch.equal(composite[1:], given.background[1:])
    assert composite.isfinite().all()


@each_backend
def test_degenerate_maps_show_one_pixel_everywhere(backend):
    foreground = torch.rand(1, 1, 5, 5)
    background = torch.rand(1, 1, 8, 8)
    composite = compositor.blend(
        foreground, None, background, torch.zeros(1, 2, 3), backend=backend, **PLAIN
    )
    assert torch.equal(composite, foreground[:, :, 2:3, 2:3].expand_as(background))


@each_backend
@pytest.mark.parametrize("shape", SHAPES[:-1])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("radius", [None, 0, 1, 4])
def test_float64_matches_grid_sample(backend, shape, masked, radius):
    given = inputs(shape, torch.float64, masked)
    for threshold in (0.0, 0.4):
        composite, alpha = compositor.blend(
            *given, threshold=threshold, radius=radius, return_alpha=True, backend=backend
        )
        wanted, wanted_alpha = truth.blend(*given, threshold=threshold, radius=radius)
        # Rounding of coordinates, times the images' slope of at most 1 a pixel.
        torch.testing.assert_close(alpha, wanted_alpha, rtol=0, atol=1e-12)
        torch.testing.assert_close(composite, wanted, rtol=0, atol=1e-12)


@each_backend
def test_paper_settings_match_grid_sample_but_for_flips_at_the_threshold(backend):
    foreground, background = torch.rand(2, 3, 100, 100), torch.rand(2, 3, 120, 90)
    theta = inputs((2, 1, 1, 1, 1, 1), spread=0.2).theta
    composite = compositor.blend(foreground, disc(2, 100), background, theta, backend=backend)
    wanted, _ = truth.blend(foreground, disc(2, 100), background, theta)
    error = (composite - wanted).abs()
    # A sample within rounding of a mask pixel's edge may fall on either side of the threshold and
    # move alpha by up to g(0)^2 = 0.16; all others agree to float32's rounding of coordinates.
    assert (error > 2e-4).float().mean() < 1e-3
    assert error.max() < 0.2


@each_backend
def test_radius_larger_than_the_image_and_empty_batch(backend):
    given = inputs((2, 1, 3, 3, 4, 4), torch.float64)
    composite = compositor.blend(*given, sigma=5.0, radius=40, threshold=0.0, backend=backend)
    wanted, _ = truth.blend(*given, sigma=5.0, radius=40, threshold=0.0)
    torch.testing.assert_close(composite, wanted, rtol=0, atol=1e-12)
    empty = compositor.blend(*inputs(SHAPES[-1]), backend=backend)
    assert empty.shape == (0, 3, 5, 5)


@each_backend
def test_batches_beyond_a_grid_dimension(backend):
    n = 65_537
    foreground = torch.arange(n, dtype=torch.float32)[:, None, None, None]
    composite = compositor.blend(
        foreground, None, torch.zeros(n, 1, 1, 1), identity(n), backend=backend, **PLAIN
    )
    assert torch.equal(composite, foreground)


@each_backend
@pytest.mark.parametrize("odd", [math.nan, -0.5])
def test_a_lone_mask_pixel_counts_unless_it_is_zero(backend, odd):
    """NaN spreads as far as it is sampled and blurred; below 0, the silhouette still pulls."""
    images = torch.rand(2, 1, 2, 9, 9, dtype=torch.float64)
    mask = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    mask[..., 5:7, 4:6] = 1
    mask[..., 1, 7] = odd
    theta = torch.tensor([[[0.9, 0.1, 0.05], [-0.1, 1.1, 0.03]]], dtype=torch.float64)
    leaves = [theta.clone().requires_grad_() for _ in range(2)]
    composite = compositor.blend(
        images[0], mask, images[1], leaves[0], threshold=0.5, backend=backend
    )
    wanted, _ = truth.blend(images[0], mask, images[1], leaves[1], threshold=0.5)
    assert wanted.isnan().any() == math.isnan(odd)
    torch.testing.assert_close(composite, wanted, equal_nan=True)
    for result in (composite, wanted):
        result.nansum().backward()
    torch.testing.assert_close(leaves[0].grad, leaves[1].grad, equal_nan=True)


@each_backend
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("width", [256, 37])  # whole blocks of eight columns, and some over
def test_halves_are_read_exactly_and_rounded_half_to_even(backend, dtype, width):
    every = torch.arange(-(2**15), 2**15).to(torch.int16).view(dtype)
    every = every[(every.abs() >= 2**-14) & every.isfinite()]  # all but subnormals
    every = torch.cat([every[:2048], every[-2048:]])  # the least below 0, the greatest above
    picture = every[: len(every) // width * width].view(1, 1, -1, width)
    options = {"sigma": 0.0, "backend": backend}
    background = torch.zeros_like(picture)
    theta = identity(1)
    assert torch.equal(compositor.blend(picture, None, background, theta, **options), picture)
    # Half a pixel to the right: neighbours in value, so their mean is a tie, exact in float32.
    theta = theta.clone()
    theta[:, 0, 2] = 1 / width
    moved = compositor.blend(picture, None, background, theta, **options)[..., :-1]
    left, right = picture.double()[..., :-1], picture.double()[..., 1:]
    near = left.sign() == right.sign()
    assert torch.equal(moved[near], ((left + right) / 2).to(dtype)[near])
