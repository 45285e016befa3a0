"""What the dispatcher, ``torch.compile`` and autograd know of ``render``."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

import compositor
from tests.ops.cases import device_of, each_backend, overload_of
from tests.ops.layers import scene

OPTIONS = (0.3, -1, True)


def inputs(masked=True, toned=True):
    given = scene((3, 3, 4, 9, 21, 27), 0, masked, toned)
    stacks = [f[None] for f in given.foreground]
    masks = None if given.mask is None else [m[None] for m in given.mask]
    return (
        stacks, masks, given.background, given.theta, given.image, given.source, given.gain,
        given.bias, given.sigma,
    )  # fmt: skip


@each_backend
@pytest.mark.parametrize("toned", [True, False])
def test_opcheck(backend, toned):
    op = getattr(torch.ops.compositor.render, overload_of(backend))
    given = list(inputs(masked=toned, toned=toned))
    given[3] = given[3].clone().requires_grad_()
    given[0] = [stack.clone().requires_grad_() for stack in given[0]]
    for return_labels in (True, False):
        torch.library.opcheck(op, (*given, *OPTIONS, return_labels))


@each_backend
@pytest.mark.parametrize("needs", [[True] * 6, [False, False, False, True, False, False]])
def test_opcheck_backward(backend, needs):
    op = getattr(torch.ops.compositor.render_backward, overload_of(backend))
    given = inputs()
    torch.library.opcheck(op, (torch.randn_like(given[2]), *given, *OPTIONS, needs))


@each_backend
def test_compile_without_graph_breaks(backend):
    given = scene((3, 3, 4, 9, 21, 27))

    def step(theta, gain, foreground):
        composite, labels = compositor.render(
            given.background * 0.5, foreground, given.mask, theta, image=given.image,
            source=given.source, gain=gain, sigma=2.0, return_labels=True, backend=backend,
        )  # fmt: skip
        return (composite * 2).sum() + labels.area.sum()

    values, grads = [], []
    for function in (step, torch.compile(step, fullgraph=True, backend="aot_eager")):
        leaves = [t.clone().requires_grad_() for t in (given.theta, given.gain)]
        colours = [f.clone().requires_grad_() for f in given.foreground]
        values.append(function(*leaves, colours))
        values[-1].backward()
        grads.append([leaf.grad for leaf in (*leaves, *colours)])
    torch.testing.assert_close(values[0], values[1])
    torch.testing.assert_close(grads[0], grads[1])


def test_meta_tensors():
    given = inputs()
    meta = [[s.to("meta") for s in v] if isinstance(v, list) else v.to("meta") for v in given]
    composite, *labels = torch.ops.compositor.render(*meta, *OPTIONS, True)
    assert composite.shape == given[2].shape and composite.is_meta
    assert [label.shape for label in labels] == [(3, 21, 27), (9, 4), (9,), (9,)]


def test_what_it_does_not_do_is_refused_by_name():
    given = scene((3, 3, 4, 9, 21, 27))

    def function(theta):
        return compositor.render(
            given.background, given.foreground, given.mask, theta, **given.options()
        )

    with pytest.raises(RuntimeError, match=r"compositor\.render has no rule for vmap"):
        torch.vmap(function)(given.theta[None].repeat(2, 1, 1, 1))
    with pytest.raises(RuntimeError, match=r"compositor\.render has no forward-mode"):
        torch.func.jvp(function, (given.theta,), (given.theta,))
    theta = given.theta.clone().requires_grad_()
    (grad,) = torch.autograd.grad(function(theta).square().sum(), theta, create_graph=True)
    with pytest.raises(RuntimeError, match=r"compositor\.render has no second derivatives"):
        grad.sum().backward()


def test_gradient_under_torch_func_is_autograds():
    given = scene((3, 3, 4, 9, 21, 27))

    def loss(theta):
        composite = compositor.render(
            given.background, given.foreground, given.mask, theta, **given.options()
        )
        return composite.square().sum()

    theta = given.theta.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(loss(theta), theta)
    torch.testing.assert_close(torch.func.grad(loss)(given.theta), wanted)


def test_autocast_leaves_the_op_alone():
    given = scene((3, 3, 4, 9, 21, 27)).to(torch.float32)
    arguments = (given.background, given.foreground, given.mask, given.theta)
    wanted = compositor.render(*arguments, **given.options())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(compositor.render(*arguments, **given.options()), wanted)


@each_backend
def test_autocast_takes_the_widest_dtype(backend):
    given = scene((3, 3, 4, 9, 21, 27)).to(torch.float32)
    narrow = [f.bfloat16() for f in given.foreground]
    theta, gain = given.theta.bfloat16(), given.gain.bfloat16()
    options = given.options() | {"backend": backend}
    with torch.autocast(device_of(backend), torch.bfloat16):
        got = compositor.render(
            given.background, narrow, [m > 0 for m in given.mask], theta,
            **(options | {"gain": gain}),
        )  # fmt: skip
    wanted = compositor.render(
        given.background, [f.float() for f in narrow], given.mask, theta.float(),
        **(options | {"gain": gain.float()}),
    )  # fmt: skip
    assert got.dtype == torch.float32 and torch.equal(got, wanted)
    with pytest.raises(TypeError, match="theta: got torch.bfloat16"):
        compositor.render(given.background, given.foreground, given.mask, theta, **options)


def test_a_tangent_is_refused_whether_or_not_a_gradient_is_recorded():
    given = scene((2, 3, 2, 4, 21, 27)).to(torch.float32)
    with torch.autograd.forward_ad.dual_level(), torch.no_grad():
        theta = torch.autograd.forward_ad.make_dual(given.theta, torch.ones_like(given.theta))
        with pytest.raises(RuntimeError, match="no forward-mode derivative"):
            compositor.render(
                given.background, given.foreground, given.mask, theta, **given.options()
            )


def test_triton_is_a_chain_of_its_blend():
    given = scene((2, 3, 2, 4, 21, 27)).to(torch.float32)
    results = []
    for backend in ("triton", "reference"):
        theta = given.theta.clone().requires_grad_()
        composite, labels = compositor.render(
            given.background, given.foreground, given.mask, theta, threshold=0.3,
            return_labels=True, backend=backend, **given.options(),
        )  # fmt: skip
        (grad,) = torch.autograd.grad(composite.square().sum(), theta)
        results.append((composite.detach(), grad, *labels))
    for got, wanted in zip(*results, strict=True):
        # A coordinate of some 30 pixels rounds by 2e-6, and slopes are up to 4 a pixel; theta's
        # gradient sums hundreds of these.
        torch.testing.assert_close(
            got, wanted, rtol=1e-4, atol=2e-3 if got is results[0][1] else 2e-5
        )


@each_backend
@pytest.mark.parametrize("as_bytes", [True, False])
def test_torch_s_default_device_changes_nothing(backend, as_bytes):
    """On "meta" there are no values to read; a sigma on a GPU would have to be waited for."""
    given = scene((3, 3, 4, 9, 21, 27)).on(device_of(backend))

    def image(value):
        return (255 * value).byte() if as_bytes else value

    foreground = torch.stack(given.foreground[:1] * 3)
    made = []
    for place in ("cpu", "meta"):
        with torch.device(place):
            layers = compositor.render(
                image(given.background), [image(f) for f in given.foreground], None, given.theta,
                image=given.image, source=given.source, sigma=0.7, backend=backend,
            )  # fmt: skip
            pasted = compositor.blend(
                image(foreground), None, image(given.background), given.theta[:3], sigma=0.7,
                backend=backend,
            )  # fmt: skip
        made.append((layers, pasted))
    assert all(torch.equal(one, other) for one, other in zip(*made, strict=True))


def test_fake_tensors_and_make_fx():
    """Neither has values that an index or a blur could be checked by."""
    given = scene((3, 3, 4, 9, 21, 27))

    def function(theta, image, source, sigma):
        return compositor.render(
            given.background, given.foreground, None, theta, image=image, source=source,
            sigma=sigma,
        )  # fmt: skip

    arguments = given.theta, given.image, given.source, given.sigma
    traced = make_fx(function, tracing_mode="fake", _allow_non_fake_inputs=True)(*arguments)
    assert torch.equal(traced(*arguments), function(*arguments))
    with pytest.raises(RuntimeError, match="image: got 3, wanted 0 to 2"):
        traced(given.theta, given.image + 1, given.source, given.sigma)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        made = function(*map(mode.from_tensor, arguments))
    assert made.shape == given.background.shape
    meta = (value.to("meta") for value in arguments)
    on_meta = compositor.render(
        given.background.to("meta"), [f.to("meta") for f in given.foreground], None, next(meta),
        image=next(meta), source=next(meta), sigma=next(meta),
    )  # fmt: skip
    assert on_meta.is_meta and on_meta.shape == given.background.shape
