"""Threads that run torch's operations, in a forked process too."""

from concurrent.futures import ThreadPoolExecutor

import torch


def threads(count: int) -> ThreadPoolExecutor:
    """A pool of so many threads."""
    # In a fork torch renews its own pool at first use and takes no lock: two threads at once
    # fail ("Invalid thread pool!"), so this one is first.
    torch.set_num_threads(torch.get_num_threads())
    return ThreadPoolExecutor(count)
