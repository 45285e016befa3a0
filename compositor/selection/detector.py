"""Detectors of one's own: what one is, where it is loaded from, and what it calls the classes."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pickle import UnpicklingError
from typing import Protocol

import torch
from torch import Tensor

from compositor._arguments import refused

SPECS = "torchvision:NAME, hf:FOLDER, onnx:FILE or module:factory"


class DetectorError(ValueError):
    """A detector cannot be loaded, or is not what it should be; one line says why."""


class Detector(Protocol):
    """What selection needs of a detector.

    It may also carry ``classes``, a sequence of its classes' names, the index of each its label;
    see :func:`labels_by_name`.
    """

    def predict(self, images: Tensor) -> list[dict[str, Tensor]]:
        """Detect objects.

        Args:
            images: (N, 3, H, W) float32 in [0, 1], on any device.

        Returns:
            For each image ``boxes`` (n, 4), (x1, y1, x2, y2) in its pixels; ``labels`` (n,) int64,
            the detector's own; ``scores`` (n,) in [0, 1]. On the images' device or the CPU.
        """
        ...


def load(
    spec: str,
    weights: str | PathLike[str] | None = None,
    device: str | torch.device | None = None,
) -> Detector:
    """Load a detector.

    Args:
        spec: ``torchvision:NAME``, any of torchvision's detectors; ``hf:FOLDER``, a local folder
            with a Hugging Face model for object detection and its image processor; ``onnx:FILE``,
            a model with torchvision's outputs; or ``module:factory``, a Python callable that
            returns a :class:`Detector`, importable from the current folder, the module perhaps as
            a path that ends in ``.py``. See :mod:`compositor.selection.adapters`.
        weights: torchvision's: a file with a ``state_dict``, or the name of weights of torchvision,
            which are downloaded once, as are the default ones if this is None. A factory's: passed
            on as ``weights``. The others have theirs in the folder or file.
        device: Where it runs; None is the CPU. A factory gets it as ``device`` if it takes that.

    Raises:
        DetectorError: It cannot be loaded.
        ValueError: ``spec`` has none of these forms, or ``device`` is not available.
    """
    from compositor.selection.adapters import factory, hugging_face, onnx_file, torchvision_models

    kind, separator, name = spec.partition(":")
    if not separator or not kind or not name:
        raise refused("detector", spec, SPECS)
    where = _device(device)
    if kind == "torchvision":
        return torchvision_models.load(name, weights, where)
    if kind not in ("hf", "onnx"):
        return factory.load(spec, weights, where)
    if weights is not None:
        raise DetectorError(f"weights: got {weights}, wanted none, as {spec} has its own")
    if kind == "hf":
        return hugging_face.load(name, where)
    return onnx_file.load(name, where)


def detect(detector: Detector, images: Tensor) -> list[dict[str, Tensor]]:
    """A detector's detections in each image, checked, on the images' device.

    Args:
        detector: The detector.
        images: (N, 3, H, W) float32 in [0, 1].

    Returns:
        As :meth:`Detector.predict`.

    Raises:
        DetectorError: The detector raises an error, or returns anything else, such as scores that
            are not numbers.
        TypeError: ``images`` are not float32, such as bytes, which count to 255.
        ValueError: ``images`` have another shape.
    """
    if not isinstance(images, Tensor) or images.dtype != torch.float32:
        got = str(images.dtype) if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(f"images: got {got}, wanted a float32 tensor in [0, 1]")
    if images.dim() != 4 or images.shape[1] != 3:
        raise refused("images", images, "(N, 3, height, width)")
    try:
        with torch.no_grad():
            found = detector.predict(images)
    except DetectorError:
        raise
    except Exception as error:  # it may be anybody's
        raise DetectorError(f"predict: raised {type(error).__name__}: {reason(error)}") from error
    if not isinstance(found, list | tuple) or len(found) != len(images):
        got = f"{len(found)} of them" if isinstance(found, list | tuple) else type(found).__name__
        raise DetectorError(f"predict: got {got}, wanted a list of {len(images)}, one per image")
    return [
        {name: value.to(images.device) for name, value in _checked(one).items()} for one in found
    ]


def labels_by_name(detector: Detector, classes: Sequence[str]) -> list[int]:
    """The detector's label for each class of a data set, found by its name.

    Upper and lower case are alike, as are spaces and underscores. A detector without names
    (``classes`` is None or not there) is taken to have the data set's own labels.

    Args:
        detector: The detector.
        classes: The data set's classes, the index of each its label; the first is the background,
            whatever its name.

    Returns:
        As many labels; the background's is 0, which no object has.

    Raises:
        DetectorError: The detector does not know one of the classes, or has two of that name.
    """
    names = names_of(detector)
    if names is None:
        return list(range(len(classes)))
    known = [plain_name(name) for name in names]
    labels = [0]
    for name in classes[1:]:
        found = [label for label, other in enumerate(known) if other == plain_name(name)]
        if len(found) != 1:
            times = "twice or more" if found else "not"
            raise DetectorError(
                f"detector: the data set's class {name!r} is {times} among its classes,"
                f" which are {', '.join(map(repr, names))}"
            )
        labels += found
    return labels


def names_of(detector: Detector) -> Sequence[str] | None:
    """The names of a detector's classes, the index of each its label; None if it has none.

    Raises:
        DetectorError: Its ``classes`` are neither names nor None.
    """
    names = getattr(detector, "classes", None)
    if names is None:
        return None
    if (
        isinstance(names, str)
        or not isinstance(names, Sequence)
        or not all(isinstance(name, str) for name in names)
    ):
        raise DetectorError(
            f"detector: got classes of type {type(names).__name__}, wanted a sequence of names"
        )
    return names


def reason(error: Exception) -> str:
    """The first line of what an error says."""
    if isinstance(error, UnpicklingError):  # torch.load's advice is to trust the file
        return "not a file of tensors and plain values"
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def plain_name(name: str) -> str:
    """A class's name as it is compared: without case, and spaces for underscores."""
    return name.replace("_", " ").casefold()


def _device(device: str | torch.device | None) -> torch.device:
    """A device that is there."""
    try:
        found = torch.device(device or "cpu")
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, TypeError):
        raise refused("device", str(device), "one that PyTorch has here, such as cpu") from None
    return found


def _checked(found: object) -> dict[str, Tensor]:
    """One image's boxes, labels and scores."""
    wanted = "boxes (n, 4), labels (n,) of integers and scores (n,)"
    if not isinstance(found, Mapping):
        raise DetectorError(f"predict: got {type(found).__name__} for an image, wanted {wanted}")
    tensors = {}
    for name in ("boxes", "labels", "scores"):
        value = found.get(name)
        if not isinstance(value, Tensor):
            got = type(value).__name__ if name in found else "nothing"
            raise DetectorError(f"predict: got {got} as {name}, wanted a tensor")
        tensors[name] = value
    boxes, labels, scores = tensors.values()
    shapes = tuple(tuple(value.shape) for value in (boxes, labels, scores))
    count = len(scores) if scores.dim() else 0
    if shapes != ((count, 4), (count,), (count,)) or labels.is_floating_point():
        raise DetectorError(
            f"predict: got shapes {', '.join(map(str, shapes))}, labels of {labels.dtype},"
            f" wanted {wanted}"
        )
    if not bool(((scores >= 0) & (scores <= 1)).all()) or not bool(boxes.isfinite().all()):
        raise DetectorError("predict: got scores outside [0, 1] or boxes that are not finite")
    return tensors
