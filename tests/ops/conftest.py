"""Where each backend's tests run: on a GPU where its tensors live there, else on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import pytest
import torch

from compositor.ops import functional, registration
from tests.ops import emulation
from tests.ops.cases import ON_GPU, device_of

collect_ignore = [] if ON_GPU else ["test_cuda.py"]

# The CUDA kernels' programs as one more backend, for tests alone.
registration._register(".emulated", emulation)
_select = functional._select


def _select_emulated(backend: str | None, device: torch.device) -> str:
    return "blend.emulated" if backend == "emulated" else _select(backend, device)


functional._select = _select_emulated


@pytest.fixture(autouse=True)
def _device(request: pytest.FixtureRequest) -> Iterator[None]:
    """Make the test's tensors on the device of its backend."""
    callspec = getattr(request.node, "callspec", None)
    device = device_of(callspec.params.get("backend") if callspec else None)
    with nullcontext() if device == "cpu" else torch.device(device):
        yield
