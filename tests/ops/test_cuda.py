"""What only a GPU can show: streams, graphs, memory. Collected only if there is one."""

import pytest
import torch

import compositor
from tests.ops.cases import identity, inputs
from tests.ops.layers import scene

SHAPE = (4, 3, 60, 50, 90, 140)
OPTIONS = (0.3, 1.0, 3, True)
THETA_ALONE = (False, False, False, True)
blend = torch.ops.compositor.blend.default
blend_backward = torch.ops.compositor.blend_backward.default


def on_gpu(shape=SHAPE, dtype=torch.float32):
    return [t.cuda() for t in inputs(shape, dtype)]


def run(given, grad):
    composite, alpha = blend(*given, *OPTIONS, True)
    return composite, alpha, *blend_backward(grad, None, *given, *OPTIONS, True, True, True, True)


def test_cuda_is_what_the_dispatcher_chooses():
    given = on_gpu()
    assert torch.equal(
        compositor.blend(*given, backend="cuda"), compositor.blend(*given)
    )  # bit for bit: the same kernel
    assert torch._C._dispatch_has_kernel_for_dispatch_key("compositor::blend", "CUDA")


def test_cuda_works_on_the_current_stream():
    """A stream that waits for a long kernel: on any other, the result would come too early."""
    given = on_gpu()
    grad = torch.randn_like(given[2])
    wanted = run(given, grad)
    stream = torch.cuda.Stream()
    late = [torch.zeros_like(t) for t in given]
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(100_000_000)
        for to, value in zip(late, given, strict=True):
            to.copy_(value)
        got = run(late, grad)
    stream.synchronize()
    for g, w in zip(got, wanted, strict=True):
        assert torch.equal(g, w)


@pytest.mark.parametrize("radius", [3, 8])
def test_cuda_graph_replays_with_new_maps_and_images(radius):
    given, options = on_gpu(), (0.3, radius / 3, radius, True)
    grad = torch.randn_like(given[2])

    def both(arguments):
        composite, _ = blend(*arguments, *options, False)
        return composite, *blend_backward(grad, None, *arguments, *options, *(True,) * 4)

    both(given)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = both(given)
    for seed in range(3):
        torch.manual_seed(seed)
        for tensor, value in zip(given, on_gpu(), strict=True):
            tensor.copy_(value)
        graph.replay()
        for got, wanted in zip(captured, both(given), strict=True):
            assert torch.equal(got, wanted)


def test_cuda_backward_for_theta_allocates_nothing_the_size_of_an_image():
    given = on_gpu((8, 3, 300, 300, 300, 300))
    grad = torch.randn_like(given[2])
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    blend_backward(grad, None, *given, *OPTIONS, *THETA_ALONE)
    assert torch.cuda.max_memory_allocated() - before < given[1].nbytes / 10


def test_cuda_two_runs_give_the_same_bits_where_determinism_is_asked_for():
    given = on_gpu((3, 3, 200, 300, 500, 400))
    grad = torch.randn_like(given[2])
    torch.use_deterministic_algorithms(True)
    try:
        runs = [run(given, grad) for _ in range(3)]
    finally:
        torch.use_deterministic_algorithms(False)
    for other in runs[1:]:
        for one, two in zip(runs[0], other, strict=True):
            assert torch.equal(one, two)


def test_cuda_tensors_of_more_than_32_bit_offsets():
    """A canvas of 2.2e9 values: 4 GiB of background and as much of composite."""
    side = 27_100
    foreground = torch.rand(1, 3, 50, 50, dtype=torch.bfloat16, device="cuda")
    background = torch.zeros(1, 3, side, side, dtype=torch.bfloat16, device="cuda")
    background[0, 2, -1, -1] = 3
    theta = 20 * identity(1).cuda()
    composite, _ = blend(foreground, None, background, theta, 0.5, 0.0, 0, True, False)
    assert composite[0, 2, -1, -1] == 3
    middle = slice(side // 2 - 5, side // 2 + 5)
    assert (composite[..., middle, middle] > 0).any()
    grads = blend_backward(
        composite, None, foreground, None, background, theta, 0.5, 0.0, 0, True, *THETA_ALONE
    )
    assert grads[3].isfinite().all()


@pytest.mark.parametrize("index", range(1, torch.cuda.device_count()))
def test_cuda_works_on_a_device_that_is_not_the_current_one(index):
    given = on_gpu()
    wanted = blend(*given, *OPTIONS, False)[0]
    got = blend(*(t.to(f"cuda:{index}") for t in given), *OPTIONS, False)[0]
    assert got.device.index == index and torch.equal(got.cpu(), wanted.cpu())
    assert torch.cuda.current_device() == 0


def test_layers_are_those_of_the_reference_on_the_cpu():
    """Kernels, and a chain of Triton's ``blend``; indices and sigma on either side."""
    given = scene((3, 3, 4, 9, 61, 77)).to(torch.float32)
    results = []
    for device, backend in (("cpu", "reference"), ("cuda", "cuda"), ("cuda", "triton")):
        theta = given.theta.to(device).requires_grad_()
        composite, labels = compositor.render(
            given.background.to(device),
            [cutout.to(device) for cutout in given.foreground],
            [mask.to(device) for mask in given.mask],
            theta,
            image=given.image.to(device),
            source=given.source,
            gain=given.gain.to(device),
            bias=given.bias.to(device),
            sigma=given.sigma,
            threshold=0.3,
            return_labels=True,
            backend=backend,
        )
        (grad,) = torch.autograd.grad(composite.square().sum(), theta)
        results.append([t.detach().cpu() for t in (composite, *labels, grad)])
    wanted = results[0]
    for got in results[1:]:
        # As in test_render_values and test_render_gradients.
        torch.testing.assert_close(got[0], wanted[0], rtol=0, atol=1e-4)
        assert all(torch.equal(g, w) for g, w in zip(got[1:-1], wanted[1:-1], strict=True))
        scale = wanted[-1].abs().max().item()
        torch.testing.assert_close(got[-1], wanted[-1], rtol=0, atol=3e-4 * scale)


def layers_on_gpu():
    """A scene of two radii, one with a way of its own through a tile; labels too."""
    given = scene((3, 3, 4, 9, 61, 77)).to(torch.float32)
    stacks = [[image[None].cuda() for image in images] for images in (given.foreground, given.mask)]
    numbers = [t.cuda() for t in (given.background, given.theta, given.gain, given.bias)]
    background, theta, gain, bias = numbers
    sigma = torch.tensor([1.0, 2.0, 0.0] * 3, dtype=torch.float64)
    where = given.image, given.source
    return [*stacks, background, theta, *where, gain, bias, sigma, 0.3, -1, True, True]


def test_cuda_has_kernels_of_render():
    for name in ("render", "render_backward"):
        assert torch._C._dispatch_has_kernel_for_dispatch_key(f"compositor::{name}", "CUDA")


def test_cuda_gradients_of_render_have_the_same_bits_twice():
    given = layers_on_gpu()[:-1]
    grad = torch.ones_like(given[2])
    runs = []
    for _ in range(2):
        foreground, mask, *grads = torch.ops.compositor.render_backward.default(
            grad, *given, [True] * 6
        )
        runs.append((*foreground, *mask, *grads))
    for one, two in zip(*runs, strict=True):
        assert torch.equal(one, two)


def test_cuda_render_gives_the_same_bits_twice_and_on_another_stream():
    given = layers_on_gpu()
    wanted = torch.ops.compositor.render.default(*given)
    stream = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        got = torch.ops.compositor.render.default(*given)
    stream.synchronize()
    for one, two in zip(got, wanted, strict=True):
        assert torch.equal(one, two)


def test_cuda_graph_of_render_replays_with_new_maps():
    """Its indices are on the CPU: nothing waits while the graph is captured."""
    given = layers_on_gpu()
    torch.ops.compositor.render.default(*given)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = torch.ops.compositor.render.default(*given)
    for _ in range(3):
        given[3].copy_(given[3].roll(1, 0))
        graph.replay()
        for got, wanted in zip(captured, torch.ops.compositor.render.default(*given), strict=True):
            assert torch.equal(got, wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.uint8])
def test_cuda_render_agrees_with_a_chain_of_blends(dtype):
    given = scene((3, 3, 4, 9, 161, 177), spread=0.3).to(dtype)
    results = []
    for device, backend in (("cuda", "cuda"), ("cpu", "reference")):
        composite, labels = compositor.render(
            given.background.to(device),
            [cutout.to(device) for cutout in given.foreground],
            [mask.to(device) for mask in given.mask],
            given.theta.to(device),
            image=given.image,
            source=given.source,
            sigma=given.sigma,
            threshold=0.3,
            return_labels=True,
            backend=backend,
        )
        results.append([t.cpu() for t in (composite.float(), *labels)])
    got, wanted = results
    # As in test_render_values; two roundings of a half type, and a byte half-way between two.
    close = {torch.float32: 1e-4, torch.bfloat16: 8e-3, torch.uint8: 1}[dtype]
    torch.testing.assert_close(got[0], wanted[0], rtol=0, atol=close)
    assert all(torch.equal(g, w) for g, w in zip(got[1:], wanted[1:], strict=True))
