"""A T of one's own, from a Python callable.

    --target.network mine.py:detector --target.weights mine.pth

calls, in mine.py, ::

    def detector(classes: Sequence[str], size: tuple[int, int], weights: str) -> TrainableDetector:
        network = Mine(len(classes) - 1, size)  # its loss and predict as TrainableDetector says
        if weights != "none":
            network.load_state_dict(torch.load(weights, weights_only=True))
        return network

with the classes' names by label, the background's first; (height, width) of the pictures in pixels;
and ``--target.weights`` as it stands there. To load a ``model.pt``, it is called with "none".

Any ``torch.nn.Module`` with ``loss`` and ``predict`` will do, whether it derives from
:class:`~trainers.detectors.TrainableDetector` or not. One that also has ``loss_by_object``, as
:class:`~trainers.detectors.TellingDetector` says, can have its composites renewed.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from compositor.files import DataError
from compositor.selection.adapters.factory import find
from compositor.selection.detector import DetectorError, reason
from trainers.detectors import model_file
from trainers.detectors.backbones import NONE, Heads, load, read
from trainers.detectors.base import (
    Detections,
    Target,
    TargetError,
    TellingDetector,
    TrainableDetector,
)
from trainers.detectors.hugging_face import PREFIX


def build(
    name: str,
    classes: Sequence[str],
    weights: str,
    size: tuple[int, int],
    option: str,
    heads: Heads,
) -> TrainableDetector:
    """Build ``module:function`` or ``path.py:function``; see :func:`trainers.detectors.build`.

    Raises:
        TargetError: It cannot be found or called, or returns anything but a detector to train.
    """
    if heads != "kept":
        raise TargetError(f"target.heads: got {heads!r}, wanted 'kept', as {name} makes its own")
    make = function(name)
    ours = _is_model(weights)
    try:
        found = make(classes=tuple(classes), size=size, weights=NONE if ours else weights)
    except Exception as error:  # it may be anybody's
        raise TargetError(f"target.network: {name}: {reason(error)}") from error
    got = f"target.network: {name} returned {type(found).__name__}"
    if not isinstance(found, nn.Module):
        raise TargetError(f"{got}, wanted a torch.nn.Module with methods loss and predict")
    if lacking := [method for method in ("loss", "predict") if not _has(found, method)]:
        wanted = "wanted a TrainableDetector: it has no"
        raise TargetError(f"{got}, {wanted} {' and no '.join(lacking)}")
    if ours:
        load(found, read(weights, option, name).state, option, weights)
    if isinstance(found, TrainableDetector):
        return found
    return _Telling(found) if _has(found, "loss_by_object") else _Adapted(found)


class _Adapted(TrainableDetector):
    """A network with a detector's methods that is not a :class:`TrainableDetector`.

    Args:
        network: The network.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self.loss_in_eval = getattr(network, "loss_in_eval", False)

    def loss(self, images: Sequence[Tensor], targets: Sequence[Target]) -> Tensor:
        loss: Tensor = self.network.loss(images, targets)
        return loss

    def predict(self, images: Sequence[Tensor] | Tensor) -> list[Detections]:
        found: list[Detections] = self.network.predict(images)
        return found

    def weights(self) -> tuple[dict[str, Tensor], bool]:
        return self.network.state_dict(), False


class _Telling(_Adapted, TellingDetector):
    """One that also tells the loss of each object."""

    def loss_by_object(
        self, images: Sequence[Tensor], targets: Sequence[Target]
    ) -> tuple[Tensor, list[Tensor]]:
        told: tuple[Tensor, list[Tensor]] = self.network.loss_by_object(images, targets)
        return told


def _has(found: object, method: str) -> bool:
    return callable(getattr(found, method, None))


def named(network: str) -> bool:
    """Whether ``target.network`` names a function."""
    return ":" in network and not network.startswith(PREFIX)


def function(name: str) -> Callable[..., Any]:
    """The function of that name.

    Raises:
        TargetError: It cannot be found.
    """
    try:
        return find(name)
    except DetectorError as error:
        raise TargetError(f"target.network: {error}") from error


def _is_model(weights: str) -> bool:
    try:
        model_file.read(Path(weights))
    except (DataError, OSError):
        return False
    return True
