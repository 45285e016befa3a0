"""Checkpoints: one file a run, written whole, holding all that a run needs to go on bit for bit."""

import random
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from trainers.files import replacing


class Stateful(Protocol):
    """Whatever can be put into a checkpoint and back."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> Any: ...


def rng_state() -> dict[str, Any]:
    """The state of every global random number generator of this process, as plain values."""
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": _listed(np.random.get_state(legacy=False)),
        "python": random.getstate(),
    }


def _listed(state: Any) -> Any:
    """NumPy's state without arrays, which a safe torch.load refuses."""
    if isinstance(state, dict):
        return {key: _listed(value) for key, value in state.items()}
    return state.tolist() if isinstance(state, np.ndarray) else state


def set_rng_state(state: dict[str, Any]) -> None:
    """Put back what :func:`rng_state` gave."""
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
    np.random.set_state(state["numpy"])
    random.setstate(state["python"])


def save(
    path: Path, accelerator: Accelerator, parts: dict[str, Stateful], header: dict[str, Any]
) -> None:
    """Write ``parts``, the random number generators of all processes and ``header`` to ``path``.

    All processes call it; the main one writes. The old file stays until the new one is whole.
    """
    rng = gather_object([rng_state()])
    if accelerator.is_main_process:
        state = {name: part.state_dict() for name, part in parts.items()}
        # An open file, since torch.save writes a path's (temporary) name into the archive.
        with replacing(path) as partial, partial.open("wb") as file:
            torch.save({"header": header, "parts": state, "rng": rng}, file)
    accelerator.wait_for_everyone()


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint: its ``header``, and what :func:`restore` puts back."""
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return content


def restore(content: dict[str, Any], accelerator: Accelerator, parts: dict[str, Stateful]) -> None:
    """Put ``parts`` and this process's random number generators back as they were saved.

    Raises:
        ValueError: The checkpoint holds other parts, or is of another number of processes.
    """
    if content["parts"].keys() != parts.keys():
        raise ValueError(f"checkpoint: holds {sorted(content['parts'])}, wanted {sorted(parts)}")
    if len(content["rng"]) != accelerator.num_processes:
        raise ValueError(
            f"checkpoint: written by {len(content['rng'])} processes, resumed by "
            f"{accelerator.num_processes}: the random numbers would differ"
        )
    for name, part in parts.items():
        part.load_state_dict(content["parts"][name])
    # Last, since building and loading may have drawn numbers.
    set_rng_state(content["rng"][accelerator.process_index])
