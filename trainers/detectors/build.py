"""Builds T by the name that a command line gives."""

from collections.abc import Sequence

from trainers.detectors import factory, hugging_face, nanodet, torchvision_models
from trainers.detectors.backbones import Heads
from trainers.detectors.base import TargetError, TrainableDetector


def build(
    name: str,
    classes: Sequence[str],
    weights: str,
    size: tuple[int, int],
    option: str,
    heads: Heads = "kept",
) -> TrainableDetector:
    """Build a detector.

    Args:
        name: A detector of torchvision, ``ssdlite_efficientnet_lite0``, ``nanodet`` or
            ``nanodet_efficientnet_lite0``; ``hf:FOLDER``, a detector of Hugging Face's DETR family;
            or ``module:function``, see :mod:`trainers.detectors.factory`.
        classes: Names by label, the background's first.
        weights: "default": pretrained weights; "none": random ones. Otherwise a file with a state
            dict of this detector, or a ``model.pt``; if its number of classes differs, the layers
            that depend on that start at random.
        size: (H, W) of the images it will see. SSD300 and SSDlite320 resize them to their own size.
        option: The command line's name for ``weights``, for errors.
        heads: "random": take the backbone alone from the weights.

    Raises:
        TargetError: There is no detector of this name.
        WeightsError: The weights cannot be fetched or read, or belong to another detector.
    """
    if name in nanodet.NAMES:
        return nanodet.build(name, classes, weights, size, option, heads)
    if name.startswith(hugging_face.PREFIX):
        return hugging_face.build(name, classes, weights, size, option, heads)
    if factory.named(name):
        return factory.build(name, classes, weights, size, option, heads)
    if name not in torchvision_models.NAMES:
        wanted = ", ".join(
            (*torchvision_models.NAMES, *nanodet.NAMES, "hf:FOLDER", "module:function")
        )
        raise TargetError(f"target.network: got {name!r}, wanted one of {wanted}")
    return torchvision_models.build(name, len(classes), weights, size, option, heads)
