"""The compiled kernels against the reference: every dtype, layout, radius and gradient."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import compositor
from tests.ops.cases import SHAPES, disc, each_kernel, identity, inputs, overload_of

# Kernel and reference differ by fused multiply-adds and the order of sums. A coordinate of some 60
# pixels rounds by 4e-6, the steepest slope here is 1 / (1 - 0.3) a pixel, and u and v add up; half
# types round once more when stored. Gradients of theta sum thousands of such terms.
TOLERANCE = {torch.float64: 1e-13, torch.float32: 3e-5, torch.bfloat16: 8e-3, torch.float16: 1e-3}

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")

reference = torch.ops.compositor.blend.reference
reference_backward = torch.ops.compositor.blend_backward.reference


def kernels(backend):
    """A backend's forward and backward."""
    overload = overload_of(backend)
    ops = torch.ops.compositor
    return getattr(ops.blend, overload), getattr(ops.blend_backward, overload)


def check_close(got, wanted, tolerance):
    assert got.shape == wanted.shape and got.dtype == wanted.dtype
    if got.numel():
        assert got.stride() == wanted.stride()
        scale = max(1.0, wanted.double().abs().max().item())
        torch.testing.assert_close(got, wanted, rtol=0, atol=tolerance * scale)


def check_both_directions(backend, given, sigma, radius, threshold, straight_through):
    kernel, kernel_backward = kernels(backend)
    options = (threshold, sigma, radius, straight_through)
    tolerance = TOLERANCE[given.background.dtype]
    got, wanted = kernel(*given, *options, True), reference(*given, *options, True)
    check_close(got[0], wanted[0], tolerance)
    check_close(got[1], wanted[1], tolerance)
    grad, grad_alpha = torch.randn_like(wanted[0]), torch.randn_like(wanted[1])
    for alpha_part, needs in (
        (grad_alpha, (True, True, True, True)),
        (None, (True, False, True, False)),
        (grad_alpha, (False, True, False, False)),
        (None, (False, False, False, True)),
    ):
        got = kernel_backward(grad, alpha_part, *given, *options, *needs)
        wanted = reference_backward(grad, alpha_part, *given, *options, *needs)
        for g, w in zip(got, wanted, strict=True):
            check_close(g, w, 10 * tolerance)


@each_kernel
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("sigma", "radius"), [(0.0, 0), (0.5, 1), (1.0, 3), (4.0, 12)])
@pytest.mark.parametrize("masked", [True, False])
def test_kernel_agrees_with_reference(backend, dtype, shape, sigma, radius, masked):
    given = inputs(shape, dtype, masked)
    for threshold, straight_through in ((0.3, False), (0.0, True)):
        check_both_directions(backend, given, sigma, radius, threshold, straight_through)


@each_kernel
@pytest.mark.parametrize("layout", ["channels_last", "strided", "expanded", "transposed"])
def test_any_strides(backend, layout):
    given = inputs((2, 3, 21, 18, 30, 27))
    if layout == "channels_last":
        images = [t.contiguous(memory_format=torch.channels_last) for t in given[:3]]
    elif layout == "strided":
        images = [t.repeat_interleave(2, -1).repeat(1, 1, 2, 1)[:, :, ::2, ::2] for t in given[:3]]
    elif layout == "expanded":
        images = [t[:1, :1].expand_as(t) for t in given[:3]]
    else:
        images = [t.mT.contiguous().mT for t in given[:3]]
    theta = given.theta.mT.contiguous().mT
    check_both_directions(backend, (type(given))(*images, theta), 1.0, 3, 0.3, True)


@each_kernel
def test_gradient_of_a_sum_is_an_expanded_tensor(backend):
    _, kernel_backward = kernels(backend)
    given = inputs((2, 3, 21, 18, 30, 27))
    grad = torch.ones(()).expand_as(given.background)
    options = (0.3, 1.0, 3, True)
    got = kernel_backward(grad, None, *given, *options, True, True, True, True)
    wanted = reference_backward(grad, None, *given, *options, True, True, True, True)
    for g, w in zip(got, wanted, strict=True):
        check_close(g, w, 1e-4)


@each_kernel
def test_planes_of_more_than_32_bit_indices(backend):
    """2.5e9 pixels, each worth its row number, in an expanded view that takes no memory."""
    h = w = 50_000
    rows = torch.arange(h, dtype=torch.float64)[:, None].expand(h, w)[None, None]
    canvas = torch.zeros(1, 1, 100, 4, dtype=torch.float64)
    kernel, _ = kernels(backend)
    composite = kernel(rows, None, canvas, torch.eye(2, 3)[None], 0.0, 0.0, 0, True, False)[0]
    wanted = (torch.arange(100, dtype=torch.float64) + 0.5) * (h / 100) - 0.5
    # float64 rounds a row number of 5e4 by 1e-11
    torch.testing.assert_close(composite[0, 0, :, 2], wanted, rtol=0, atol=1e-9)


@each_kernel
def test_contiguous_plane_beyond_32_bit_offsets(backend):
    """Rows far apart in memory: the offset of the last one does not fit 32 bits."""
    stride = 2**30
    storage = torch.empty(4 * stride, dtype=torch.float16)  # untouched pages cost nothing
    foreground = storage.as_strided((1, 1, 4, 4), (0, 0, stride, 1))
    foreground.copy_(torch.rand(1, 1, 4, 4))
    background = torch.zeros(1, 1, 4, 4, dtype=torch.float16)
    composite = compositor.blend(
        foreground, None, background, torch.eye(2, 3)[None], threshold=0.0, sigma=0.0,
        backend=backend,
    )  # fmt: skip
    assert torch.equal(composite, foreground)


@pytest.mark.parametrize("threads", [1, 3])
def test_one_image_split_over_threads_gives_the_same_bits(threads):
    kernel, kernel_backward = kernels("cpu")
    given = inputs((1, 3, 90, 100, 300, 200), spread=0.2)
    grad = torch.randn_like(given.background)
    options = (0.2, 1.0, 3, True)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        composite = kernel(*given, *options, True)
        theta = kernel_backward(grad, None, *given, *options, False, False, True, True)
        torch.set_num_threads(threads)
        again = kernel(*given, *options, True)
        theta_again = kernel_backward(grad, None, *given, *options, False, False, True, True)
    finally:
        torch.set_num_threads(before)
    for one, two in zip((*composite, *theta), (*again, *theta_again), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_composite_beyond_the_caches_agrees_with_reference(dtype):
    # Above 8 MB the background is written past the caches, by whole lines of 64 bytes: rows of 701
    # pixels begin and end anywhere in one.
    n, size = 8, (517, 701)
    given = inputs((n, 3, 40, 40, *size), dtype)
    given = given._replace(mask=disc(n, 40).to(dtype))
    given.theta[:] = 3 * identity(n)  # a third of the canvas's width
    assert given.background.nbytes > 2**23
    composite, alpha = torch.ops.compositor.blend.default(*given, 0.0, 1.0, 3, True, True)
    wanted, _ = reference(*given, 0.0, 1.0, 3, True, True)
    assert 0 < (alpha > 0).float().mean() < 0.2
    hidden = (alpha == 0).expand_as(composite)
    assert torch.equal(composite[hidden], given.background[hidden])
    check_close(composite, wanted, TOLERANCE[dtype])


def in_huge_pages(side):
    """Whether huge pages were asked for where a composite of so many pixels a side lies."""
    image = torch.rand(1, 3, side, side)
    composite, _ = torch.ops.compositor.blend.default(
        image[..., :8, :8], None, image, identity(1), 0.0, 0.0, 0, True, False
    )
    middle = composite.data_ptr() + composite.nbytes // 2
    smaps = Path("/proc/self/smaps").read_text()
    for begin, end, flags in re.findall(
        r"^([0-9a-f]+)-([0-9a-f]+) (?:.*\n)+?VmFlags: (.*)$", smaps, re.MULTILINE
    ):
        if int(begin, 16) <= middle < int(end, 16):
            return "hg" in flags.split()
    raise AssertionError("the composite is in no mapping")


@pytest.mark.skipif(not HUGE_PAGES.exists(), reason="no huge pages to ask for on this system")
@pytest.mark.parametrize(("side", "asked"), [(512, False), (2048, True)])
def test_results_above_32_mib_ask_for_huge_pages(side, asked):
    # In a process of its own: what was asked for once stays so where memory is used again.
    code = f"from tests.ops.test_agreement import in_huge_pages; print(in_huge_pages({side}))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == str(asked)


@each_kernel
def test_image_does_not_depend_on_its_batch(backend):
    _, kernel_backward = kernels(backend)
    given = inputs((5, 3, 50, 50, 90, 90))
    one = type(given)(*(t[3:4] for t in given))
    grad = torch.randn_like(given.background)
    options = (0.2, 1.0, 3, True)
    all_grads = kernel_backward(grad, None, *given, *options, True, True, True, True)
    one_grads = kernel_backward(grad[3:4], None, *one, *options, True, True, True, True)
    for batched, alone in zip(all_grads, one_grads, strict=True):
        assert torch.equal(batched[3:4], alone)


def test_baseline_instructions_agree_with_reference():
    """The build for any processor, which this machine would not choose."""
    tests = f"{__file__}::test_kernel_agrees_with_reference"
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            tests,
            "-k",
            "shape0 and cpu",
        ],
        env={**os.environ, "COMPOSITOR_CPU_CAPABILITY": "baseline"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-3000:]


@each_kernel
def test_paper_settings_agree_on_a_disc(backend):
    kernel, _ = kernels(backend)
    given = inputs((4, 3, 100, 100, 100, 100), spread=0.2)._replace(mask=disc(4, 100))
    got = kernel(*given, 1 - 1e-7, 1.0, 3, True, False)[0]
    wanted = reference(*given, 1 - 1e-7, 1.0, 3, True, False)[0]
    error = (got - wanted).abs()
    # A sample within one rounding of the threshold may flip and move alpha by g(0)^2 = 0.16.
    assert (error > 1e-5).float().mean() < 1e-3
    assert error.max() < 0.2
