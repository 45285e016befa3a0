"""The CUDA sources as the compiler sees them, which takes a toolkit but no GPU."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch.utils import cpp_extension

from tests import sass

ROOT = Path(__file__).parents[1]
NVCC = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
SOURCES = ("forward", "backward", "gather", "layers", "layers_backward", "send")
ARCHITECTURES = ("sm_80", "sm_90")


class Loop(NamedTuple):
    """What one turn of a kernel's loop issues, of how many pixels, and the most that one costs."""

    issues: Mapping[str, int]
    pixels: int
    most: float  # instructions a pixel


class Budget(NamedTuple):
    """What a kernel may use at most."""

    registers: int  # a thread
    spills: int  # bytes
    loops: Sequence[Loop] = ()


# Registers, where 32 bits index an image. An SM has 65,536: at 256 threads a block these keep 4
# blocks of the forward and 3 of the backward there, 1,024 and 768 threads with a dozen loads each
# under way, where Little's law asks for 13 KiB an SM of an H100. What a kernel has no room for goes
# to memory, which is what the kernels are short of: no spills at all.
# Instructions, of float32 with radius 3 and 3 channels on sm_90, as nvcc 13.0 compiles them: issue
# slots bind before memory does, so each one more is time. Lower these with the code.
BESIDE = Loop({"LDG": 4, "STS": 1}, 1, 54)  # a sample beside the tile's own columns: 6 of 70
ROWS = Loop({"LDG": 0, "LDS": 6, "STS": 2}, 8, 9.25)  # summed along the rows, a run of 4 each
BUDGETS = {
    "forward_kernel": Budget(
        64,
        0,
        (
            Loop({"LDG": 8, "STS": 2}, 2, 40),  # samples of the mask, where all lie in its frame
            BESIDE,
            ROWS,
            Loop({"LDG": 15, "STG": 3}, 1, 107),  # a background and four corners a channel
        ),
    ),
    "backward_kernel": Budget(
        80,
        0,
        (
            Loop({"LDG": 8, "STS": 2}, 2, 48),  # samples of the mask, where all lie in its frame
            BESIDE,
            ROWS,
            Loop({"LDG": 18, "LDS": 2, "STS": 1}, 1, 116),  # where alpha moves, with dL/dalpha
            Loop({"LDG": 15, "LDS": 1, "STG": 0}, 1, 90),  # where the mask is flat
            Loop({"LDG": 8, "LDS": 2, "STG": 0, "STS": 0}, 2, 50),  # what the mask pulls
        ),
    ),
    "image_kernel": Budget(128, 0),
    "theta_kernel": Budget(40, 0),
    "render_kernel": Budget(
        64,
        0,
        (
            Loop({"LDG": 8, "STS": 2}, 2, 40.5),  # samples of a layer's mask
            Loop({"LDG": 12, "STS": 3}, 1, 87),  # a layer's pixel: four corners a channel
            Loop({"LDG": 12, "STS": 3, "STG": 1}, 1, 115),  # the same where it becomes the owner
        ),
    ),
    "walk_kernel": Budget(
        80,
        0,
        (
            Loop({"LDG": 8, "STS": 2}, 2, 39.5),  # samples of a layer's mask
            BESIDE,
            ROWS,
            # A layer's pixel, with dL/dalpha, and what its colours pull at theta.
            Loop({"LDG": 16, "STG": 3, "STS": 3}, 1, 145),
            Loop({"LDG": 8, "STG": 8, "STS": 4}, 4, 15.75),  # the same on the way down
        ),
    ),
    "pull_kernel": Budget(
        80,
        0,
        (
            Loop({"LDG": 4, "LDS": 0, "STS": 4}, 4, 10.5),  # dL/dalpha, to be blurred
            ROWS,
            Loop({"LDG": 8, "LDS": 2, "STG": 0}, 2, 50),  # what the mask pulls
            Loop({"LDG": 8, "LDS": 0, "STG": 0, "STS": 0}, 4, 25.5),  # what the colours do
        ),
    ),
    "layer_sums_kernel": Budget(40, 0),
    "cut_out_kernel": Budget(128, 0),
    "place_kernel": Budget(80, 0),
    "label_kernel": Budget(48, 0),
    "send_kernel": Budget(32, 0),
}
# Mangled template arguments: float32, 32-bit indices, radius 3; of render any.
COUNTED = {
    "forward": "IfiLi3E",
    "backward": "IfiLi3E",
    "render": "IfiE",
    "walk": "IfiE",
    "pull": "IfiE",
}
COMPILED_FROM = {"render": "layers", "walk": "layers_backward", "pull": "layers_backward"}
MOST_REGISTERS_WIDE = 128  # with 64-bit indices, as float64 always has, 2 blocks
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
def compiled(tmp_path_factory):
    """Return the folder of cubins, and all that the assembler says of their kernels."""
    folder = tmp_path_factory.mktemp("cubins")
    jobs = [(s, a, folder) for s in SOURCES for a in ARCHITECTURES]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return folder, "\n".join(pool.map(lambda job: compile_kernels(*job), jobs))


KERNEL = re.compile(
    r"Compiling entry function '(?P<name>\w+)' for '(?P<architecture>sm_\d+)'.*?"
    r"(?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads.*?"
    r"Used (?P<registers>\d+) registers(?P<rest>[^\n]*)",
    re.DOTALL,
)


needs_nvcc = pytest.mark.skipif(NVCC is None, reason="no CUDA toolkit on this machine")


def test_no_two_sources_make_one_object():
    """Objects are named after their sources, without the suffix."""
    found = [path.with_suffix("") for path in (ROOT / "csrc").rglob("*.c[pu]*")]
    assert len(found) > 10
    assert len(set(found)) == len(found)


def test_every_cuda_source_is_compiled_here():
    assert {path.stem for path in (ROOT / "csrc/cuda").glob("*.cu")} == set(SOURCES)


@needs_nvcc
def test_kernels_compile_and_keep_within_registers_and_shared_memory(compiled):
    _, report = compiled
    seen = {}
    for kernel in KERNEL.finditer(report):
        name = kernel["name"]
        kind = next((k for k in BUDGETS if k in name), None)
        assert kind is not None, name
        seen.setdefault((kind, kernel["architecture"]), []).append(name)
        spilt = max(int(kernel["stores"]), int(kernel["loads"]))
        assert spilt <= BUDGETS[kind].spills, f"{name} spills {spilt} bytes"
        # Mangled template arguments: the storage type, then the index, int64 being `l`, then the
        # radius, -1 being `n1`; 2 blocks of the backward where it is any. render has no radius.
        wide = re.search(rf"{kind}I(\w+)l(Li|E)", name) or re.search("backward.*Lin1E", name)
        most = MOST_REGISTERS_WIDE if wide else BUDGETS[kind].registers
        # float64, which tests the others' code, has the backward alone on an SM.
        most = 256 if re.search("(backward|walk|pull)_kernelId", name) else most
        assert int(kernel["registers"]) <= most, f"{name}: {kernel['registers']} registers"
        shared = re.search(r"(\d+) bytes smem", kernel["rest"])
        assert not shared or int(shared[1]) <= MOST_SHARED, f"{name}: {shared[0]}"
    kernels = {"forward_kernel": 10, "backward_kernel": 10, "image_kernel": 4}
    kernels |= {"theta_kernel": 1, "send_kernel": 1}
    kernels |= {"render_kernel": 9, "place_kernel": 2, "label_kernel": 2}
    kernels |= {"walk_kernel": 7, "pull_kernel": 7, "layer_sums_kernel": 1, "cut_out_kernel": 4}
    for kind, count in kernels.items():
        for architecture in ARCHITECTURES:
            assert len(seen[kind, architecture]) == count, (kind, architecture)


@needs_nvcc
@pytest.mark.parametrize("name", COUNTED)
def test_loops_keep_within_their_instructions(compiled, name):
    folder, _ = compiled
    kind = f"{name}_kernel"
    named = sass.kernels(folder / f"{COMPILED_FROM.get(name, name)}.sm_90.cubin")
    (code,) = (code for mangled, code in named.items() if kind + COUNTED[name] in mangled)
    for issues, pixels, most in BUDGETS[kind].loops:
        turn = sass.instructions_a_turn(code, issues)
        assert turn is not None, f"{kind}: no loop issues {issues}: its budget needs a new row"
        assert turn <= pixels * most, f"{kind}: {turn / pixels} a pixel where {issues}, not {most}"


def test_shortest_turn_of_a_loop_by_hand(monkeypatch):
    """Skips the slow path and what is not asked for; an inner loop counts once."""
    text = """Function : k
        /*0000*/  MOV R1, R2 ;
        /*0010*/  LDG.E R3, [R2.64] ;
        /*0020*/  @P0 BRA 0x50 ;
        /*0030*/  MUFU.RCP R4, R3 ;
        /*0040*/  CALL.REL.NOINC 0x200 ;
        /*0050*/  @!P1 LDG.E R5, [R2.64] ;
        /*0060*/  IADD3 R1, R1, 0x1, RZ ;
        /*0070*/  @P2 BRA 0x60 ;
        /*0080*/  BRA.U !UP0, 0xa0 ;
        /*0090*/  STS [R1], R5 ;
        /*00a0*/  @!P3 BRA 0x10 ;
        /*00b0*/  EXIT ;
    """
    monkeypatch.setattr(sass, "disassembler", lambda: "echo")
    monkeypatch.setattr(
        sass.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, text)
    )
    code = sass.kernels(Path("k.cubin"))["k"]
    assert sass.instructions_a_turn(code, {"LDG": 2, "STS": 1}) == 8
    assert sass.instructions_a_turn(code, {"LDG": 2, "STS": 0}) == 7
    assert sass.instructions_a_turn(code, {"IADD3": 1}) == 2  # the inner loop alone
    assert sass.instructions_a_turn(code, {"MUFU": 1}) is None  # calls
    assert sass.instructions_a_turn(code, {"LDG": 3}) is None


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
