"""Threads that run torch in a forked process, as a server's or a loader's workers do."""

import multiprocessing
import threading
from collections.abc import Iterator

import pytest
import torch
from torch.nn.functional import adaptive_avg_pool2d

from compositor._threads import threads

THREADS = 8


@pytest.fixture
def many() -> Iterator[None]:
    """Torch has many threads: the more it renews, the likelier they were to be missed."""
    before = torch.get_num_threads()
    torch.set_num_threads(2 * THREADS)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("many")
def test_threads_of_a_fork_may_all_start_at_once() -> None:
    # With a plain pool a fork failed in one case of four.
    pooled()
    for _ in range(30):
        process = multiprocessing.get_context("fork").Process(target=all_at_once)
        process.start()
        process.join(60)
        assert process.exitcode == 0


def all_at_once() -> None:
    barrier = threading.Barrier(THREADS)

    def work(_: int) -> torch.Tensor:
        barrier.wait()
        return pooled()

    with threads(THREADS) as pool:
        assert all(found.shape == (8, 4, 4) for found in pool.map(work, range(THREADS)))


def pooled() -> torch.Tensor:
    return adaptive_avg_pool2d(torch.rand(8, 64, 64), 4)
