"""A trained detector, to detect with."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from compositor.files import DataError
from trainers.detectors import model_file
from trainers.detectors.base import Detections, TargetError, TrainableDetector
from trainers.detectors.build import build


class Trained:
    """A trained T.

    Attributes:
        network: T, in eval mode.
        classes: Names by label; index 0 is ``__background__``.
        size: (H, W) in pixels, to which it stretches pictures.
        trained_on: What it was trained on, and how.
    """

    def __init__(self, network: TrainableDetector, model: model_file.Model) -> None:
        self.network = network.eval()
        self.classes, self.size, self.trained_on = model.classes, model.size, model.trained_on

    def taken(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) as the network takes them: on its device, of its size."""
        images = images.to(next(self.network.parameters()).device)
        if images.shape[-2:] != self.size:
            images = interpolate(images, self.size, mode="bilinear", antialias=True)
        return images


class TrainedDetector(Trained):
    """What ``compositor.selection.detector.Detector`` asks for, of a trained T."""

    @torch.no_grad()
    def predict(self, images: Tensor) -> list[Detections]:
        """Detect objects.

        Args:
            images: (N, 3, H, W) in [0, 1], of any size.

        Returns:
            Of each image ``boxes`` (n, 4) in its own pixels, ``labels`` (n,) and ``scores`` (n,),
            on the network's device.
        """
        height, width = images.shape[-2:]
        images = self.taken(images)
        found = self.network.predict(images)
        factors = images.new_tensor([width / self.size[1], height / self.size[0]] * 2)
        return [{**one, "boxes": one["boxes"] * factors} for one in found]


def load(weights: str | Path, device: str | torch.device = "cpu") -> TrainedDetector:
    """Load the detector that a trainer left.

    The generator's ``--detector trainers.detectors:load --weights model.pt`` calls this.

    Args:
        weights: The file.
        device: Where it runs.

    Raises:
        DataError: The file is no ``model.pt``, or its network is no detector or not to be had.
        OSError: It cannot be opened.
    """
    model = model_file.read(Path(weights))
    try:
        network = build(model.architecture, model.classes, str(weights), model.size, "weights")
    except TargetError as error:
        raise DataError(f"{weights}: holds no detector that can be built here: {error}") from error
    return TrainedDetector(network.to(device), model)
