"""Triton's kernels compile to machine code for GPUs that need not be there."""

import os
import re
import subprocess
import sys

import pytest

DTYPES = ("float32", "float64", "float16", "bfloat16")


@pytest.mark.parametrize("arch", ["80", "90"])
def test_kernels_compile(arch):
    run = subprocess.run(
        [sys.executable, "-m", "tests.ops.compile_triton", arch, *DTYPES],
        env={**os.environ, "TRITON_INTERPRET": "0"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    found = {}
    for dtype in DTYPES:
        report = run.stdout.partition(f"{dtype}\n")[2]
        for name in ("plan", "forward", "backward", "theta"):
            line = re.search(rf"{name}_kernel .*: (\d+) registers, (\d+) bytes", report)
            assert line, (dtype, name)
            found[dtype, name] = int(line[2])
    # What is spilled goes through the cache once a tile; 64 floats a thread would show in the time.
    assert found["float32", "forward"] <= 256 and found["float32", "backward"] <= 256
