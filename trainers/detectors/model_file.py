"""``model.pt``: a trained detector in one file, which ``torch.load`` reads with weights only."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from compositor.files import DataError, replacing
from compositor.selection.weights import loaded


@dataclass(frozen=True)
class Model:
    """What a file holds, as a plain dictionary of these names.

    Attributes:
        architecture: The detector's name, as ``--target.network`` takes it.
        options: What its network is built with; for torchvision's detectors ``get_model``'s.
        classes: Names by label; index 0 is ``__background__``.
        size: (H, W) in pixels, of the pictures it learnt from.
        frozen_norms: Whether batch norms did not learn; the weights are those of ordinary ones.
        trained_on: The data, in words, by its part, and how it was trained.
        state_dict: The weights by the network's own names.
        resizing: How pictures were brought to ``size``. stretched: to it, whatever their aspect.
    """

    architecture: str
    options: dict[str, Any]
    classes: tuple[str, ...]
    size: tuple[int, int]
    frozen_norms: bool
    trained_on: dict[str, Any]
    state_dict: dict[str, Tensor]
    resizing: Literal["stretched"] = "stretched"


def write(path: Path, model: Model) -> None:
    """Write a file; it is whole or not there."""
    # An open file: given a path, torch.save would store its (temporary) name in the archive.
    with replacing(path) as partial, partial.open("wb") as file:
        torch.save(vars(model), file)


def is_model(content: object) -> bool:
    """Whether what ``torch.load`` returned is a :class:`Model`'s dictionary."""
    # Earlier files do not say how pictures were brought to the size.
    names = Model.__dataclass_fields__.keys()
    return isinstance(content, dict) and content.keys() | {"resizing"} == names


def read(path: Path) -> Model:
    """Read a file.

    Raises:
        DataError: It is no ``model.pt``.
        OSError: It cannot be opened.
    """
    try:
        content = loaded(path)
    except ValueError as error:
        raise DataError(f"{path}: cannot be read as a model.pt ({error})") from error
    if not is_model(content):
        raise DataError(f"{path}: is no model.pt, wanted one that a trainer wrote")
    return Model(**content)
