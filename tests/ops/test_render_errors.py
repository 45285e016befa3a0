"""Every wrong argument of ``render`` is named, with what came and what is wanted."""

from dataclasses import replace

import pytest
import torch

import compositor
from tests.ops.layers import scene

GIVEN = scene((3, 3, 4, 9, 61, 77))
CHANGES = [
    ({"background": 1}, TypeError, "background: got int, wanted a tensor"),
    ({"background": torch.zeros(3, 61, 77)}, ValueError, r"background: got shape \(3, 61, 77\)"),
    ({"background": torch.zeros(3, 3, 0, 7)}, ValueError, "background: got shape .* empty"),
    ({"background": torch.zeros(3, 3, 6, 7)}, TypeError, r"foreground\[0\]: got torch.float64"),
    ({"foreground": 3}, TypeError, "foreground: got int, wanted a tensor or a sequence"),
    ({"foreground": [torch.zeros(3, 4)]}, ValueError, r"foreground\[0\]: got shape \(3, 4\)"),
    (
        {"foreground": [torch.zeros(1, 4, 4).double()]},
        ValueError,
        r"foreground\[0\]: .* 3 channels",
    ),
    ({"mask": GIVEN.mask[:2]}, ValueError, "mask: got 2 tensors, wanted 4 tensors"),
    ({"mask": GIVEN.mask[::-1]}, ValueError, r"mask\[0\]: got .* wanted the size"),
    ({"theta": GIVEN.theta.half()}, TypeError, "theta: got torch.float16"),
    ({"theta": GIVEN.theta[0]}, ValueError, "theta: got shape"),
    ({"image": GIVEN.image[:3]}, ValueError, r"image: got shape \(3,\), wanted \(9,\)"),
    ({"image": GIVEN.image.int()}, TypeError, "image: got torch.int32, wanted int64"),
    ({"image": None}, ValueError, "image: got None for 9 layers and 3 canvases"),
    ({"image": GIVEN.image + 1}, ValueError, "image: got index 3, wanted 0 to 2 of 3 canvases"),
    ({"source": GIVEN.source - 1}, ValueError, "source: got index -1, wanted 0 to 3 of 4 cut-outs"),
    ({"source": [0] * 9}, TypeError, "source: got list, wanted an int64 tensor"),
    ({"gain": torch.ones(9)}, ValueError, r"gain: got shape \(9,\), wanted \(L, C\), \(9, 3\)"),
    ({"bias": torch.ones(9, 3).half()}, TypeError, "bias: got torch.float16"),
    ({"sigma": torch.ones(8)}, ValueError, "sigma: .* for each of 9 layers"),
    ({"sigma": -torch.ones(9)}, ValueError, "sigma: got -1.0"),
    ({"sigma": torch.ones(9, requires_grad=True)}, ValueError, "sigma: .* requires a gradient"),
    ({"radius": 1.5}, ValueError, "radius: got 1.5"),
    ({"threshold": 1}, ValueError, "threshold: got 1"),
    ({"mask_grad": "none"}, ValueError, "mask_grad: got 'none'"),
    ({"backend": "metal"}, ValueError, "backend: got 'metal'"),
    ({"return_labels": 1}, ValueError, "return_labels: got 1"),
]


def call(changes):
    arguments = {
        "background": GIVEN.background,
        "foreground": GIVEN.foreground,
        "mask": GIVEN.mask,
        "theta": GIVEN.theta,
        **GIVEN.options(),
    } | changes
    images = [arguments.pop(name) for name in ("background", "foreground", "mask", "theta")]
    return compositor.render(*images, **arguments)


@pytest.mark.parametrize(("changes", "error", "message"), CHANGES, ids=lambda c: str(c)[:30])
def test_wrong_argument_is_named(changes, error, message):
    with pytest.raises(error, match=message) as caught:
        call(changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["theta", "gain", "bias"])
def test_gradient_through_bytes_is_refused(name):
    levels = GIVEN.to(torch.uint8)
    images = {"background": levels.background, "foreground": levels.foreground, "mask": levels.mask}
    given = getattr(levels, name).clone().requires_grad_()
    with pytest.raises(ValueError, match=f"{name}: .* uint8 images"):
        call(images | {name: given})
    with torch.no_grad():
        call(images | {name: given})


def test_indices_that_python_did_not_see_are_refused_by_the_kernels():
    for name, change, complaint in (
        ("image", GIVEN.image + 1, "image: got 3, wanted 0 to 2"),
        ("image", GIVEN.image - 1, "image: got -1, wanted 0 to 2"),
        ("source", GIVEN.source - 1, "source: got -1, wanted 0 to 3"),
        ("sigma", -GIVEN.sigma, "wanted blurs of at least 0"),
        ("sigma", GIVEN.sigma * torch.nan, "wanted blurs of at least 0"),
        ("sigma", GIVEN.sigma + 2**30, "wanted blurs of at least 0"),
    ):
        given = replace(GIVEN, **{name: change})
        for overload in ("default", "reference"):
            op = getattr(torch.ops.compositor.render, overload)
            with pytest.raises(RuntimeError, match=rf"compositor\.render: {complaint}"):
                op(
                    [f[None] for f in given.foreground], None, given.background, given.theta,
                    given.image, given.source, None, None, given.sigma, 0.0, -1, True, False,
                )  # fmt: skip
