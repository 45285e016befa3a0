"""State dicts: read from a file, and compared with the network that they are for."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor

from compositor.selection.detector import reason


def loaded(path: Path) -> Any:
    """What a file of ``torch.save`` holds, if that is tensors and plain values.

    Raises:
        OSError: It cannot be opened.
        ValueError: It is no such file; a line says why.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # given arbitrary bytes, it can raise anything
        raise ValueError(reason(error)) from error


def is_state(content: object) -> TypeGuard[dict[str, Tensor]]:
    """Whether what a file holds is names with their tensors."""
    return isinstance(content, dict) and all(isinstance(v, Tensor) for v in content.values())


def misfit(
    own: Mapping[str, Tensor], state: Mapping[str, Tensor], resized: AbstractSet[str] = frozenset()
) -> str:
    """What of a state dict does not fit a network, in words; empty if it fits.

    Args:
        own: The network's own.
        state: The other.
        resized: Names of tensors whose shape may differ.
    """
    other = [
        f"{name} {tuple(state[name].shape)} for {tuple(value.shape)}"
        for name, value in own.items()
        if name in state and name not in resized and state[name].shape != value.shape
    ]
    wrong = {
        "missing": [name for name in own if name not in state],
        "unknown": [name for name in state if name not in own],
        "of another shape": other,
    }
    return "; ".join(
        f"{len(names)} tensors {how}, {names[0]} first" for how, names in wrong.items() if names
    )
