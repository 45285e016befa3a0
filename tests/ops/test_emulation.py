"""csrc/cuda/*.cpp over emulated launches, built in other ways than for the tests beside them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ops import emulation

CPUINFO = Path("/proc/cpuinfo")


def shared_library(name):
    """Where the compiler has the library of a sanitizer."""
    told = subprocess.run(
        [emulation.COMPILER, f"-print-file-name={name}"], capture_output=True, text=True
    )
    return told.stdout.strip()


def test_tensors_and_scratch_under_address_and_undefined_behaviour_sanitizers():
    """What the fuzzers cannot see: the sizes of outputs and scratch."""
    preload = " ".join(map(shared_library, ("libasan.so", "libubsan.so")))
    run = subprocess.run(
        [sys.executable, "-m", "tests.ops.sanitized", "emulated"],
        env={
            **os.environ,
            "COMPOSITOR_EMULATION": "sanitized",
            "LD_PRELOAD": preload,
            "ASAN_OPTIONS": "detect_leaks=0",  # Python's own
        },
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-3000:]


needs_fma = pytest.mark.skipif(
    CPUINFO.exists() and "flags" in CPUINFO.read_text() and " fma " not in CPUINFO.read_text(),
    reason="a processor without fused multiply-add",
)


@needs_fma
def test_kernels_agree_where_multiply_and_add_are_contracted():
    """As nvcc contracts them: one rounding instead of two, here and not there."""
    files = ("test_agreement.py", "test_cuda_programs.py", "test_render_values.py")
    chosen = "(dtype1 and emulated and (agrees or float64)) or any_map or not_finite"
    run = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen,
            *(Path(__file__).with_name(name) for name in files),
        ],
        env={**os.environ, "COMPOSITOR_EMULATION": "contracted"},
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-3000:]


@needs_fma
def test_coordinates_have_the_same_bits_however_they_are_contracted(tmp_path):
    """The gather must find the pixels that the backward has written: their roundings are one."""
    bits = []
    for name in ("plain", "contracted"):
        emulation.compile_program(
            ["tests/ops/points.cpp"], tmp_path / name, *emulation.BUILDS[name]
        )
        bits.append(subprocess.run([tmp_path / name], capture_output=True, check=True).stdout)
    assert bits[0] == bits[1] and bits[0].count(b"\n") == 1000
