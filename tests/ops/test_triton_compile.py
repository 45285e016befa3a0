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
    # What is spilled goes through the cache once a tile.
    assert found["float32", "forward"] == found["float32", "backward"] == 0
    # By columns, a warp touches 32 rows. Nothing is aligned here, or next to another in memory, so
    # a thread that loads two at once has been told what is not so.
    for line in run.stdout.splitlines():
        if re.match("(forward|backward|rows|spread|pull)_kernel ", line):
            assert line.endswith(" 0 accesses by columns, 1 wide"), line
