"""T as a segmentation network, in the game that the detectors play."""
