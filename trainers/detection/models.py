"""Writes the detector that a run leaves."""

from pathlib import Path

from trainers.detection.config import Config
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
        "ap": last["ap"]["mean"],
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
