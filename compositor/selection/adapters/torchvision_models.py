"""torchvision's detectors, by name."""

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import detection, get_model, get_model_weights, list_models

from compositor.selection.detector import DetectorError, reason
from compositor.selection.weights import is_state, loaded, misfit


class TorchvisionDetector:
    """Any network that is called as torchvision's detectors are.

    Args:
        network: Takes a list of images (3, H, W), and in eval mode returns their detections.
        classes: The classes' names, the index of each its label: ``meta["categories"]`` of
            torchvision's weights. None: it has the data set's own labels, background 0.
    """

    def __init__(self, network: nn.Module, classes: Sequence[str] | None = None) -> None:
        self.network, self.classes = network.eval(), classes

    @torch.no_grad()
    def predict(self, images: Tensor) -> list[dict[str, Tensor]]:
        """Detect objects; see :class:`compositor.selection.detector.Detector`."""
        here = next(self.network.parameters(), images).device
        found = self.network(list(images.to(here)))
        return [{name: one[name] for name in ("boxes", "labels", "scores")} for one in found]


def load(
    name: str, weights: str | PathLike[str] | None, device: torch.device
) -> TorchvisionDetector:
    """Load a detector of torchvision; see :func:`compositor.selection.detector.load`.

    A ``state_dict`` says by its head's size how many classes there are, but not which: one of as
    many as torchvision's own has torchvision's names, any other none.

    Raises:
        DetectorError: There is no such detector, or its weights cannot be had or do not fit.
    """
    known = list_models(module=detection)
    if name not in known:
        raise DetectorError(f"torchvision: got {name!r}, wanted one of {', '.join(known)}")
    published = get_model_weights(name)
    if weights is None or (not Path(weights).exists() and str(weights) in published.__members__):
        chosen = published["DEFAULT" if weights is None else str(weights)]
        network, classes = _pretrained(name, chosen), chosen.meta["categories"]
    else:
        network, classes = _from_file(name, Path(weights), published)
    return TorchvisionDetector(network.to(device), classes)


def _pretrained(name: str, weights: Any) -> nn.Module:
    try:
        network: nn.Module = get_model(name, weights=weights)
    except Exception as error:  # whatever a network or a partial download can do
        raise DetectorError(
            f"torchvision: the weights {weights} could not be downloaded ({reason(error)});"
            " give a file as weights"
        ) from error
    return network


def _from_file(name: str, path: Path, published: Any) -> tuple[nn.Module, Sequence[str] | None]:
    """A network with the weights of a file, and its classes' names."""
    state = _state(path, published.__members__)
    with torch.device("meta"):  # for the shapes alone
        one, two = (_untrained(name, classes).state_dict() for classes in (1, 2))
    # All tensors that depend on the number of classes are proportional to it.
    head = next(key for key in one if one[key].shape != two[key].shape)
    classes = max(state[head].numel() // one[head].numel(), 1) if head in state else 1
    network = _untrained(name, classes)
    if wrong := misfit(network.state_dict(), state):
        raise DetectorError(
            f"{path}: does not fit torchvision:{name} with {classes} classes: {wrong}"
        )
    network.load_state_dict(state)
    categories: list[str] = published.DEFAULT.meta["categories"]
    return network, categories if len(categories) == classes else None


def _untrained(name: str, classes: int) -> nn.Module:
    network: nn.Module = get_model(name, weights=None, weights_backbone=None, num_classes=classes)
    return network


def _state(path: Path, names: Iterable[str]) -> Mapping[str, Tensor]:
    """A file's ``state_dict``."""
    if not path.is_file():
        raise DetectorError(
            f"weights: got {path}, wanted a file with a state_dict, or one of {', '.join(names)}"
        )
    try:
        state = loaded(path)
    except (OSError, ValueError) as error:
        raise DetectorError(f"{path}: cannot be read as a state_dict ({reason(error)})") from error
    if not is_state(state):
        raise DetectorError(
            f"{path}: got {type(state).__name__}, wanted a state_dict, names with their tensors"
        )
    return state
