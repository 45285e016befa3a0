"""No value of theta, no shape and no stride takes the CPU kernels outside memory."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_fuzzed_kernels_stay_inside_memory(tmp_path):
    program = tmp_path / "fuzz"
    sources = [
        ROOT / "tests/ops/fuzz.cpp",
        ROOT / "csrc/cpu/kernels_baseline.cpp",
        ROOT / "csrc/cpu/kernels_avx2.cpp",
    ]
    flags = ["-std=c++20", "-O0", "-fopenmp-simd", "-fno-sanitize-recover=undefined"]
    compiler = os.environ.get("CXX", "g++")
    build = [compiler, *flags, "-fsanitize=address,undefined", *sources, "-o", program]
    subprocess.run(build, check=True)
    run = subprocess.run([program, "0", "100"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[:3000]
    assert "every access inside memory" in run.stdout
