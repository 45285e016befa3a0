"""Builds the compiled kernels (``csrc``) for the PyTorch that is installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pybind11
import torch
from setuptools import Extension, setup
from torch.utils.cpp_extension import BuildExtension, CppExtension

OLDEST_TORCH = "2.11"  # whose stable ABI the sources keep to


def target_version(release: str) -> str:
    """Return TORCH_TARGET_VERSION for a release such as "2.11": one byte a number."""
    major, minor = (int(part) for part in release.split("."))
    return f"0x{major:02x}{minor:02x}000000000000"


def kernels() -> Extension:
    """Return the extension ``compositor._C``."""
    # Without -fno-trapping-math a select between two values keeps a loop from being vectorised.
    flags = ["-O3", "-std=c++20", "-fopenmp-simd", "-fno-trapping-math", "-fno-math-errno"]
    flags += ["-fvisibility=hidden", "-Wall", "-Wextra"]
    if sys.platform == "win32":
        raise RuntimeError("compositor: the kernels build with GCC or Clang; use WSL on Windows")
    return CppExtension(
        "compositor._C",
        sorted(str(path) for path in Path("csrc").rglob("*.cpp")),
        include_dirs=[pybind11.get_include()],
        define_macros=[
            ("TORCH_TARGET_VERSION", target_version(OLDEST_TORCH)),
            ("COMPOSITOR_TORCH_VERSION", f'"{torch.__version__}"'),
            ("COMPOSITOR_OLDEST_TORCH", f'"{OLDEST_TORCH}"'),
        ],
        extra_compile_args=flags,
    )


setup(ext_modules=[kernels()], cmdclass={"build_ext": BuildExtension})
