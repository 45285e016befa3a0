"""T as a segmentation network, in the game that the detectors play."""

from trainers.segmentation.trained import TrainedSegmenter, load

__all__ = ["TrainedSegmenter", "load"]
