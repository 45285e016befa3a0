"""T, by name: detectors to train, and the trained ones in ``model.pt``."""

from trainers.detectors.base import TargetError, TellingDetector, TrainableDetector
from trainers.detectors.build import build
from trainers.detectors.trained import TrainedDetector, load

__all__ = [
    "TargetError",
    "TellingDetector",
    "TrainableDetector",
    "TrainedDetector",
    "build",
    "load",
]
