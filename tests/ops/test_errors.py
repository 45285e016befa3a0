"""Bad input: one line that names the argument, what came and what is wanted."""

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
        ({"foreground": GOOD.foreground[..., :0]}, ValueError, "foreground: .*no empty dimension"),
        ({"mask": GOOD.mask.expand(2, 3, 8, 7)}, ValueError, r"mask: got shape \(2, 3, 8, 7\)"),
        ({"mask": GOOD.mask[..., :3]}, ValueError, r"mask: .*wanted \(2, 1, 8, 7\)"),
        ({"mask": GOOD.mask.double()}, TypeError, "mask: got torch.float64, wanted foreground's"),
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
        ({"mask_grad": "soft"}, ValueError, "mask_grad: got 'soft', wanted 'straight_through' or"),
        ({"backend": "gpu"}, ValueError, r"backend: got 'gpu', wanted None or one of \("),
    ],
)
def test_error_names_argument_what_came_and_what_is_wanted(change, error, message):
    arguments = {**GOOD._asdict(), **change}
    with pytest.raises(error, match=message) as caught:
        compositor.blend(**arguments)
    assert "\n" not in str(caught.value)


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
