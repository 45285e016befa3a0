"""The CUDA sources as the compiler sees them, which takes a toolkit but no GPU."""

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch.utils import cpp_extension

ROOT = Path(__file__).parents[1]
NVCC = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
SOURCES = ("forward", "backward", "gather")
ARCHITECTURES = ("sm_80", "sm_90")

# Registers a thread, where 32 bits index an image. An SM has 65,536: at 256 threads a block these
# keep 4 blocks of the forward and 3 of the backward there, 1,024 and 768 threads with a dozen loads
# each under way, where Little's law asks for 13 KiB an SM of an H100. What a kernel has no room for
# goes to memory, which is what the kernels are short of: no spills at all. With 64-bit indices, as
# float64 always has, 2 blocks.
MOST_REGISTERS = {"forward_kernel": 64, "backward_kernel": 80, "image_kernel": 128}
MOST_REGISTERS_WIDE = 128
MOST_SHARED = 48 * 1024  # what every device gives a block that asks for nothing


def compile_kernels(source, architecture, folder):
    """Compile to machine code with warnings as errors; return what the assembler reports."""
    includes = [f"-I{path}" for path in cpp_extension.include_paths()]
    command = [NVCC, "-O3", "-std=c++20", "-DTORCH_TARGET_VERSION=0x020b000000000000", "-DUSE_CUDA"]
    command += ["-Xcompiler", "-Wall,-Wextra", "--Werror", "all-warnings", "-Xptxas", "-v"]
    command += [f"-arch={architecture}", "-cubin", ROOT / f"csrc/cuda/{source}.cu"]
    output = folder / f"{source}.{architecture}.cubin"
    run = subprocess.run([*command, *includes, "-o", output], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stderr


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """All that the assembler says, of every kernel for every architecture."""
    folder = tmp_path_factory.mktemp("cubins")
    jobs = [(s, a, folder) for s in SOURCES for a in ARCHITECTURES]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return "\n".join(pool.map(lambda job: compile_kernels(*job), jobs))


KERNEL = re.compile(
    r"Compiling entry function '(?P<name>\w+)' for '(?P<architecture>sm_\d+)'.*?"
    r"(?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads.*?"
    r"Used (?P<registers>\d+) registers(?P<rest>[^\n]*)",
    re.DOTALL,
)


@pytest.mark.skipif(NVCC is None, reason="no CUDA toolkit on this machine")
def test_kernels_compile_and_keep_within_registers_and_shared_memory(reports):
    seen = {}
    for kernel in KERNEL.finditer(reports):
        name = kernel["name"]
        kind = next(
            (k for k in (*MOST_REGISTERS, "theta_kernel", "taps_kernel") if k in name), None
        )
        assert kind is not None, name
        seen.setdefault((kind, kernel["architecture"]), []).append(name)
        assert (kernel["stores"], kernel["loads"]) == ("0", "0"), f"{name} spills"
        # Mangled template arguments: the storage type, then the index, int64 being `l`.
        wide = re.search(rf"{kind}I(\w+)lLi", name) is not None
        most = MOST_REGISTERS_WIDE if wide else MOST_REGISTERS.get(kind, 64)
        assert int(kernel["registers"]) <= most, f"{name}: {kernel['registers']} registers"
        shared = re.search(r"(\d+) bytes smem", kernel["rest"])
        assert not shared or int(shared[1]) <= MOST_SHARED, f"{name}: {shared[0]}"
    kernels = {"forward_kernel": 10, "backward_kernel": 10, "image_kernel": 4}
    kernels |= {"theta_kernel": 1, "taps_kernel": 2}
    for kind, count in kernels.items():
        for architecture in ARCHITECTURES:
            assert len(seen[kind, architecture]) == count, (kind, architecture)


def run_setup(*arguments, **environment):
    """Run setup.py; no switch but those given is set."""
    kept = {k: v for k, v in os.environ.items() if k not in ("COMPOSITOR_BUILD", "CUDA_HOME")}
    kept.pop("TORCH_CUDA_ARCH_LIST", None)
    return subprocess.run(
        [sys.executable, "setup.py", *arguments],
        cwd=ROOT, env={**kept, **environment}, capture_output=True, text=True,
    )  # fmt: skip


def test_unknown_build_is_refused_in_one_line():
    run = run_setup("--name", COMPOSITOR_BUILD="gpu")
    assert run.returncode != 0
    assert "COMPOSITOR_BUILD: got 'gpu', wanted cpu, cuda or none" in run.stderr
    assert "Traceback" not in run.stderr


def test_cuda_asked_for_without_a_toolkit_fails_in_one_line():
    run = run_setup("--name", COMPOSITOR_BUILD="cuda", CUDA_HOME=str(ROOT))
    assert run.returncode != 0
    assert "COMPOSITOR_BUILD=cuda, but no CUDA toolkit found" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("build", ["cpu", "none"])
def test_build_says_its_switches(build):
    run = run_setup("--name", COMPOSITOR_BUILD=build)
    assert run.returncode == 0, run.stderr
    assert f"compositor: building {build} (COMPOSITOR_BUILD={build})" in run.stderr


@pytest.mark.skipif(
    NVCC is None or torch.version.cuda is None, reason="no CUDA toolkit, or PyTorch without CUDA"
)
def test_architectures_asked_for_are_the_ones_said():
    run = run_setup("--name", TORCH_CUDA_ARCH_LIST="9.0")
    assert "compositor: building cuda" in run.stderr and "TORCH_CUDA_ARCH_LIST=9.0" in run.stderr
    run = run_setup("--name")
    assert "TORCH_CUDA_ARCH_LIST=8.0;9.0+PTX" in run.stderr
