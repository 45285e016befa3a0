"""Triton's kernels: on its interpreter where there is no GPU.

The interpreter takes a tenth of a second for a tile, so each case is small, and crosses the border
of a tile (26 x 58 pixels at a radius of 3) only where it says so.
"""

from __future__ import annotations

import math

import pytest
import torch

import compositor
from compositor.triton import tuning
from tests.ops.cases import Inputs, disc, identity, inputs
from tests.ops.test_agreement import TOLERANCE, check_close
from tests.ops.test_values import PLAIN, turn, turn_theta

reference = torch.ops.compositor.blend.reference
reference_backward = torch.ops.compositor.blend_backward.reference
kernel = torch.ops.compositor.blend.triton
kernel_backward = torch.ops.compositor.blend_backward.triton

# NumPy, under the interpreter, warns of arithmetic with NaN and infinities that is meant here.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:triton.runtime.interpreter")

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
THETA = (False, False, False, True)
EVERY = (True, True, True, True)
TILES = (1, 2, 33, 40, 40, 65)  # two by two of them


def on_device(given):
    return Inputs(*(None if t is None else t.to(DEVICE) for t in given))


def blend(*arguments, **options):
    return compositor.blend(*(t.to(DEVICE) for t in arguments), backend="triton", **options)


def check_both_directions(given, options, needs):
    tolerance = TOLERANCE[given.background.dtype]
    got, wanted = kernel(*given, *options, True), reference(*given, *options, True)
    for g, w in zip(got, wanted, strict=True):
        check_close(g, w, tolerance)
    grad, grad_alpha = torch.randn_like(wanted[0]), torch.randn_like(wanted[1])
    got = kernel_backward(grad, grad_alpha, *given, *options, *needs)
    wanted = reference_backward(grad, grad_alpha, *given, *options, *needs)
    for g, w in zip(got, wanted, strict=True):
        check_close(g, w, 10 * tolerance)


@pytest.mark.parametrize(
    ("dtype", "masked", "options"),
    [
        (torch.float32, True, (0.3, 1.0, 3, False)),
        (torch.float64, True, (0.0, 0.7, 3, True)),
        (torch.float16, False, (0.3, 1.0, 3, True)),
        (torch.bfloat16, True, (0.3, 1.0, 3, True)),
    ],
)
def test_agrees_over_several_tiles(dtype, masked, options):
    check_both_directions(on_device(inputs(TILES, dtype, masked)), options, THETA)


@pytest.mark.parametrize("straight_through", [True, False])
def test_agrees_where_tiles_are_level(straight_through):
    """From left to right: tiles of ones, which are not blurred; the object's edge; no object."""
    given = inputs((1, 2, 40, 40, 20, 250), torch.float64)._replace(
        mask=disc(1, 40, torch.float64),
        theta=torch.tensor([[[0.94, 0, 0.5], [0, 0.1, 0]]], dtype=torch.float64),
    )
    _, alpha = reference(*given, 0.5, 1.0, 3, straight_through, True)
    assert (alpha[..., :61] == 1).all() and alpha[..., 116:174].unique().numel() > 9
    assert (alpha[..., 180:] == 0).all()
    check_both_directions(on_device(given), (0.5, 1.0, 3, straight_through), THETA)


@pytest.mark.parametrize("axis", [0, 1])
def test_object_at_a_border_between_tiles(axis):
    """It reaches the next tile with a pixel of blur, or not quite: no tile is skipped too soon."""
    size, canvas = 8, ((52, 10), (10, 116))[axis]
    border, extent = canvas[axis] // 2, canvas[axis]
    shifts = torch.tensor([-12, -11, -10, -9.5, 1, 2, 3.5, 4])  # of the object's first pixel
    theta = identity(8, torch.float64)
    theta[:, 1 - axis, 1 - axis] = canvas[1 - axis] / size
    theta[:, axis, axis] = extent / size
    # The frame's centre lies at first + size / 2, of pixels counted from the canvas's edge.
    theta[:, 1 - axis, 2] = 0
    theta[:, axis, 2] = (extent / 2 - (border + shifts + size / 2)) * 2 / size
    theta = theta[:, [1, 0]][:, :, [1, 0, 2]]  # from (y, x) to (x, y)
    given = inputs((8, 1, size, size, *canvas))._replace(theta=theta)
    check_both_directions(on_device(given), (0.0, 1.0, 3, True), THETA)


@pytest.mark.parametrize(
    ("shape", "dtype", "masked", "options"),
    [
        ((2, 3, 7, 6, 9, 8), torch.float32, True, (0.3, 1.0, 2, False)),
        ((1, 5, 6, 7, 8, 9), torch.float64, True, (0.0, 1.0, 1, True)),
        ((1, 1, 1, 1, 1, 1), torch.float64, True, (0.3, 0.0, 0, True)),
        ((1, 2, 18, 67, 5, 4), torch.float64, True, (0.3, 0.0, 0, False)),  # a frame of four tiles
        ((1, 2, 5, 4, 7, 6), torch.bfloat16, False, (0.3, 1.0, 1, True)),
        ((0, 3, 4, 4, 5, 5), torch.float32, True, (0.3, 1.0, 3, True)),
    ],
)
def test_every_gradient(shape, dtype, masked, options):
    check_both_directions(on_device(inputs(shape, dtype, masked, spread=0.2)), options, EVERY)


# fmt: off
GATHERED = {
    "magnified": [[0.3, 0.1, 0], [-0.1, 0.2, 0.1]],
    "shrunk and turned": [[2, 3, 0.2], [-3, 2, 0.1]],
    "one point": [[0, 0, 0.3], [0, 0, -0.2]],
    "one line": [[0.7, 0.7, 0], [0.7, 0.7, 0]],
    "columns alone": [[1, 0, 0], [0, 0, 0]],
    "rows alone": [[0, 0, 0], [0.2, 1, 0]],
    "nearly singular": [[0.7, 0.5, 0], [0.7, 0.5 + 1e-6, 0]],
    "far outside": [[1, 0, 50], [0, 1, 0]],
}
# fmt: on


@pytest.mark.parametrize("place", GATHERED)
def test_image_gradients_miss_no_pixel(place):
    """The gather through the inverse map, where there is hardly one."""
    given = on_device(inputs((1, 1, 6, 5, 7, 8), torch.float64))
    given = given._replace(theta=torch.tensor([GATHERED[place]], dtype=torch.float64).to(DEVICE))
    check_both_directions(given, (0.0, 1.0, 1, True), (True, True, False, False))


def test_float32_gathers_as_float64_does():
    given = inputs((1, 1, 20, 20, 24, 24), torch.float32, spread=0.2)
    check_both_directions(on_device(given), (0.3, 1.0, 1, True), (True, True, False, False))


@pytest.mark.parametrize(("dtype", "masked"), [(torch.float64, True), (torch.float16, False)])
def test_blur_too_wide_for_a_halo(monkeypatch, dtype, masked):
    """Blurred by rows first; wider than the image too."""
    monkeypatch.setattr(tuning, "LARGEST_HALO", 1)
    given = on_device(inputs((1, 2, 5, 6, 2, 66), dtype, masked))
    check_both_directions(given, (0.3, 1.0, 3, masked), EVERY if masked else THETA)


@pytest.mark.parametrize("radius", [0, 8, 9, 16, 17, 100])
def test_every_configuration_has_room_for_the_halo(radius):
    halo = tuning.halo_of(radius)
    for tuned in (tuning.FORWARD, tuning.BACKWARD):
        tiles = [c.kwargs for c in tuned.early_config_prune(tuned.configs, None, RADIUS=radius)]
        assert tiles and all(2 * (side - 2 * halo) >= side for t in tiles for side in t.values())
    assert all(tile == tuning.partial_tile(radius) for tile in tiles)  # the backward's


@pytest.mark.parametrize("layout", ["channels_last", "strided", "expanded", "transposed"])
def test_any_strides(layout):
    given = on_device(inputs((2, 3, 7, 6, 9, 8), spread=0.2))
    if layout == "channels_last":
        images = [t.contiguous(memory_format=torch.channels_last) for t in given[:3]]
    elif layout == "strided":
        images = [t.repeat_interleave(2, -1).repeat(1, 1, 2, 1)[:, :, ::2, ::2] for t in given[:3]]
    elif layout == "expanded":
        images = [t[:1, :1].expand_as(t) for t in given[:3]]
    else:
        images = [t.mT.contiguous().mT for t in given[:3]]
    theta = given.theta.mT.contiguous().mT
    needs = EVERY if layout == "channels_last" else THETA
    check_both_directions(Inputs(*images, theta), (0.3, 1.0, 1, True), needs)


def test_gradient_of_a_sum_is_an_expanded_tensor():
    given = on_device(inputs((1, 2, 7, 6, 9, 8)))
    grad = torch.ones((), device=DEVICE).expand_as(given.background)
    arguments = (grad, None, *given, 0.3, 1.0, 1, True, *THETA)
    for g, w in zip(kernel_backward(*arguments), reference_backward(*arguments), strict=True):
        check_close(g, w, 1e-4)


def test_offsets_beyond_32_bits():
    stride = 2**30
    storage = torch.empty(4 * stride, dtype=torch.float16, device=DEVICE)  # untouched: no memory
    foreground = storage.as_strided((1, 1, 4, 4), (0, 0, stride, 1))
    foreground.copy_(torch.rand(1, 1, 4, 4))
    composite = blend(
        foreground, torch.ones(1, 1, 4, 4).half(), torch.zeros(1, 1, 4, 4).half(), identity(1),
        **PLAIN,
    )  # fmt: skip
    assert torch.equal(composite, foreground)


@pytest.mark.parametrize("size", [1, 5, 30])
@pytest.mark.parametrize(("quarter_turns", "flip"), [(0, False), (1, False), (2, True), (3, True)])
def test_turns_and_flips_give_exact_pixels(size, quarter_turns, flip):
    foreground, background = torch.rand(1, 2, size, size), torch.rand(1, 2, size, size)
    for threshold in (0.0, 1 - 1e-7):
        composite = blend(
            foreground, torch.ones(1, 1, size, size), background,
            turn_theta(quarter_turns, flip), threshold=threshold, sigma=0,
        )  # fmt: skip
        assert torch.equal(composite.cpu(), turn(foreground, quarter_turns, flip))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_alpha_is_exactly_one_well_inside(dtype):
    size = 30
    foreground, background = (torch.rand(1, 1, size, size, dtype=dtype) for _ in range(2))
    composite, alpha = blend(
        foreground, torch.ones_like(foreground), background, identity(1), return_alpha=True
    )
    inner = (..., slice(3, -3), slice(3, -3))
    assert torch.equal(alpha[inner], torch.ones_like(alpha[inner]))
    assert torch.equal(composite.cpu()[inner], foreground[inner])
    assert (alpha <= 1).all() and (alpha[..., 0, 0] < 1).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("hidden", [math.nan, -math.inf])
def test_background_is_untouched_where_alpha_is_zero(dtype, hidden):
    size = 20
    mask = disc(1, size, dtype)
    foreground = torch.where(mask > 0, torch.rand(1, 3, size, size).to(dtype), hidden)
    background = torch.rand(1, 3, size, size).to(dtype)
    integers = torch.int32 if dtype == torch.float32 else torch.int16
    background[0, 0, :3, 0] = torch.tensor([-0.0, math.inf, math.nan])
    background.view(integers)[0, 1, 0, 0] = -3  # a NaN with a payload
    composite, alpha = blend(foreground, mask, background, identity(1), sigma=0, return_alpha=True)
    outside = (alpha == 0).expand_as(background).cpu()
    assert outside.any() and not outside.all()
    bits = composite.cpu()[outside].view(integers)
    assert torch.equal(bits, background[outside].view(integers))


def test_what_hides_behind_alpha_zero_does_not_reach_theta():
    size = 24
    mask = torch.zeros(1, 1, size, size)
    mask[..., 9:15, 9:15] = 1
    far = torch.ones(1, 1, size, size, dtype=torch.bool)
    far[..., 4:20, 4:20] = False
    lone = torch.zeros_like(far)
    lone[..., 21, 21] = True  # between finite colours, where samples are infinite and not NaN
    clean, background = torch.rand(1, 2, size, size), torch.rand(1, 2, size, size)
    weight = torch.randn(1, 2, size, size, device=DEVICE)
    grads = []
    for hidden in (torch.zeros_like(far), far, lone):
        foreground = torch.where(hidden, math.inf, clean)
        theta = (0.95 * identity(1)).to(DEVICE).requires_grad_()
        composite = blend(foreground, mask, background, theta)
        grads.append(torch.autograd.grad((composite * weight).sum(), theta)[0])
    assert grads[0].isfinite().all() and grads[0].abs().sum() > 0
    assert torch.equal(grads[0], grads[1]) and torch.equal(grads[0], grads[2])


@pytest.mark.parametrize("bad", [math.nan, -math.inf])
def test_map_that_is_not_finite_spoils_its_own_image_only(bad):
    given = on_device(inputs((2, 1, 5, 5, 6, 6), torch.float64, spread=0.2))
    theta = given.theta.clone()
    theta[1, 1, 2] = bad
    results = []
    for maps in (theta, given.theta):
        arguments = (*given[:3], maps, 0.3, 1.0, 1, True)
        grad = torch.ones_like(given.background)
        results.append(
            (*kernel(*arguments, True), *kernel_backward(grad, None, *arguments, *EVERY))
        )
    for spoilt, clean in zip(*results, strict=True):
        assert spoilt[1].isnan().all()
        assert torch.equal(spoilt[0], clean[0])


@pytest.mark.parametrize("size", [1e4, 1e30, 3e38])
def test_huge_map_means_outside(size):
    given = inputs((4, 1, 8, 8, 9, 9))
    theta = torch.tensor([[[size, 0, size], [0, size, 0]], [[0, -size, 0], [size, 0, size]],
                          [[1, 0, size], [0, 1, -size]], [[1, 0, 0], [0, 1, size]]])  # fmt: skip
    leaf = theta.to(DEVICE).requires_grad_()
    composite = blend(*given[:3], leaf)
    assert torch.equal(composite[1:].cpu(), given.background[1:])
    assert composite.isfinite().all()
    (grad,) = torch.autograd.grad(composite.sum(), leaf)
    assert torch.equal(grad[2:], torch.zeros_like(grad[2:]))


def test_gradcheck():
    given = on_device(inputs((1, 2, 4, 5, 5, 4), torch.float64, spread=0.3))
    given = given._replace(mask=0.1 + 0.8 * given.mask)
    tensors = [t.requires_grad_() for t in given]

    def function(*args):
        return compositor.blend(
            *args, sigma=0.5, radius=1, threshold=0.05, mask_grad="exact", return_alpha=True,
            backend="triton",
        )  # fmt: skip

    # The whole Jacobian would take minutes on the interpreter; fast mode projects it at random.
    assert torch.autograd.gradcheck(function, tensors, fast_mode=True)


def test_same_bits_in_every_run_and_in_every_batch():
    given = on_device(inputs((2, 2, 6, 7, 8, 9), spread=0.2))
    one = Inputs(*(t[1:2] for t in given))
    grad = torch.randn_like(given.background)
    options = (0.2, 1.0, 1, True)
    runs = [kernel_backward(grad, None, *given, *options, *EVERY) for _ in range(2)]
    alone = kernel_backward(grad[1:2], None, *one, *options, *EVERY)
    for first, second, single in zip(*runs, alone, strict=True):
        assert torch.equal(first, second) and torch.equal(first[1:2], single)


def test_frozen_images_allocate_nothing_of_their_size():
    given = on_device(inputs((1, 1, 60, 60, 60, 60)))
    grad = torch.ones_like(given.background)
    with torch.profiler.profile(profile_memory=True) as profile:
        kernel_backward(grad, None, *given, 0.3, 1.0, 3, True, *THETA)
    name = "self_device_memory_usage" if DEVICE == "cuda" else "self_cpu_memory_usage"
    allocated = sum(max(0, getattr(event, name)) for event in profile.events())
    # A GPU's allocator rounds up to 512 bytes: maps, constants, partial sums, theta's gradient.
    assert 0 < allocated < given.mask.nbytes / 10 + 4 * 512


@pytest.mark.parametrize("needs", [EVERY, THETA])
def test_opcheck(needs):
    given = on_device(inputs((1, 2, 4, 5, 6, 3), spread=0.2))
    options = (0.3, 1.0, 1, True)
    tests = ("test_schema", "test_faketensor")  # autograd's and AOT's: by compiling, below
    torch.library.opcheck(kernel, (*given, *options, True), test_utils=tests)
    grad = torch.randn_like(given.background)
    torch.library.opcheck(kernel_backward, (grad, None, *given, *options, *needs), test_utils=tests)


@pytest.mark.parametrize("engine", ["aot_eager", "inductor"])
def test_compile_without_graph_breaks(engine):
    def step(foreground, mask, background, theta):
        composite = compositor.blend(foreground, mask, background * 0.5, theta, backend="triton")
        return (composite * 2).sum()

    compiled = torch.compile(step, fullgraph=True, backend=engine)
    given = on_device(inputs((2, 3, 7, 6, 9, 8)))
    values, grads = [], []
    for function in (step, compiled):
        leaf = given.theta.float().requires_grad_()
        values.append(function(*given[:3], leaf))
        values[-1].backward()
        grads.append(leaf.grad)
    # Only the sums around the op may be ordered otherwise.
    torch.testing.assert_close(values[0], values[1], rtol=1e-5, atol=0)
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-5, atol=1e-5)


def test_vmap_equals_a_loop():
    given = on_device(inputs((2, 1, 5, 4, 6, 7)))
    thetas = torch.stack([given.theta, given.theta.flip(0)])

    def function(theta):
        return compositor.blend(*given[:3], theta, backend="triton")

    got = torch.vmap(function)(thetas)
    assert torch.equal(got, torch.stack([function(theta) for theta in thetas]))


def test_it_serves_cuda_tensors_where_the_extension_does_not():
    assert torch._C._dispatch_has_kernel_for_dispatch_key("compositor::blend", "CUDA")
    assert torch._C._dispatch_has_kernel_for_dispatch_key("compositor::blend_backward", "CUDA")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({1: torch.zeros(2, 1, 7, 7)}, "mask does not fit"),
        ({2: torch.zeros(1, 3, 9, 9)}, "background does not fit"),
        ({3: torch.zeros(1, 2, 3)}, "theta does not fit"),
        ({0: torch.zeros(3, 8, 7)}, "wanted"),
    ],
)
def test_direct_call_of_the_op_stays_inside_memory(change, message):
    arguments = [change.get(k, t) for k, t in enumerate(inputs((2, 3, 8, 7, 10, 9)))]
    with pytest.raises(RuntimeError, match=message):
        kernel(*(t.to(DEVICE) for t in arguments), 0.5, 1.0, 3, True, False)


def test_named_without_what_it_needs_it_raises(monkeypatch):
    given = inputs((1, 1, 4, 4, 4, 4))
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(RuntimeError, match="got 'triton' for tensors on cpu, wanted them on cuda"):
        compositor.blend(*given, backend="triton")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="'triton' is not available: PyTorch finds no GPU"):
        compositor.blend(*given, backend="triton")
    monkeypatch.setattr(compositor.triton, "INSTALLED", False)
    with pytest.raises(RuntimeError, match="the package triton is not installed"):
        compositor.blend(*given, backend="triton")
