"""Writes the detector that a run leaves."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
    """Write T with its averaged weights, on the main process; ``name`` is the run's."""
    detector, last = run.average.module, run.history[-1]
    assert isinstance(detector, TrainableDetector)
    state, frozen_norms = detector.weights()
    trained_on = {
        "data": run.data.sources,
        "pictures": len(run.data.scenes.real),
        "way": run.way,
        "seed": run.seed,
        "cycles": len(run.history) - 1,
        "added": last["added"],
        run.task.measure: last[run.task.measure]["mean"],
    }
    model = Model(
        run.config.target.network,
        dict(detector.options),
        run.data.scenes.classes,
        run.config.size,
        frozen_norms,
        trained_on,
        {key: value.cpu() for key, value in state.items()},
    )
    if run.accelerator.is_main_process:
        path = model_path(run.config, name, run.seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        model_file.write(path, model)


def best(
    config: Config,
    histories: Mapping[str, Mapping[int, Sequence[Mapping[str, Any]]]],
    measure: Measure = "ap",
) -> str | None:
    """A line on the detector to take: of the best way's runs, by the mean of the seeds, the best.

    By the mean AP over the IoUs that were measured: at the least of them alone, T may have nothing
    left to gain.

    Args:
        config: The experiment's config.
        histories: Each run's records, by its name and seed.
        measure: The name of T's figures in these.

    Returns:
        The line; None if there is no figure, or nothing to choose from.
    """
    ap: dict[str, dict[int, float]] = {}
    for name, runs in histories.items():
        for seed, history in runs.items():
            figures = history[-1][measure]["mean"]
            if None in figures.values():
                return None
            ap.setdefault(name, {})[seed] = 100 * statistics.mean(figures.values())
    if len(ap) < 2 or "baseline" not in ap:
        return None
    mean = {name: statistics.mean(runs.values()) for name, runs in ap.items()}
    # Of equals, the one that needs no composites.
    name = max(mean, key=lambda name: (mean[name], name == "baseline"))
    seed = max(ap[name], key=lambda seed: ap[name][seed])
    what = "" if measure == "iou" else f" (mean of IoU {min(figures):g} to {max(figures):g})"
    score = f"{MEASURES[measure]} {ap[name][seed]:.1f}{what}"
    line = f"best: {model_path(config, name, seed)} ({name}, seed {seed}), {score}"
    if name == "baseline":
        return f"{line}: composites did not help"
    gain = f"{line}, {mean[name] - mean['baseline']:+.1f} over real pictures alone"
    return f"{gain}, mean of {len(config.seeds)} seeds" if len(config.seeds) > 1 else gain
