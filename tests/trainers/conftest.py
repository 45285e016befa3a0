"""One thread, as the workers use, so that bits compare between processes; a tiny MNIST; a cache."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_affnist
import torch

from trainers.affnist import mnist
from trainers.affnist.placement import Digits, pad
from trainers.affnist.sampling import CLASSES
from trainers.cache import HardExampleCache


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


@pytest.fixture
def digits() -> Digits:
    images, labels = tiny_affnist.digits(tiny_affnist.TRAIN, 0)
    return pad(torch.from_numpy(images), torch.from_numpy(labels).long())


@pytest.fixture
def cache() -> HardExampleCache:
    """With room for a few images of each class."""
    cache = HardExampleCache(CLASSES)
    cache.open(tiny_affnist.PER_CLASS)
    return cache
