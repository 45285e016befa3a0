"""All runs of the AffNIST experiment, side by side where that is faster, and then the report."""

import multiprocessing.connection
import os
import shutil
import threading
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import nullcontext
from typing import Any

import torch
from accelerate import PartialState
from tqdm import tqdm

from trainers.affnist import dataset, report
from trainers.affnist.config import Config, Way
from trainers.affnist.dataset import Data
from trainers.affnist.run import AffNISTRun
from trainers.config import ConfigError

Job = tuple[Way, int]
History = list[dict[str, Any]]


def run(config: Config) -> None:
    """Get the data, do what is left of every run, and write the report."""
    began = time.perf_counter()
    state = PartialState(cpu=config.cpu)
    if config.restart and state.is_main_process:
        for name in ("checkpoints", "tensorboard"):
            shutil.rmtree(config.output / name, ignore_errors=True)
    with state.main_process_first():
        data = dataset.prepare(config.data)
    workers = _workers(config, state)
    if state.is_main_process:
        print(f"MNIST: {data.sources['mnist']}; tested on {data.sources['affnist']}")
        print(
            f"{state.num_processes} process(es) on {state.device}, {workers} run(s) side by side",
            flush=True,
        )
    first = [(config.ways[0], seed) for seed in config.seeds]
    jobs = [(way, seed) for way in config.ways for seed in config.seeds]
    with _pool(config, workers) if workers > 1 else nullcontext() as pool:
        # One way of each seed trains T on MNIST alone; the others start from that T.
        _run_all(config, data, first, 0, pool)
        histories = _run_all(config, data, jobs, config.cycles, pool)
    if state.is_main_process:
        report.write(config, data.sources, histories, time.perf_counter() - began)


def _workers(config: Config, state: PartialState) -> int:
    """How many runs go side by side."""
    if state.num_processes > 1 or state.device.type != "cpu":
        if (config.workers or 1) > 1:
            raise ConfigError(
                f"workers: got {config.workers}, wanted 1 with {state.num_processes} data-parallel "
                f"process(es) on {state.device}"
            )
        return 1
    return config.workers or torch.get_num_threads()


def _pool(config: Config, workers: int) -> ProcessPoolExecutor:
    """Processes of a thread each: a step is too small for two threads to share it well."""
    context = multiprocessing.get_context("spawn")
    shared = (config, context.Value("i", 0), context.RLock())
    return ProcessPoolExecutor(workers, context, _start_worker, shared)


def _run_all(
    config: Config, data: Data, jobs: list[Job], cycles: int, pool: ProcessPoolExecutor | None
) -> dict[Job, History]:
    """Bring all jobs to ``cycles`` cycles, in the pool or here."""
    if pool is None:
        return {job: AffNISTRun(config, *job, data).run(cycles)[: cycles + 1] for job in jobs}
    futures = {job: pool.submit(_work, *job, cycles) for job in jobs}
    try:
        for future in as_completed(futures.values()):
            future.result()
    except BaseException:
        # What runs now ends its run and is kept; the rest is left for the next start.
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    return {job: future.result() for job, future in futures.items()}


_worker: dict[str, Any] = {}
"""What a worker process keeps between its runs."""


def _start_worker(config: Config, count: Any, lock: Any) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    tqdm.set_lock(lock)
    with count:
        _worker["line"] = count.value
        count.value += 1
    _worker["config"], _worker["data"] = config, dataset.prepare(config.data)


def _work(way: Way, seed: int, cycles: int) -> History:
    config, data, line = _worker["config"], _worker["data"], _worker["line"]
    return AffNISTRun(config, way, seed, data, line).run(cycles)[: cycles + 1]


def _end_with_parent() -> None:
    # Else a killed experiment's workers would go on writing beside those of its next start.
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)
