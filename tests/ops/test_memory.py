"""No value of theta, no shape and no stride takes the kernels outside memory."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = {
    "cpu": ("tests/ops/fuzz.cpp", "csrc/cpu/kernels_baseline.cpp", "csrc/cpu/kernels_avx2.cpp"),
    "cuda": ("tests/ops/fuzz_cuda.cpp",),  # by emulation, slower
}


@pytest.mark.parametrize("kernels", SOURCES)
def test_fuzzed_kernels_stay_inside_memory(kernels, tmp_path):
    program = tmp_path / "fuzz"
    flags = ["-std=c++20", "-O0", "-fopenmp-simd", "-fno-sanitize-recover=undefined"]
    compiler = os.environ.get("CXX", "g++")
    build = [compiler, *flags, "-fsanitize=address,undefined"]
    build += [ROOT / source for source in SOURCES[kernels]]
    subprocess.run([*build, "-o", program], check=True)
    run = subprocess.run(
        [program, "0", "100" if kernels == "cpu" else "30"], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[:3000]
    assert "every access inside memory" in run.stdout
