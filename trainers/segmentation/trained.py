"""A trained segmentation network, to segment with."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from compositor.files import DataError
from trainers.detectors import model_file
from trainers.detectors.base import Detections, TargetError
from trainers.detectors.model_file import Model
from trainers.detectors.trained import Trained
from trainers.segmentation import networks
from trainers.segmentation.networks import Segmenter


class TrainedSegmenter(Trained):
    """A trained T that tells the class of each pixel."""

    def __init__(self, network: Segmenter, model: Model) -> None:
        super().__init__(network, model)
        self._logits = network.logits

    @torch.no_grad()
    def predict(self, images: Tensor, size: tuple[int, int] | None = None) -> list[Detections]:
        """Tell the class of each pixel.

        Args:
            images: (N, 3, H, W) in [0, 1], of any size.
            size: (H, W) of the answers; None: the images'.

        Returns:
            Of each image ``classes`` (H, W) uint8, labels, on the network's device.
        """
        wanted = size or (images.shape[-2], images.shape[-1])
        logits = self._logits(self.taken(images))
        return [{"classes": one} for one in _largest(logits, wanted)]


def _largest(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """The class with the largest logit (N, C, h, w) at each pixel of another size, (N, H, W)."""
    shape = (len(logits), *size)
    largest = logits.new_full(shape, -torch.inf)
    classes = torch.zeros(shape, dtype=torch.uint8, device=logits.device)
    # One by one: all classes of a large photograph would take gigabytes.
    for label, one in enumerate(logits.split(1, 1)):
        one = interpolate(one, size, mode="bilinear")[:, 0]
        classes[one > largest] = label
        largest = torch.maximum(largest, one)
    return classes


def load(weights: str | Path, device: str | torch.device = "cpu") -> TrainedSegmenter:
    """Load the segmentation network that a trainer left.

    Args:
        weights: The file.
        device: Where it runs.

    Raises:
        DataError: The file is no ``model.pt``, or its network is none that segments.
        OSError: It cannot be opened.
    """
    model = model_file.read(Path(weights))
    count = len(model.classes)
    try:
        network = networks.build(model.architecture, count, str(weights), "weights")
    except TargetError as error:
        raise DataError(f"{weights}: holds no segmentation network: {error}") from error
    return TrainedSegmenter(network.to(device), model)
