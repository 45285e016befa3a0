"""Does an experiment's runs side by side, in processes that share the CPU's threads.

A small network keeps one thread busy, while two would mostly wait for each other.
"""

import multiprocessing.connection
import os
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, Generic, NamedTuple, Self, TypeVar

import torch
from accelerate import PartialState
from tqdm import tqdm

State = TypeVar("State")
History = list[dict[str, Any]]
"""A run's record of each cycle."""
Histories = dict[str, dict[int, History]]
"""The history of each run, by its name and its seed."""


class Job(NamedTuple):
    """A run's name, its seed, and how many cycles to have done."""

    name: str
    seed: int
    cycles: int


def at_once(wanted: int | None, state: PartialState) -> int:
    """How many runs to do at once: as many as wanted, or one per thread.

    1 on an accelerator and with data-parallel processes, where one run fills the machine.
    """
    if state.device.type != "cpu" or state.num_processes > 1:
        return 1
    return wanted or torch.get_num_threads()


class Workers(Generic[State]):
    """Does runs in this process, or in several that it starts.

    Args:
        count: Number of processes to start; 1: none.
        state: Passed to the runs in this process.
        prepare: Makes the state for another process's runs, given its line of the terminal;
            picklable.
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
            # Runs in progress finish and are kept; the others are left for the next start.
            self._pool.shutdown(wait=error[0] is None, cancel_futures=True)

    def run_all(
        self,
        work: Callable[[State, Job], History],
        names: Collection[str],
        seeds: Sequence[int],
        cycles: int,
    ) -> Histories:
        """Do all runs, where those of one seed start from the same T.

        Args:
            work: Does a job, or what is missing of it; picklable.
            names: The runs' names.
            seeds: Each of them runs once per seed.
            cycles: How many cycles to do.
        """
        jobs = [Job(name, seed, cycles) for name in names for seed in seeds]
        # For each seed, one run trains that T first; the others load it.
        self._run(work, [job._replace(cycles=0) for job in jobs[: len(seeds)]])
        done = self._run(work, jobs)
        return {
            name: {seed: done[Job(name, seed, cycles)][: cycles + 1] for seed in seeds}
            for name in names
        }

    def _run(self, work: Callable[[State, Job], History], jobs: list[Job]) -> dict[Job, History]:
        if self._pool is None:
            return {job: work(self._state, job) for job in jobs}
        futures = {job: self._pool.submit(_work, work, job) for job in jobs}
        for future in as_completed(futures.values()):
            future.result()
        return {job: future.result() for job, future in futures.items()}


_state: Any = None
"""What a pool process keeps between runs."""


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
    # Otherwise a killed experiment's workers would keep writing beside those of the next start.
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)
