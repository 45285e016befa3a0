"""One thread, as the workers use, so that bits compare between processes; a tiny MNIST."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_affnist
import torch

from trainers.affnist import mnist


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def tiny_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a tiny MNIST whose checksums are taken for the right ones."""
    monkeypatch.setattr(mnist, "CHECKSUMS", tiny_affnist.CHECKSUMS)
    return tiny_affnist.write(tmp_path / "mnist")
