"""Runs of an experiment side by side, in processes that share the CPU's threads.

A step of a small network keeps one thread busy and two threads waiting for each other.
"""

import multiprocessing.connection
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, Generic, Self, TypeVar

import torch
from accelerate import PartialState
from tqdm import tqdm

State = TypeVar("State")
Job = TypeVar("Job")
Result = TypeVar("Result")


def at_once(wanted: int | None, state: PartialState) -> int:
    """How many runs to do at once: as many as wanted, or one a thread.

    1 on an accelerator and with data-parallel processes: there a run fills the machine.
    """
    if state.device.type != "cpu" or state.num_processes > 1:
        return 1
    return wanted or torch.get_num_threads()


class Workers(Generic[State]):
    """Who does the runs: this process, or several of its own making.

    Args:
        count: Processes to make; 1: none.
        state: What runs in this process are given.
        prepare: Gives what runs in another process are given, for that process's line of the
            terminal; picklable.
    """

    def __init__(self, count: int, state: State, prepare: Callable[[int], State]) -> None:
        self._state, self._pool = state, None
        if count > 1:
            context = multiprocessing.get_context("spawn")
            threads = max(1, torch.get_num_threads() // count)
            shared = (prepare, threads, context.Value("i", 0), context.RLock())
            self._pool = ProcessPoolExecutor(count, context, _start, shared)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            # What runs now ends its run and is kept; the rest is left for the next start.
            self._pool.shutdown(wait=error[0] is None, cancel_futures=True)

    def run(self, work: Callable[[State, Job], Result], jobs: Iterable[Job]) -> dict[Job, Result]:
        """Do all jobs.

        Args:
            work: Does one; picklable, as the jobs are.
            jobs: Which.
        """
        if self._pool is None:
            return {job: work(self._state, job) for job in jobs}
        futures = {job: self._pool.submit(_work, work, job) for job in jobs}
        for future in as_completed(futures.values()):
            future.result()
        return {job: future.result() for job, future in futures.items()}


_state: Any = None
"""What a process of the pool keeps between its runs."""


def _start(prepare: Callable[[int], Any], threads: int, count: Any, lock: Any) -> None:
    global _state
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    tqdm.set_lock(lock)
    with count:
        line = count.value
        count.value += 1
    _state = prepare(line)


def _work(work: Callable[[Any, Any], Any], job: Any) -> Any:
    return work(_state, job)


def _end_with_parent() -> None:
    # Else a killed experiment's workers would go on writing beside those of its next start.
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)
