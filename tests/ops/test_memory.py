"""No value of theta, no shape and no stride takes the kernels outside memory."""

import subprocess

import pytest

from tests.ops import emulation

CPU = tuple(f"csrc/cpu/{name}.cpp" for name in ("kernels_baseline", "kernels_avx2", "scratch"))
SOURCES = {
    "cpu": ("tests/ops/fuzz.cpp", *CPU),
    "cpu, layers": ("tests/ops/fuzz_layers.cpp", *CPU),
    "cuda": ("tests/ops/fuzz_cuda.cpp",),  # by emulation, slower
}


@pytest.mark.parametrize("kernels", SOURCES)
def test_fuzzed_kernels_stay_inside_memory(kernels, tmp_path):
    program = tmp_path / "fuzz"
    flags = ("-O0", "-fopenmp-simd", "-fsanitize=address,undefined")
    emulation.compile_program(SOURCES[kernels], program, *flags, "-fno-sanitize-recover=undefined")
    run = subprocess.run(
        [program, "0", "30" if kernels == "cuda" else "60"], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[:3000]
    assert "every access inside memory" in run.stdout
