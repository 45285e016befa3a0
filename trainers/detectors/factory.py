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
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from compositor.files import DataError
from compositor.selection.adapters.factory import find
from compositor.selection.detector import DetectorError, reason
from trainers.detectors import model_file
from trainers.detectors.backbones import NONE, Heads, load, read
from trainers.detectors.base import TargetError, TrainableDetector
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
    if not isinstance(found, TrainableDetector):
        got = type(found).__name__
        raise TargetError(f"target.network: {name} returned {got}, wanted a TrainableDetector")
    if ours:
        load(found, read(weights, option, name).state, option, weights)
    return found


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
