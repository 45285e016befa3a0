"""The op inside PyTorch's machinery: opcheck, compile, meta tensors, vmap, torch.func, autocast."""

import pytest
import torch

import compositor
from tests.ops.cases import Inputs, device_of, each_backend, inputs, overload_of

SHAPE = (2, 3, 12, 11, 14, 13)
OPTIONS = (0.3, 1.0, 3, True)


@each_backend
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("return_alpha", [True, False])
def test_opcheck_forward(backend, masked, return_alpha):
    op = getattr(torch.ops.compositor.blend, overload_of(backend))
    tensors = [t if t is None else t.requires_grad_() for t in inputs(SHAPE, masked=masked)]
    torch.library.opcheck(op, (*tensors, *OPTIONS, return_alpha))


@each_backend
@pytest.mark.parametrize("needs", [(True,) * 4, (False, False, False, True)])
def test_opcheck_backward(backend, needs):
    op = getattr(torch.ops.compositor.blend_backward, overload_of(backend))
    given = inputs(SHAPE)
    grad = torch.randn_like(given.background)
    torch.library.opcheck(op, (grad, None, *given, *OPTIONS, *needs))


@each_backend
@pytest.mark.parametrize("engine", ["aot_eager", "inductor"])
def test_compile_without_graph_breaks(backend, engine):
    def step(foreground, mask, background, theta):
        composite, alpha = compositor.blend(
            foreground, mask, background * 0.5, theta, return_alpha=True, backend=backend
        )
        return (composite * 2).sum() + alpha.sum()

    compiled = torch.compile(step, fullgraph=True, backend=engine)
    given = inputs(SHAPE)
    theta = given.theta.float()
    values, grads = [], []
    for function in (step, compiled):
        leaf = theta.clone().requires_grad_()
        values.append(function(*given[:3], leaf))
        values[-1].backward()
        grads.append(leaf.grad)
    # Only the sums around the op may be ordered otherwise.
    torch.testing.assert_close(values[0], values[1], rtol=1e-5, atol=0)
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-5, atol=1e-5)


def test_compile_serves_other_shapes_without_compiling_again_for_each():
    compiled = torch.compile(compositor.blend, fullgraph=True, dynamic=True, backend="aot_eager")
    for n, size in ((2, 9), (3, 14), (5, 20)):
        given = inputs((n, 3, size, size, size + 1, size + 2))
        assert torch.equal(compiled(*given), compositor.blend(*given))


def test_meta_tensors():
    given = [t.to("meta") for t in inputs(SHAPE)]
    composite, alpha = compositor.blend(*given, return_alpha=True)
    assert composite.shape == (2, 3, 14, 13) and composite.device.type == "meta"
    assert alpha.shape == (2, 1, 14, 13)


@each_backend
def test_channels_last_in_channels_last_out(backend):
    given = inputs(SHAPE)
    wanted = compositor.blend(*given, backend=backend)
    images = [t.contiguous(memory_format=torch.channels_last) for t in given[:3]]
    composite = compositor.blend(*images, given.theta, backend=backend)
    assert composite.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(composite, wanted)


@each_backend
def test_vmap_equals_a_loop(backend):
    batches = [inputs(SHAPE) for _ in range(4)]
    stacked = Inputs(*(torch.stack(ts) for ts in zip(*batches, strict=True)))
    background = batches[0].background  # shared by all

    def function(foreground, mask, theta):
        return compositor.blend(
            foreground, mask, background, theta, return_alpha=True, backend=backend
        )

    got = torch.vmap(function, in_dims=(0, 1, 0))(
        stacked.foreground, stacked.mask.movedim(0, 1), stacked.theta
    )
    for k, batch in enumerate(batches):
        wanted = function(batch.foreground, batch.mask, batch.theta)
        assert torch.equal(got[0][k], wanted[0]) and torch.equal(got[1][k], wanted[1])
    composite = torch.vmap(lambda t: compositor.blend(*batches[0][:3], t, backend=backend))(
        stacked.theta
    )
    wanted = compositor.blend(*batches[0][:3], batches[2].theta, backend=backend)
    assert torch.equal(composite[2], wanted)


@each_backend
def test_torch_func_grad_and_per_sample_gradients(backend):
    given = inputs(SHAPE, torch.float64)

    def loss(theta, foreground, mask, background):
        composite = compositor.blend(foreground, mask, background, theta, backend=backend)
        return composite.square().sum()

    leaf = given.theta.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(loss(leaf, *given[:3]), leaf)
    torch.testing.assert_close(torch.func.grad(loss)(given.theta, *given[:3]), wanted)
    one_by_one = torch.vmap(torch.func.grad(loss))(
        given.theta[:, None], *(t[:, None] for t in given[:3])
    )
    torch.testing.assert_close(one_by_one[:, 0], wanted)
    _, pullback = torch.func.vjp(lambda t: loss(t, *given[:3]), given.theta)
    torch.testing.assert_close(pullback(torch.ones((), dtype=torch.float64))[0], wanted)


def test_forward_mode_is_refused_by_name():
    given = inputs(SHAPE)
    with pytest.raises(RuntimeError, match=r"compositor\.blend has no forward-mode derivative"):
        torch.func.jvp(lambda t: compositor.blend(*given[:3], t), (given.theta,), (given.theta,))


@each_backend
def test_autocast_takes_mixed_images_and_a_half_theta(backend):
    given = inputs(SHAPE)
    theta = given.theta.to(torch.bfloat16)
    mixed = (given.foreground, given.mask.bfloat16(), given.background.bfloat16(), theta)
    with pytest.raises(TypeError, match="mask: got torch.bfloat16"):
        compositor.blend(*mixed, backend=backend)
    with torch.autocast(device_of(backend), dtype=torch.bfloat16):
        composite = compositor.blend(*mixed, backend=backend)
    wanted = compositor.blend(
        mixed[0], mixed[1].float(), mixed[2].float(), theta.float(), backend=backend
    )
    assert composite.dtype == torch.float32
    assert torch.equal(composite, wanted)
