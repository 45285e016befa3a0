"""A small set of calls for a sanitizer: every kernel, every type, odd sizes, any stride.

``python -m tests.ops.sanitized`` makes them on a GPU, for compute-sanitizer; with ``emulated``, on
the host, for the compiler's.
"""

from __future__ import annotations

import itertools
import sys

import torch

import compositor
from tests.ops import emulation
from tests.ops.cases import inputs

SHAPES = ((2, 3, 33, 40, 70, 65), (1, 1, 7, 5, 9, 130))
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def main(emulated: bool) -> None:
    if emulated:
        device, blend, backward = "cpu", emulation.blend, emulation.blend_backward
    else:
        assert compositor.build_info()["backends"]["cuda"] == "available"
        ops = torch.ops.compositor
        device, blend, backward = "cuda", ops.blend.default, ops.blend_backward.default
    torch.manual_seed(0)
    for shape, dtype, radius, last in itertools.product(SHAPES, DTYPES, (0, 3, 7), (False, True)):
        given = [t.to(device) for t in inputs(shape, dtype)]
        if last:
            given[:3] = [t.contiguous(memory_format=torch.channels_last) for t in given[:3]]
        given[3][0, 0, 0] = torch.nan if radius == 7 else given[3][0, 0, 0]
        options = (0.3, radius / 3, radius, True)
        composite, alpha = blend(*given, *options, True)
        for needs in ((True,) * 4, (False, False, False, True)):
            grads = backward(composite, alpha, *given, *options, *needs)
            # Read to the last element: what was not written shows in initcheck.
            total = sum(grad.double().nan_to_num().sum() for grad in grads if grad.numel())
            assert float(total) == float(total)
    if not emulated:
        torch.cuda.synchronize()


if __name__ == "__main__":
    main(emulated=sys.argv[1:] == ["emulated"])
