"""Runs the whole AffNIST experiment, side by side where that is faster, and writes the report."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from accelerate import PartialState

from trainers.affnist import dataset, report
from trainers.affnist.config import Config
from trainers.affnist.dataset import Data
from trainers.affnist.run import AffNISTRun
from trainers.output import claimed
from trainers.side_by_side import Workers, at_once

Job = tuple[str, int]
"""A variant of the config, and a seed."""
History = list[dict[str, Any]]


def run(config: Config) -> None:
    """Get the data, start or resume every run, and write the report."""
    began = time.perf_counter()
    state = PartialState(cpu=config.cpu)
    with claimed(config.output, state, config.restart):
        _run_all(config, state, began)


def _run_all(config: Config, state: PartialState, began: float) -> None:
    with state.main_process_first():
        data = dataset.prepare(config.data)
    count = at_once(config.side_by_side, state)
    if state.is_main_process:
        print(f"MNIST: {data.sources['mnist']}; tested on {data.sources['affnist']}")
        print(
            f"{state.num_processes} process(es) on {state.device}, {count} run(s) side by side",
            flush=True,
        )
    jobs = [(name, seed) for name in config.variants() for seed in config.seeds]
    first = jobs[: len(config.seeds)]
    with Workers(count, _Worker(config, data, 0), partial(_prepare, config)) as runs:
        # For each seed, one way trains T on MNIST alone; the others start from that T.
        runs.run(partial(_run, cycles=0), first)
        histories = runs.run(partial(_run, cycles=config.cycles), jobs)
    if state.is_main_process:
        report.write(config, data.sources, histories, time.perf_counter() - began)


@dataclass(frozen=True)
class _Worker:
    config: Config
    data: Data
    line: int


def _prepare(config: Config, line: int) -> _Worker:
    return _Worker(config, dataset.prepare(config.data), line)


def _run(worker: _Worker, job: Job, cycles: int) -> History:
    return AffNISTRun(worker.config, *job, worker.data, worker.line).run(cycles)[: cycles + 1]
