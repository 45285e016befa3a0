"""All runs of a detection experiment, one after the other, and then the report."""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from accelerate import PartialState

from trainers import checkpoint
from trainers.config import plain
from trainers.detection import pictures, players, report
from trainers.detection.config import Config, Way
from trainers.detection.gallery import Gallery
from trainers.detection.report import Layout
from trainers.detection.run import Data, DetectionRun, checkpoint_path

ConfigType = TypeVar("ConfigType", bound=Config)
Read = Callable[[ConfigType], Data]
Histories = dict[str, dict[int, list[dict[str, Any]]]]


def run(config: ConfigType, read: Read[ConfigType], layout: Layout) -> None:
    """Get the weights and the data, do what is left of every run, and write the report.

    Args:
        config: Of the experiment.
        read: Reads the data that a config names.
        layout: Of the tables.
    """
    began = time.perf_counter()
    state = PartialState(cpu=config.cpu)
    with state.main_process_first():
        players.check(config)
    if config.restart and state.is_main_process:
        for name in ("checkpoints", "tensorboard"):
            shutil.rmtree(config.output / name, ignore_errors=True)
    state.wait_for_everyone()
    jobs = _columns(config) if config.table2 else [(way, way, config) for way in config.ways]
    histories: Histories = {}
    for name, way, ours in jobs:
        # The columns of table 2 differ in their data; else it is read once.
        if not histories or config.table2:
            with state.main_process_first():
                data = read(ours)
        histories[name] = {
            seed: DetectionRun(ours, way, seed, data, name).run(config.cycles)[: config.cycles + 1]
            for seed in config.seeds
        }
    if state.is_main_process:
        results = report.summarise(
            "table 2" if config.table2 else layout, plain(config), data.sources, histories
        )
        results["seconds"] = shares(histories) | {"all": round(time.perf_counter() - began, 1)}
        report.write(config.output, results)
        print(timing_table(results["seconds"]))
        draw(config, data, histories)
        print(f"{config.output}: results.json, tables.md and pictures")


def _columns(config: ConfigType) -> list[tuple[str, Way, ConfigType]]:
    """Table 2: column k has the first k - 1 switches on."""
    columns: list[tuple[str, Way, ConfigType]] = []
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
        columns.append((str(column), way, ours))
    return columns


def shares(histories: Histories) -> dict[str, dict[str, float]]:
    """Where the time of the training steps went: percent by phase and part, over all runs."""
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
    """The shares in lines."""
    lines = []
    for phase, parts in seconds.items():
        if isinstance(parts, dict):
            each = ", ".join(f"{part} {value:.1f}" for part, value in parts.items())
            lines.append(f"Time of a step (%), {phase}: {each}")
    return "\n".join(lines)


def draw(config: Config, data: Data, histories: Histories) -> None:
    """Write figures 8, 11 and 9 with this experiment's results."""
    seed = config.seeds[0]
    judged: dict[str, dict[str, list[torch.Tensor]]] = {}
    for panel, cycle in (("T before", 1), (f"T after {config.cycles - 1} cycles", config.cycles)):
        for name, runs in histories.items():
            every = [history[cycle].get("confidences") for history in runs.values()]
            if all(every):
                values = [torch.tensor(found) for found in every]
                judged.setdefault(panel, {})[name] = values
    if judged:
        pictures.hardness(
            config.output / "hardness.png", judged, f"Proposals on {data.sources['backgrounds']}"
        )
    for name in histories:
        gallery = Gallery()
        content = checkpoint.load(checkpoint_path(config, name, seed))
        gallery.load_state_dict(content["parts"]["gallery"])
        title = f"{report.NAMES.get(name, name)}, seed {seed}"
        pictures.composites(config.output / f"composites_{name}.png", gallery.sheets, title)
        pictures.detections(
            config.output / f"detections_{name}.png",
            data.test.__getitem__,
            gallery.before,
            gallery.after,
            title,
        )


def names(sources: Sequence[str]) -> dict[str, str]:
    """Sources in words by what they serve for, in the order of :class:`Data`."""
    return dict(zip(("train", "backgrounds", "cutouts", "test"), sources, strict=True))
