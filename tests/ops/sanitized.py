"""A small set of calls for compute-sanitizer: every kernel, every type, odd sizes, any stride."""

from __future__ import annotations

import itertools

import torch

import compositor
from tests.ops.cases import inputs

SHAPES = ((2, 3, 33, 40, 70, 65), (1, 1, 7, 5, 9, 130))
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
blend = torch.ops.compositor.blend.default
backward = torch.ops.compositor.blend_backward.default


def main() -> None:
    assert compositor.build_info()["backends"]["cuda"] == "available"
    torch.manual_seed(0)
    for shape, dtype, radius, last in itertools.product(SHAPES, DTYPES, (0, 3, 7), (False, True)):
        given = [t.cuda() for t in inputs(shape, dtype)]
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
    torch.cuda.synchronize()


if __name__ == "__main__":
    main()
