"""Runs the whole AffNIST experiment, side by side where that is faster, and writes the report."""

import time
from dataclasses import dataclass
from functools import partial

from accelerate import PartialState

from trainers.affnist import dataset, report
from trainers.affnist.config import Config
from trainers.affnist.dataset import Data
from trainers.affnist.run import AffNISTRun
from trainers.output import claimed
from trainers.side_by_side import History, Job, Workers, at_once


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
    with Workers(count, _Worker(config, data, 0), partial(_prepare, config)) as workers:
        histories = workers.run_all(_run, config.variants(), config.seeds, config.cycles)
    if state.is_main_process:
        report.write(config, data.sources, histories, time.perf_counter() - began)


@dataclass(frozen=True)
class _Worker:
    config: Config
    data: Data
    line: int


def _prepare(config: Config, line: int) -> _Worker:
    return _Worker(config, dataset.prepare(config.data), line)


def _run(worker: _Worker, job: Job) -> History:
    return AffNISTRun(worker.config, job.name, job.seed, worker.data, worker.line).run(job.cycles)
