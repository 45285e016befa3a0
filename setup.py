"""Builds the compiled kernels (``csrc``) for the PyTorch that is installed.

COMPOSITOR_BUILD       cuda, cpu or none; unset: cuda if a toolkit for this PyTorch is found
TORCH_CUDA_ARCH_LIST   the architectures in PyTorch's notation, such as "8.0;9.0+PTX"
"""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import setuptools
import torch
from setuptools import Extension, setup
from torch.utils import cpp_extension

OLDEST_SETUPTOOLS = 77  # accepts a license by name; without isolation pip does not check it
OLDEST_TORCH = "2.11"  # the sources keep to its stable ABI
# A binary runs on its major version; PTX is compiled for later ones when first loaded.
ARCHITECTURES = ("8.0", "9.0+PTX")


def target_version(release: str) -> str:
    """Return TORCH_TARGET_VERSION for a release such as "2.11": one byte per number."""
    major, minor = (int(part) for part in release.split("."))
    return f"0x{major:02x}{minor:02x}000000000000"


def toolkits() -> Iterator[Path]:
    """Yield the folders that hold a CUDA toolkit with headers; if set, only CUDA_HOME."""
    nvcc = shutil.which("nvcc")
    places = [str(Path(nvcc).resolve().parents[1])] if nvcc else []
    asked = os.environ.get("CUDA_HOME")
    for place in [asked] if asked else [*places, "/usr/local/cuda"]:
        if all((Path(place) / part).exists() for part in ("bin/nvcc", "include/cuda.h")):
            yield Path(place)


def toolkit_version(toolkit: Path) -> str:
    """Return a toolkit's release, such as "13.0"."""
    told = subprocess.run([toolkit / "bin" / "nvcc", "--version"], capture_output=True, text=True)
    release = re.search(r"release (\d+\.\d+)", told.stdout)
    return release[1] if release else "unknown"


def find_cuda() -> tuple[Path | None, str]:
    """Return (toolkit, its version), or (None, why CUDA cannot be built)."""
    toolkit = next(toolkits(), None)
    if toolkit is None:
        return None, "no CUDA toolkit found: CUDA_HOME, nvcc on PATH or /usr/local/cuda"
    wanted, version = torch.version.cuda, toolkit_version(toolkit)
    if wanted is None:
        return None, f"PyTorch {torch.__version__} is built without CUDA"
    if version.partition(".")[0] != wanted.partition(".")[0]:
        return None, f"CUDA toolkit {version}, wanted {wanted} as PyTorch {torch.__version__}"
    return toolkit, version


def architectures(toolkit: Path) -> str:
    """Return the architectures requested, or the default ones that the toolkit supports."""
    asked = os.environ.get("TORCH_CUDA_ARCH_LIST")
    if asked:
        return asked
    run = subprocess.run([toolkit / "bin" / "nvcc", "--list-gpu-code"], capture_output=True)
    known = run.stdout.decode().split()
    number = re.compile(r"\D")
    return ";".join(a for a in ARCHITECTURES if f"sm_{number.sub('', a)}" in known)


def sources(*folders: str) -> list[str]:
    """List the sources in these folders of ``csrc``, and in its root."""
    found = [*Path("csrc").glob("*.cpp")]
    for folder in folders:
        found += [p for p in Path("csrc", folder).rglob("*") if p.suffix in (".cpp", ".cu")]
    return sorted(map(str, found))


def kernels(build: str) -> Extension:
    """Return the extension ``compositor._C``."""
    # Without -fno-trapping-math, a select between two values prevents a loop's vectorisation.
    flags = ["-O3", "-std=c++20", "-fopenmp-simd", "-fno-trapping-math", "-fno-math-errno"]
    flags += ["-fvisibility=hidden", "-Wall", "-Wextra"]
    # No warnings from PyTorch's own headers; this overrides a -I of the same folder.
    flags += [f"-isystem{folder}" for folder in cpp_extension.include_paths()]
    if sys.platform == "win32":
        raise RuntimeError("compositor: the kernels build with GCC or Clang; use WSL on Windows")
    macros = [
        ("TORCH_TARGET_VERSION", target_version(OLDEST_TORCH)),
        ("COMPOSITOR_TORCH_VERSION", f'"{torch.__version__}"'),
        ("COMPOSITOR_OLDEST_TORCH", f'"{OLDEST_TORCH}"'),
    ]
    schemas = runpy.run_path("compositor/ops/schemas.py")
    for name in ("BLEND", "BLEND_BACKWARD", "RENDER", "RENDER_BACKWARD"):
        macros.append((f"COMPOSITOR_{name}", f'"{schemas[name]}"'))
    if build == "cpu":
        return cpp_extension.CppExtension(
            "compositor._C",
            sources("cpu"),
            define_macros=macros,
            extra_compile_args=flags,
            py_limited_api=True,  # there is no Python in it at all: a C++ program can load it too
        )

    toolkit, version = find_cuda()
    if toolkit is None:
        raise SystemExit(f"compositor: COMPOSITOR_BUILD=cuda, but {version}")
    cpp_extension.CUDA_HOME = str(toolkit)
    os.environ["TORCH_CUDA_ARCH_LIST"] = architectures(toolkit)
    macros += [
        ("USE_CUDA", "1"),  # enables the CUDA half of the stable ABI
        ("COMPOSITOR_CUDA_VERSION", f'"{version}"'),
        ("COMPOSITOR_CUDA_ARCHITECTURES", f'"{os.environ["TORCH_CUDA_ARCH_LIST"]}"'),
    ]
    device_flags = [
        "-O3",
        "-std=c++20",
        "--threads",
        "2",
        "-Xcompiler",
        "-fvisibility=hidden,-Wall,-Wextra",
    ]
    if "-Werror" in os.environ.get("CFLAGS", "").split():
        device_flags += ["--Werror", "all-warnings"]
    return cpp_extension.CUDAExtension(
        "compositor._C",
        sources("cpu", "cuda"),
        define_macros=macros,
        extra_compile_args={"cxx": flags, "nvcc": device_flags},
        py_limited_api=True,
    )


def choose() -> str:
    """Return which kernels to build: COMPOSITOR_BUILD's, or CUDA's too if that is possible."""
    asked = os.environ.get("COMPOSITOR_BUILD", "")
    if asked not in ("", "cpu", "cuda", "none"):
        raise SystemExit(f"compositor: COMPOSITOR_BUILD: got {asked!r}, wanted cpu, cuda or none")
    toolkit, version = find_cuda()
    build = asked or ("cuda" if toolkit else "cpu")
    found = f"{toolkit}, version {version}" if toolkit else version
    said = f"compositor: building {build} (COMPOSITOR_BUILD={asked}); CUDA: {found}"
    if build == "cuda" and toolkit:
        said += f"; TORCH_CUDA_ARCH_LIST={architectures(toolkit)}"
    print(said, file=sys.stderr)
    return build


if int(setuptools.__version__.partition(".")[0]) < OLDEST_SETUPTOOLS:
    raise SystemExit(
        f"compositor: setuptools: got {setuptools.__version__}, wanted {OLDEST_SETUPTOOLS} or later"
    )
BUILD = choose()
setup(
    ext_modules=[] if BUILD == "none" else [kernels(BUILD)],
    cmdclass={"build_ext": cpp_extension.BuildExtension},
)
