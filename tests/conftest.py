"""Settings every test shares."""

import os

import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when triton is imported: after this


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
