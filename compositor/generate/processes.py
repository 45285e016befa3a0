"""The processes that make a data set."""

import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Self, TypeVar

import torch

from compositor.files import DataError
from compositor.generate.config import Config
from compositor.generate.judge import judge
from compositor.generate.material import Sources
from compositor.generate.scenes import Maker
from compositor.generate.shards import Shards

Result = TypeVar("Result")


@dataclass(frozen=True)
class Job:
    """A data set to be made, what it is made of, and where it lies."""

    config: Config
    sources: Sources
    shards: Shards

    @cached_property
    def maker(self) -> Maker:
        """This process's."""
        return Maker(self.config, self.sources, judge(self.config, self.sources.classes))


class Workers:
    """As many processes as the options say, each on one thread, to be used in a ``with``.

    They are forked when there is work, so that all share the cut-outs in memory, and stay for what
    follows. One worker is this process itself.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def map(self, work: Callable[[Job, int], Result], numbers: Sequence[int]) -> Iterator[Result]:
        """What ``work`` returns for each number of a shard, in order.

        Raises:
            DataError: A process was killed.
        """
        if self._pool is None and min(self.job.config.workers, len(numbers)) <= 1:
            threads = torch.get_num_threads()
            torch.set_num_threads(1)
            try:
                yield from map(partial(work, self.job), numbers)
            finally:
                torch.set_num_threads(threads)
            return
        if self._pool is None:
            count = min(self.job.config.workers, len(self.job.shards))
            context = multiprocessing.get_context("fork")
            self._pool = ProcessPoolExecutor(count, context, _start, (self.job, os.getpid()))
        try:
            yield from self._pool.map(partial(_work, work), numbers)
        except BrokenProcessPool:
            raise DataError(
                f"{self.job.config.output}: a worker was killed; run the same command again: "
                "complete shards are kept"
            ) from None


_job: Job


def _start(job: Job, parent: int) -> None:
    global _job
    gc.freeze()  # collecting writes to every object, and shared memory would be copied
    _job = job
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    torch.set_num_threads(1)


def _work(work: Callable[[Job, int], Result], number: int) -> Result:
    return work(_job, number)


def _end_with(parent: int) -> None:
    """End this process once the one that started it has been killed."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
