"""Bad input raises one line that names the argument, what it got and what it wanted."""

import numpy as np
import pytest
import torch

import compositor
from tests.ops.cases import inputs

GOOD = inputs((2, 3, 8, 7, 10, 9))
META = torch.zeros(2, 3, 10, 9, device="meta")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"foreground": GOOD.foreground[0]}, ValueError, r"foreground: got shape \(3, 8, 7\)"),
        ({"foreground": [1.0]}, TypeError, "foreground: got list, wanted a tensor"),
        ({"foreground": GOOD.foreground.byte()}, TypeError, "foreground: got torch.uint8.*/ 255"),
        (
            {"foreground": GOOD.foreground.short()},
            TypeError,
            r"int16.*\(\), divided by the value of",
        ),
        ({"background": GOOD.background.byte()}, TypeError, r"background.float\(\) / 255$"),
        (
            {"background": GOOD.background > 0},
            TypeError,
            r"background: got torch.bool, .*; convert with background.float\(\)$",
        ),
        (
            {"mask": GOOD.mask.byte()},
            TypeError,
            r"mask: got torch.uint8, wanted bool, .*; give mask != 0 for two values,"
            r" mask == label for a map of labels, mask.float\(\) / 255 for levels from 0 to 255",
        ),
        ({"mask": GOOD.mask.int()}, TypeError, "mask: got torch.int32.*for a map of labels$"),
        ({"mask": GOOD.mask.cfloat()}, TypeError, "mask: got torch.complex64.*or float16$"),
        ({"foreground": GOOD.foreground[..., :0]}, ValueError, "foreground: .*no empty dimension"),
        ({"mask": GOOD.mask.expand(2, 3, 8, 7)}, ValueError, r"mask: got shape \(2, 3, 8, 7\)"),
        ({"mask": GOOD.mask[..., :3]}, ValueError, r"mask: .*wanted \(2, 1, 8, 7\)"),
        (
            {"mask": GOOD.mask.double()},
            TypeError,
            r"mask: got torch.float64, wanted foreground's .*; convert with mask.to\(foreg",
        ),
        ({"background": GOOD.background[:, :1]}, ValueError, r"background: .*\(2, 3, H, W\)"),
        ({"background": GOOD.background[:1]}, ValueError, r"background: got shape \(1, 3, 10, 9\)"),
        ({"background": None}, TypeError, "background: got NoneType, wanted a tensor"),
        ({"background": META}, ValueError, "background: got device meta, wanted foreground's cpu"),
        ({"theta": GOOD.theta[0]}, ValueError, r"theta: got shape \(2, 3\), wanted \(2, 2, 3\)"),
        ({"theta": GOOD.theta.half()}, TypeError, "theta: got torch.float16, wanted float32 or"),
        ({"theta": GOOD.theta.to("meta")}, ValueError, "theta: got device meta"),
        ({"threshold": 1.0}, ValueError, r"threshold: got 1.0, wanted a number in \[0, 1\)"),
        ({"threshold": 1 - 1e-9}, ValueError, "threshold: .*after rounding to torch.float32"),
        ({"threshold": -0.1}, ValueError, "threshold: got -0.1"),
        ({"threshold": float("nan")}, ValueError, "threshold: got nan"),
        ({"sigma": -1.0}, ValueError, "sigma: got -1.0, wanted a number of pixels from 0 to "),
        ({"sigma": float("inf")}, ValueError, "sigma: got inf"),
        ({"radius": -1}, ValueError, "radius: got -1, wanted None or an integer from 0 to "),
        ({"radius": 1.5}, ValueError, "radius: got 1.5, wanted None or an integer"),
        ({"threshold": None}, ValueError, r"threshold: got None, wanted a number in \[0, 1\)"),
        ({"threshold": False}, ValueError, "threshold: got False"),
        ({"threshold": torch.zeros((), requires_grad=True)}, ValueError, "threshold: .*a gradient"),
        ({"sigma": float("nan")}, ValueError, "sigma: got nan"),
        ({"sigma": 1e308}, ValueError, r"sigma: got 1e\+308, wanted a number of pixels from 0 to "),
        ({"sigma": 10**400}, ValueError, "sigma: got 10+, wanted"),
        ({"sigma": "1"}, ValueError, "sigma: got '1', wanted a number"),
        ({"sigma": True}, ValueError, "sigma: got True, wanted a number"),
        ({"sigma": (1.0, 1.0)}, ValueError, r"sigma: got \(1.0, 1.0\), wanted a number"),
        (
            {"sigma": torch.ones(2)},
            ValueError,
            r"sigma: got a torch.float32 tensor of shape \(2,\)",
        ),
        ({"sigma": np.ones((2, 2))}, ValueError, r"sigma: got array\("),
        (
            {"sigma": torch.ones((), requires_grad=True)},
            ValueError,
            r"sigma: .*pass sigma.item\(\)",
        ),
        ({"radius": True}, ValueError, "radius: got True, wanted None or an integer"),
        ({"radius": "3"}, ValueError, "radius: got '3', wanted None or an integer"),
        ({"radius": 2**40}, ValueError, "radius: got 1099511627776, wanted None or an integer"),
        ({"return_alpha": 1}, ValueError, "return_alpha: got 1, wanted True or False"),
        ({"mask_grad": None}, ValueError, "mask_grad: got None, wanted 'straight_through' or"),
        ({"mask_grad": "soft"}, ValueError, "mask_grad: got 'soft', wanted 'straight_through' or"),
        ({"backend": "gpu"}, ValueError, r"backend: got 'gpu', wanted None or one of \("),
    ],
)
def test_error_names_argument_what_came_and_what_is_wanted(change, error, message):
    arguments = {**GOOD._asdict(), **change}
    with pytest.raises(error, match=message) as caught:
        compositor.blend(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"sigma": np.float32(1.5), "radius": np.int64(4)},
        {"sigma": np.float64(1.5), "radius": np.uint8(4)},
        {"sigma": torch.tensor(1.5), "radius": torch.tensor(4)},
        {"threshold": np.float16(0.25), "sigma": torch.tensor([1.5]), "radius": 4},
    ],
)
def test_numbers_are_numbers_whoever_made_them(change):
    wanted = compositor.blend(*GOOD, threshold=0.25, sigma=1.5, radius=4)
    assert torch.equal(compositor.blend(*GOOD, **({"threshold": 0.25} | change)), wanted)


def test_a_sigma_with_a_tangent_is_refused():
    """Forward mode would take it for a constant."""
    with pytest.raises(ValueError, match="sigma: got a tensor that requires a gradient"):
        one = torch.ones(())
        torch.func.jvp(lambda sigma: compositor.blend(*GOOD, sigma=sigma), (one,), (one,))


def test_cpu_backend_refuses_tensors_elsewhere():
    with pytest.raises(RuntimeError, match="backend: got 'cpu' for tensors on meta"):
        compositor.blend(*(t.to("meta") for t in GOOD), backend="cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({2: GOOD.background[:, :, :, :2][:1]}, "background does not fit"),
        ({1: GOOD.mask[:, :, :1]}, "mask does not fit"),
        ({3: GOOD.theta[:1]}, "theta does not fit"),
        ({0: GOOD.foreground[0]}, "wanted"),
    ],
)
def test_direct_call_of_the_op_stays_inside_memory(change, message):
    arguments = [change.get(k, t) for k, t in enumerate(GOOD)]
    with pytest.raises(RuntimeError, match=message):
        torch.ops.compositor.blend(*arguments, 0.5, 1.0, 3, True, False)
