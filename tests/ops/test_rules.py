"""The op inside PyTorch's machinery: opcheck, compile, meta tensors, layouts, autocast."""

import pytest
import torch

import compositor
from tests.ops.cases import device_of, each_backend, inputs, overload_of

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


@pytest.mark.parametrize("given", [(True,) * 4, (False, False, False, True)])
def test_opcheck_forward_mode(given):
    primals = inputs(SHAPE)
    tangents = [torch.randn_like(t) if ok else None for t, ok in zip(primals, given, strict=True)]
    op = torch.ops.compositor.blend_jvp.default
    torch.library.opcheck(op, (*tangents, *primals, *OPTIONS, True))


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
