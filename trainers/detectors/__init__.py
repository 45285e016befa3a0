"""T, by name: detectors to train, and the trained ones in ``model.pt``."""

from trainers.detectors.base import TargetError, TrainableDetector
from trainers.detectors.build import build
from trainers.detectors.trained import TrainedDetector, load

__all__ = ["TargetError", "TrainableDetector", "TrainedDetector", "build", "load"]
