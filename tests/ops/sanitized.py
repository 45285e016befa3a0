"""A small set of calls for a sanitizer: every kernel, every type, odd sizes, any stride.

``python -m tests.ops.sanitized`` makes them on a GPU, for compute-sanitizer; with ``emulated``, on
the host, for the compiler's.
"""

from __future__ import annotations

import itertools
import sys
from typing import Any

import torch
from torch import Tensor

import compositor
from tests.ops import emulation
from tests.ops.cases import inputs
from tests.ops.layers import SIZES, scene

SHAPES = ((2, 3, 33, 40, 70, 65), (1, 1, 7, 5, 9, 130))
THETA_ALONE = (False, False, False, True)
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def check_layers(device: str, render: Any, backward: Any) -> None:
    for size, dtype, masked in itertools.product(SIZES, (*DTYPES, torch.uint8), (False, True)):
        given = scene(size, masked=masked, toned=masked).to(dtype)
        if len(given.theta) > 1:
            given.theta[1, 0, 0] = torch.nan

        def stacks(images: list[Tensor] | None) -> list[Tensor] | None:
            return None if images is None else [image[None].to(device) for image in images]

        tones = [None if tone is None else tone.to(device) for tone in (given.gain, given.bias)]
        arguments = (
            stacks(given.foreground), stacks(given.mask), given.background.to(device),
            given.theta.to(device), given.image, given.source, *tones, given.sigma, 0.3, -1, True,
        )  # fmt: skip
        outputs = list(render(*arguments, True))
        for needs in () if dtype == torch.uint8 else ([True] * 6, [*THETA_ALONE, False, False]):
            grads = backward(outputs[0], *arguments, needs)
            outputs += [*grads[0], *grads[1], *grads[2:]]
        for output in outputs:
            total = output.double().nan_to_num().sum()
            assert float(total) == float(total)


def main(emulated: bool) -> None:
    if emulated:
        device, blend, backward = "cpu", emulation.blend, emulation.blend_backward
        render, render_backward = emulation.render, emulation.render_backward
    else:
        assert compositor.build_info()["backends"]["cuda"] == "available"
        ops = torch.ops.compositor
        device, blend, backward = "cuda", ops.blend.default, ops.blend_backward.default
        render, render_backward = ops.render.default, ops.render_backward.default
    torch.manual_seed(0)
    check_layers(device, render, render_backward)
    for shape, dtype, radius, last in itertools.product(SHAPES, DTYPES, (0, 3, 7), (False, True)):
        given = [t.to(device) for t in inputs(shape, dtype)]
        if last:
            given[:3] = [t.contiguous(memory_format=torch.channels_last) for t in given[:3]]
        given[3][0, 0, 0] = torch.nan if radius == 7 else given[3][0, 0, 0]
        options = (0.3, radius / 3, radius, True)
        composite, alpha = blend(*given, *options, True)
        for needs in ((True,) * 4, THETA_ALONE):
            grads = backward(composite, alpha, *given, *options, *needs)
            # Read to the last element: what was not written shows in initcheck.
            total = sum(grad.double().nan_to_num().sum() for grad in grads if grad.numel())
            assert float(total) == float(total)
    if not emulated:
        torch.cuda.synchronize()


if __name__ == "__main__":
    main(emulated=sys.argv[1:] == ["emulated"])
