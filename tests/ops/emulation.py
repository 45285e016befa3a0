"""The CUDA backend without a GPU: ``csrc/cuda/*.cpp`` themselves over emulated launches.

A block's threads run one after the other, phase by phase (``emulated_block.h``); the device and its
stream are stubs (``emulated_ops.cpp``). What this cannot show is what only a device has: speed, the
launch itself, memory that is not coherent.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils import cpp_extension

ROOT = Path(__file__).parents[2]
COMPILER = os.environ.get("CXX", "g++")
FLAGS = (
    "-std=c++20",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unknown-pragmas",
    f"-I{ROOT / 'tests/ops/no_cuda'}",  # a stub in place of CUDA's header
)
# nvcc contracts a * b + c wherever it finds it; a host compiler does so when told, GCC only from
# -O2 on.
CONTRACTED = ("-O2", "-ffp-contract=fast", *(("-mfma",) if platform.machine() == "x86_64" else ()))
SANITIZED = ("-O0", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
BUILDS = {"plain": ("-O1",), "contracted": CONTRACTED, "sanitized": SANITIZED}
BUILD = os.environ.get("COMPOSITOR_EMULATION", "plain")


def compile_program(sources: Iterable[str], to: Path, *flags: str) -> None:
    """Compile what includes CUDA's programs, without CUDA."""
    command = [COMPILER, *FLAGS, *(str(ROOT / source) for source in sources), "-o", to, *flags]
    # A sanitizer's library is for this process, not for the compiler's.
    kept = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    subprocess.run(command, check=True, env=kept)


@functools.cache
def library() -> ctypes.CDLL:
    """Compile the backend and register it, once a session."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)  # a sanitizer's report reads the library again
    headers = [f"-isystem{path}" for path in cpp_extension.include_paths()]
    libraries = [f"-L{path}" for path in cpp_extension.library_paths()]
    compile_program(
        ["tests/ops/emulated_ops.cpp"],
        folder / "emulated.so",
        *BUILDS[BUILD],
        *("-DUSE_CUDA", "-DTORCH_TARGET_VERSION=0x020b000000000000", *headers),  # as setup.py
        # Its stubs come before PyTorch's own functions.
        *("-fPIC", "-shared", "-fvisibility=hidden", "-Wl,-Bsymbolic", *libraries, "-ltorch_cpu"),
    )
    return ctypes.CDLL(str(folder / "emulated.so"))


@contextmanager
def _fresh_memory_is_nan() -> Iterator[None]:
    """What is not written, of outputs and of scratch, shows."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def _run(op: Any, arguments: tuple[Any, ...], seed: int) -> Any:
    library().set_order(seed)
    with _fresh_memory_is_nan():
        return op.redispatch(torch._C.DispatchKeySet(torch._C.DispatchKey.PrivateUse1), *arguments)


def blend(*arguments: Any, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Run ``compositor::blend``, the threads of a block in an order that ``seed`` changes."""
    return _run(torch.ops.compositor.blend.default, arguments, seed)


def blend_backward(*arguments: Any, seed: int = 0) -> tuple[Tensor, ...]:
    """Run ``compositor::blend_backward``, likewise."""
    return _run(torch.ops.compositor.blend_backward.default, arguments, seed)


def render(*arguments: Any, seed: int = 0) -> tuple[Tensor, ...]:
    """Run ``compositor::render``, likewise."""
    return _run(torch.ops.compositor.render.default, arguments, seed)


def render_backward(*arguments: Any, seed: int = 0) -> tuple[Any, ...]:
    """Run ``compositor::render_backward``, likewise."""
    return _run(torch.ops.compositor.render_backward.default, arguments, seed)
