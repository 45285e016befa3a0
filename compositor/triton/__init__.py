"""The op's kernels in Triton: CUDA tensors, or tensors anywhere on Triton's interpreter.

Importing this package does not import ``triton``; the first call does.
"""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import torch

# Looked up once: torch.compile cannot trace find_spec under PyTorch 2.11.
INSTALLED = importlib.util.find_spec("triton") is not None


def interpreted() -> bool:
    """Whether Triton runs its kernels in its interpreter, on any device, for tests."""
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "on", "yes", "y")


def status() -> str:
    """ "available", or why Triton cannot serve."""
    if not INSTALLED:
        return "the package triton is not installed"
    if not (torch.cuda.is_available() or interpreted()):
        return "PyTorch finds no GPU (TRITON_INTERPRET=1 runs the kernels without one, slowly)"
    return "available"


def blend(*arguments: Any) -> Any:
    """``compositor::blend`` in Triton."""
    from compositor.triton import launch

    return launch.blend(*arguments)


def blend_backward(*arguments: Any) -> Any:
    """``compositor::blend_backward`` in Triton."""
    from compositor.triton import launch

    return launch.blend_backward(*arguments)
