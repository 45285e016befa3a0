"""The op under function transforms: vmap, reverse and forward mode, functionalize; compiled too."""

import pytest
import torch
from torch.autograd import forward_ad

import compositor
from tests.ops.cases import Inputs, each_backend, inputs

SHAPE = (2, 3, 12, 11, 14, 13)
# torch.func itself warns, of torch.jit and of its own compilation.
pytestmark = pytest.mark.filterwarnings("ignore")


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


@each_backend
def test_vmap_over_nothing_gives_nothing(backend):
    given = inputs(SHAPE)

    def loss(theta):
        return compositor.blend(*given[:3], theta, backend=backend).sum()

    none = given.theta.new_empty(0, *given.theta.shape)
    composite, alpha = torch.vmap(
        lambda t: compositor.blend(*given[:3], t, return_alpha=True, backend=backend)
    )(none)
    assert composite.shape == (0, 2, 3, 14, 13) and alpha.shape == (0, 2, 1, 14, 13)
    assert torch.vmap(torch.func.grad(loss))(none).shape == none.shape
    tangents = torch.vmap(lambda t: torch.func.jvp(loss, (t,), (t,))[1])(none)
    assert tangents.shape == (0,)


@pytest.fixture(autouse=True)
def _fresh_compiler():
    """Each compiled closure counts towards the limit of recompilations of its one function."""
    torch.compiler.reset()


def scene(backend, **options):
    """A smooth scene in float64, and the function of its four tensors."""
    given = inputs((2, 2, 5, 6, 6, 5), torch.float64, spread=0.3)
    given = given._replace(mask=0.1 + 0.8 * given.mask)

    def function(*tensors):
        return compositor.blend(
            *tensors, threshold=0.05, return_alpha=True, backend=backend, **options
        )

    return given, function


@each_backend
@pytest.mark.parametrize("needing", [(0,), (1,), (2,), (3,), (0, 1, 2, 3)])
def test_forward_mode_against_finite_differences(backend, needing):
    given, function = scene(backend, mask_grad="exact")
    tangents = [torch.randn_like(t) for t in given]
    step = 1e-6

    def moved(step):
        return function(
            *(t + step * d if k in needing else t
              for k, (t, d) in enumerate(zip(given, tangents, strict=True)))
        )  # fmt: skip

    wanted = [(a - b) / (2 * step) for a, b in zip(moved(step), moved(-step), strict=True)]
    with forward_ad.dual_level():
        duals = [
            forward_ad.make_dual(t, d) if k in needing else t
            for k, (t, d) in enumerate(zip(given, tangents, strict=True))
        ]
        got = [forward_ad.unpack_dual(out).tangent for out in function(*duals)]
    for g, w in zip(got, wanted, strict=True):
        torch.testing.assert_close(g, w, rtol=1e-6, atol=1e-7)  # the step's own error


@each_backend
@pytest.mark.parametrize("mask_grad", ["straight_through", "exact"])
@pytest.mark.parametrize(("masked", "sigma"), [(True, 0.0), (True, 1.0), (False, 1.0)])
def test_forward_mode_is_the_transpose_of_the_backward(backend, mask_grad, masked, sigma):
    """On pixels and off them, with infinities behind alpha 0: <G, J t> = <J' G, t>."""
    given, function = scene(backend, mask_grad=mask_grad, sigma=sigma)
    theta = given.theta.clone()
    theta[0] = torch.eye(2, 3)
    foreground, mask = given.foreground.clone(), 1.3 * given.mask  # some of it above 1
    if sigma == 0:  # a blur would show some of them
        mask[:, :, :, :3] = 0
        foreground[:, :, :, 0] = torch.inf
    given = Inputs(foreground, mask if masked else None, given.background, theta)
    at = [k for k, t in enumerate(given) if t is not None]

    def of_some(*some):
        tensors = list(given)
        for k, tensor in zip(at, some, strict=True):
            tensors[k] = tensor
        return function(*tensors)

    primals = tuple(given[k] for k in at)
    tangents = tuple(torch.randn_like(t) for t in primals)
    outputs, pushed = torch.func.jvp(of_some, primals, tangents)
    grads = tuple(torch.randn_like(out) for out in outputs)
    _, pull = torch.func.vjp(of_some, *primals)
    pulled = pull(grads)
    left = sum((g * t).sum() for g, t in zip(grads, pushed, strict=True))
    right = sum((g * t).sum() for g, t in zip(pulled, tangents, strict=True))
    torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-10)  # sums in another order


def test_forward_mode_of_a_map_that_is_not_finite():
    given, function = scene("cpu")
    given.theta[1, 0, 0] = torch.nan
    _, tangents = torch.func.jvp(
        lambda b: function(*given[:2], b, given.theta), (given.background,), (given.background,)
    )
    for tangent in tangents:
        assert tangent[0].isfinite().all() and tangent[1].isnan().all()


@each_backend
def test_every_way_to_a_jacobian_agrees(backend):
    given, function = scene(backend)

    def of_theta(theta):
        return function(*given[:3], theta)[0]

    wanted = torch.func.jacrev(of_theta)(given.theta)
    assert wanted.abs().max() > 0.1
    _, linear = torch.func.linearize(of_theta, given.theta)
    basis = torch.eye(given.theta.numel(), dtype=torch.float64).view(-1, *given.theta.shape)
    jacobian = torch.autograd.functional.jacobian
    for got in (
        torch.func.jacfwd(of_theta)(given.theta),
        torch.stack([linear(e) for e in basis], -1).view_as(wanted),
        jacobian(of_theta, given.theta),
        jacobian(of_theta, given.theta, vectorize=True),
        jacobian(of_theta, given.theta, vectorize=True, strategy="forward-mode"),
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-10)


def test_second_derivatives_are_refused_by_name_in_both_modes():
    given, function = scene("cpu")

    def loss(theta):
        return function(*given[:3], theta)[0].sum()

    for twice in (
        torch.func.hessian(loss),
        torch.func.jacrev(torch.func.jacrev(loss)),
        torch.func.jacfwd(torch.func.jacfwd(loss)),
        torch.func.jacrev(torch.func.jacfwd(loss)),
    ):
        with pytest.raises(RuntimeError, match=r"compositor\.blend has no second derivatives"):
            twice(given.theta)


@each_backend
def test_functionalize_changes_nothing(backend):
    given, function = scene(backend)

    def loss(theta):
        return function(*given[:3], theta)[0].square().sum()

    def loss_of_each(theta):
        return torch.stack([loss(t.expand(2, 2, 3)) for t in theta])

    functionalize, grad, vmap = torch.func.functionalize, torch.func.grad, torch.func.vmap
    for got, wanted in (
        (functionalize(loss), loss),
        (grad(functionalize(loss)), grad(loss)),
        (functionalize(vmap(lambda t: loss(t.expand(2, 2, 3)))), loss_of_each),
        (vmap(functionalize(lambda t: loss(t.expand(2, 2, 3)))), loss_of_each),
    ):
        assert torch.equal(got(given.theta), wanted(given.theta))


def transforms(function, given):
    """Each transform of the op as a function of theta alone."""

    def of_theta(theta):
        return function(*given[:3], theta)[0]

    def loss(theta):
        return of_theta(theta).square().sum()

    func, images = torch.func, given.background
    return {
        "vmap": func.vmap(lambda t: function(*(x[:1] for x in given[:3]), t[None])[0]),
        "grad": func.grad(loss),
        "vjp": lambda theta: func.vjp(of_theta, theta)[1](images),
        "jvp": lambda theta: func.jvp(of_theta, (theta,), (theta,)),
        "jacrev": func.jacrev(of_theta),
        "jacfwd": func.jacfwd(of_theta),
        "vmap of grad": func.vmap(func.grad(lambda t: loss(t.expand(2, 2, 3)))),
    }


@each_backend
@pytest.mark.parametrize("name", ["vmap", "grad", "vjp", "jvp", "jacrev", "jacfwd", "vmap of grad"])
def test_transforms_compile_without_graph_breaks(backend, name):
    given, function = scene(backend)
    transformed = transforms(function, given)[name]
    compiled = torch.compile(transformed, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(
        compiled(given.theta), transformed(given.theta), rtol=1e-10, atol=1e-10
    )


@each_backend
def test_gradients_of_a_compiled_vmap(backend):
    given, function = scene(backend)
    transformed = transforms(function, given)["vmap"]
    grads = []
    for f in (transformed, torch.compile(transformed, fullgraph=True, backend="aot_eager")):
        theta = given.theta.clone().requires_grad_()
        f(theta).square().sum().backward()
        grads.append(theta.grad)
    torch.testing.assert_close(*grads, rtol=1e-10, atol=1e-10)
