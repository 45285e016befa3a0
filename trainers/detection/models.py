"""Writes the detector that a run leaves."""

import statistics
from collections.abc import Mapping
from pathlib import Path

from trainers.detection.best import History, best_run, over
from trainers.detection.config import Config
from trainers.detection.report import MEASURES, Measure
from trainers.detection.run import DetectionRun
from trainers.detectors import model_file
from trainers.detectors.base import TrainableDetector
from trainers.detectors.model_file import Model


def model_path(config: Config, name: str, seed: int) -> Path:
    """The ``model.pt`` of one run."""
    return config.output / "models" / f"{name}-seed{seed}" / "model.pt"


def leave(run: DetectionRun, name: str) -> None:
    """Write T as it was after its best cycle, on the main process; ``name`` is the run's."""
    detector, kept = run.average.module, run.best
    assert isinstance(detector, TrainableDetector)
    record = run.history[kept.cycle]
    trained_on = {
        "data": run.data.sources,
        "pictures": len(run.data.scenes.real),
        "way": run.way,
        "seed": run.seed,
        "cycles": kept.cycle,
        "added": record["added"],
        run.task.measure: record[run.task.measure]["mean"],
    }
    model = Model(
        run.config.target.network,
        dict(detector.options),
        run.data.scenes.classes,
        run.config.size,
        kept.frozen_norms,
        trained_on,
        kept.weights,
    )
    if run.accelerator.is_main_process:
        path = model_path(run.config, name, run.seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        model_file.write(path, model)


def best(
    config: Config,
    histories: Mapping[str, Mapping[int, History]],
    measure: Measure = "ap",
) -> str | None:
    """A line on the detector to take: of the best way's runs, by the mean of the seeds, the best.

    Each run counts as it was after its best cycle.

    Args:
        config: The experiment's config.
        histories: Each run's records, by its name and seed.
        measure: The name of T's figures in these.

    Returns:
        The line; None if there is no figure, or nothing to choose from.
    """
    ap: dict[str, dict[int, float]] = {}
    cycles: dict[str, dict[int, int]] = {}
    for name, runs in histories.items():
        for seed, history in runs.items():
            run = best_run(history, measure, name)
            if run["score"] is None:
                return None
            ap.setdefault(name, {})[seed] = run["score"]
            cycles.setdefault(name, {})[seed] = run["cycle"]
    if len(ap) < 2 or "baseline" not in ap:
        return None
    mean = {name: statistics.mean(runs.values()) for name, runs in ap.items()}
    # Of equals, the one that needs no composites.
    name = max(mean, key=lambda name: (mean[name], name == "baseline"))
    seed = max(ap[name], key=lambda seed: ap[name][seed])
    cycle = cycles[name][seed]
    what = "".join(f" ({told})" for told in over(histories[name], measure))
    which = f"{name}, seed {seed}, {f'cycle {cycle}' if cycle else 'the start'}"
    figure = f"{MEASURES[measure]} {ap[name][seed]:.1f}{what}"
    line = f"best: {model_path(config, name, seed)} ({which}), {figure}"
    if name == "baseline":
        return f"{line}: composites did not help"
    gain = f"{line}, {mean[name] - mean['baseline']:+.1f} over real pictures alone"
    return f"{gain}, mean of {len(config.seeds)} seeds" if len(config.seeds) > 1 else gain
