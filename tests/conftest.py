"""Settings shared by all tests, and where each backend's tests run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when triton is imported: after this

from compositor.ops import functional, layers_registration, registration
from tests.ops import emulation
from tests.ops.cases import device_of

if torch.cuda.is_available():
    from compositor.triton import tuning

    tuning.timed = lambda: False  # the first configuration: compiling each of five takes minutes

# The CUDA kernels' programs on the host as one more backend, for tests alone.
registration._register_backend(".emulated", emulation)
layers_registration._register_backend(".emulated", emulation.render, emulation.render_backward)
_select = functional.select


def _select_emulated(backend: str | None, device: torch.device) -> str:
    return "emulated" if backend == "emulated" else _select(backend, device)


functional.select = _select_emulated


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _device(request: pytest.FixtureRequest) -> Iterator[None]:
    """Make the test's tensors on the device of its backend: a GPU where they live there."""
    callspec = getattr(request.node, "callspec", None)
    device = device_of(callspec.params.get("backend") if callspec else None)
    with nullcontext() if device == "cpu" else torch.device(device):
        yield
