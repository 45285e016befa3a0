"""Loads the compiled kernels, and reports what was built and why something is missing."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path
from typing import Any

import torch

from compositor import triton

# A library that the dispatcher fills itself from, not a module: there is no Python in it.
LIBRARY = Path(__file__).with_name("_C.abi3.so")

_reason: str | None = None
_built: dict[str, Any] = {}

try:
    if not LIBRARY.exists():
        _reason = "the extension was not built: run `pip install --no-build-isolation .`"
    else:
        _info = ctypes.CDLL(str(LIBRARY)).compositor_build_info
        _info.restype = ctypes.c_char_p
        _built = json.loads(_info())
except OSError as error:  # never fatal: the reference serves every device
    _reason = f"the extension was built for another PyTorch or system: {error}"


def build_info() -> dict[str, Any]:
    """Report what was built, for which PyTorch, and which backends are available.

    Returns:
        ``backends`` maps each backend's name to "available" or to the reason why it is missing;
        ``torch`` is the running PyTorch. If the extension is built: ``built_with_torch``, the
        ``oldest_torch`` that can load it, ``compiler``, the ``vector_instructions`` compiled in,
        and ``vector_instructions_in_use`` on this machine. If it has CUDA kernels: ``cuda``, the
        toolkit's version, and ``cuda_architectures``.
    """
    backends = {
        "reference": "available",
        "cpu": _reason or "available",
        "cuda": _cuda_status(),
        "triton": triton.status(),
    }
    return {"backends": backends, "torch": torch.__version__, **_built}


def _cuda_status() -> str:
    """Return "available", or why the CUDA kernels cannot be used."""
    if _reason:
        return _reason
    if "cuda" not in _built:
        return "the extension was built without CUDA: build it with COMPOSITOR_BUILD=cuda"
    return "available" if torch.cuda.is_available() else "PyTorch finds no GPU"


def require(backend: str) -> None:
    """Raise RuntimeError with the reason if ``backend`` is missing."""
    status = build_info()["backends"][backend]
    if status != "available":
        raise RuntimeError(f"backend: {backend!r} is not available: {status}")
