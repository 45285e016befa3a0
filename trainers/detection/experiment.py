"""Runs a whole detection experiment and writes the report."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import replace
from functools import partial
from io import StringIO
from multiprocessing import parent_process
from typing import Any, Generic, TypeVar

import torch
from accelerate import PartialState

from trainers import checkpoint
from trainers.config import ConfigError, plain
from trainers.detection import pictures, players, report
from trainers.detection.config import Config
from trainers.detection.gallery import Gallery, artefacts
from trainers.detection.models import best, leave
from trainers.detection.report import Layout
from trainers.detection.run import DetectionRun
from trainers.detection.sources import Data, Sources
from trainers.detection.task import DETECTION, Task
from trainers.detection.ways import RULES, Way
from trainers.output import claimed
from trainers.side_by_side import Histories, History, Job, Workers, at_once

ConfigType = TypeVar("ConfigType", bound=Config)
Read = Callable[[ConfigType], Sources]
Columns = dict[str, tuple[Way, ConfigType]]
"""The way and the config of each run, by the run's name."""


def run(
    config: ConfigType,
    read: Read[ConfigType],
    layout: Layout,
    task: Task = DETECTION,
) -> None:
    """Get the data and the weights, start or resume every run, and write the report.

    Args:
        config: The experiment's config.
        read: Lists the data that a config names.
        layout: The layout of the tables.
        task: What T does.
    """
    began = time.perf_counter()
    state = PartialState(cpu=config.cpu)
    _check_shares(config, state.num_processes)
    with claimed(config.output, state, config.restart and not config.check):
        here = _Worker(read, _columns(config), task)
        # Table 2's last column has the config's own data.
        last = list(here.columns)[-1]
        # What is not there is told before weights are fetched, and faulty weights before decoding.
        here.find(last)
        if not config.check:
            with state.main_process_first():
                players.check(config, task.build)
        data = here.data(last)
        for seed in config.seeds:  # rather than after the first seed's hours
            here.data(last, seed)
        if state.is_main_process:
            data.tell(config.output)
        if config.check:
            return
        histories = _run_all(config, state, here)
        if state.is_main_process:
            results = report.summarise(
                "table 2" if config.table2 else layout,
                plain(config),
                data.sources,
                data.test.ignored,
                histories,
            )
            results["seconds"] = shares(histories) | {"all": round(time.perf_counter() - began, 1)}
            report.write(config.output, results)
            if config.profile:
                print(timing_table(results["seconds"]))
            draw(config, data, histories, task)
            if told := best(config, histories, task.measure):
                print(told)
            print(f"{config.output}: results.json, data.json, tables.md, pictures and models")


def _check_shares(config: Config, processes: int) -> None:
    for name, batch in (("target", config.target.batch), ("synthesizer", config.synthesizer.batch)):
        if batch % processes:
            raise ConfigError(
                f"{name}.batch: got {batch}, wanted a multiple of {processes}, the number of "
                "processes"
            )
    judged = config.table2 or any(RULES[way].judged for way in config.ways)
    if judged and config.target.mix == "half" and 1 < config.target.batch == processes:
        raise ConfigError(
            f"target.batch: got {processes}, wanted {2 * processes} or more: D compares real "
            "pictures and composites within each process"
        )


def _run_all(config: Config, state: PartialState, here: "_Worker[Any]") -> Histories:
    """Finish every run."""
    side_by_side = at_once(config.side_by_side, state)
    prepare = partial(_Worker, here.read, here.columns, here.task)
    with Workers(side_by_side, here, prepare) as workers:
        return workers.run_all(_run, here.columns, config.seeds, config.cycles)


class _Worker(Generic[ConfigType]):
    """What a process keeps between runs: the data it has read, which table 2's columns share."""

    def __init__(
        self,
        read: Read[ConfigType],
        columns: Columns[ConfigType],
        task: Task,
        line: int = 0,
    ) -> None:
        self.read, self.columns, self.task, self.line = read, columns, task, line
        self._found: dict[tuple[bool, float], Sources] = {}
        self._data: dict[tuple[bool, float], Data] = {}

    def find(self, name: str) -> None:
        """List the column's data."""
        config = self.columns[name][1]
        with self._first(config):
            self._found[config.clean_up, config.artefacts] = self.read(config)

    def data(self, name: str, seed: int | None = None) -> Data:
        """The column's data; with a seed, of the pictures that it draws."""
        config = self.columns[name][1]
        key = (config.clean_up, config.artefacts)
        if key not in self._data:
            if key not in self._found:
                self.find(name)
            with self._first(config):
                self._data[key] = self._found.pop(key).prepare(config)
        found = self._data[key]
        if seed is None or config.pictures is None:
            return found
        return found.of(config.pictures, seed)

    @contextmanager
    def _first(self, config: Config) -> Iterator[None]:
        """The main process first; of runs side by side, only one reports what it reads."""
        told = nullcontext() if parent_process() is None else redirect_stdout(StringIO())
        with PartialState(cpu=config.cpu).main_process_first(), told:
            yield


def _run(worker: _Worker[Any], job: Job) -> History:
    name, seed, cycles = job
    way, config = worker.columns[name]
    run = DetectionRun(config, way, seed, worker.data(name, seed), name, worker.line, worker.task)
    history = run.run(cycles)
    if 0 < cycles < (done := len(history) - 1):
        raise ConfigError(
            f"cycles: got {cycles}, wanted {done} or more: {run.path} has done {done}"
        )
    if cycles:  # otherwise T has only started
        leave(run, name)
    return history


def _columns(config: ConfigType) -> Columns[ConfigType]:
    """One run per way, or per column of table 2, where column k has the first k - 1 switches on."""
    if not config.table2:
        return {way: (way, config) for way in config.ways}
    columns: Columns[ConfigType] = {}
    for column in range(1, 7):
        ours, synthesizer = config, config.synthesizer
        if column < 2:
            ours = replace(ours, clean_up=False)
        if column < 3:
            ours = replace(ours, synthesizer=replace(synthesizer, dropout=0.0))
        if column < 4:
            ours = replace(ours, artefacts=0.0)
        if column < 5:
            ours = replace(ours, target=replace(ours.target, mix="concatenate"))
        way: Way = "synthesizer" if column < 6 else "synthesizer_discriminator"
        columns[str(column)] = way, ours
    return columns


def shares(histories: Histories) -> dict[str, dict[str, float]]:
    """Shares of the training steps' time: percent by phase and part, over all runs."""
    totals: dict[str, dict[str, float]] = {}
    for runs in histories.values():
        for record in (record for history in runs.values() for record in history):
            for phase, parts in record.get("seconds", {}).items():
                for part, value in parts.items():
                    totals.setdefault(phase, {}).setdefault(part, 0.0)
                    totals[phase][part] += value
    return {
        phase: {part: 100 * value / sum(parts.values()) for part, value in parts.items()}
        for phase, parts in totals.items()
    }


def timing_table(seconds: dict[str, Any]) -> str:
    """Format the shares, one line per phase."""
    lines = []
    for phase, parts in seconds.items():
        if isinstance(parts, dict):
            each = ", ".join(f"{part} {value:.1f}" for part, value in parts.items())
            lines.append(f"Time of a step (%), {phase}: {each}")
    return "\n".join(lines)


def draw(config: Config, data: Data, histories: Histories, task: Task) -> None:
    """Draw T's curve, figures 8, 11, 9 and 3 of this experiment, and figure 5 with its data."""
    seed = config.seeds[0]
    tested, count = data.sources["test"], len(config.seeds)
    title = f"{tested}, mean of {count} seed{'s' * (count > 1)}"
    pictures.curve(config.output / "curve.png", histories, task.measure, title)
    judged: dict[str, dict[str, list[torch.Tensor]]] = {}
    shown, answer = task.hardness
    panels = {"T before": 1}
    if config.cycles > 1:
        panels[f"T after {config.cycles - 1} of {config.cycles} cycles"] = config.cycles
    for panel, cycle in panels.items():
        for name, runs in histories.items():
            every = [history[cycle].get("confidences", {}) for history in runs.values()]
            if all(found.get(shown) for found in every):
                values = [torch.tensor(found[shown]) for found in every]
                judged.setdefault(panel, {})[name] = values
    if judged:
        title = f"Proposals on {data.sources['backgrounds']}"
        limit = config.hard if config.hard_share is None else None
        pictures.hardness(config.output / "hardness.png", judged, limit, title, answer)
    if config.artefacts:
        artefacts(config.output / "artefacts.png", data.scenes)
    last = []
    for name in histories:
        gallery = Gallery()
        content = checkpoint.load(checkpoint.run_path(config.output, name, seed))
        gallery.load_state_dict(content["parts"]["gallery"])
        title = f"{report.NAMES.get(name, name)}, seed {seed}"
        path = config.output / f"composites_{name}.png"
        pictures.composites(path, gallery.sheets, title, task.answer)
        if name in ("synthesizer", "synthesizer_discriminator"):
            last += [replace(row, label=report.NAMES[name]) for row in gallery.sheets[-1:]]
        path = config.output / f"{task.finds}_{name}.png"
        task.draw(path, data.test, gallery.before, gallery.after, title)
    if len(last) > 1:
        title = f"The last cycle, without D and with it, seed {seed}"
        pictures.composites(config.output / "discriminator.png", last, title, task.answer)
