"""The op's kernels in Triton, for CUDA tensors, or for any tensors on Triton's interpreter.

Importing this package does not import ``triton``; the first call does.
"""

from __future__ import annotations

import importlib.util
import os
import re
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

# Looked up once: torch.compile cannot trace find_spec under PyTorch 2.11.
INSTALLED = importlib.util.find_spec("triton") is not None


def interpreted() -> bool:
    """Whether Triton runs its kernels in its interpreter, on any device, for tests."""
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "on", "yes", "y")


def _interpreter_fault() -> str:
    """Why the interpreter cannot run, or "": NumPy 2.4 refuses what 3.6 does with a loop's end."""
    try:
        versions = {name: version(name) for name in ("triton", "numpy")}
    except PackageNotFoundError:
        return ""
    triton, numpy = (tuple(map(int, re.findall(r"\d+", v)[:2])) for v in versions.values())
    if triton >= (3, 7) or numpy < (2, 4):
        return ""
    needs = "the interpreter of Triton {triton} needs NumPy below 2.4, got {numpy}"
    return needs.format(**versions)


# Looked up once, where it matters: torch.compile cannot trace it.
_FAULT = _interpreter_fault() if interpreted() else ""


def status() -> str:
    """Return "available", or why Triton cannot be used."""
    if not INSTALLED:
        return "the package triton is not installed"
    if not (torch.cuda.is_available() or interpreted()):
        return "PyTorch finds no GPU (TRITON_INTERPRET=1 runs the kernels without one, slowly)"
    return _FAULT or "available"


def blend(*arguments: Any) -> Any:
    """``compositor::blend`` in Triton."""
    from compositor.triton import launch

    return launch.blend(*arguments)


def blend_backward(*arguments: Any) -> Any:
    """``compositor::blend_backward`` in Triton."""
    from compositor.triton import launch

    return launch.blend_backward(*arguments)
