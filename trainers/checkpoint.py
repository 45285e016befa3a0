"""Checkpoints: one file a run, written whole, holding all that a run needs to go on bit for bit."""

import pickle
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from trainers.files import DataError, replacing


class OtherRunError(ValueError):
    """A checkpoint is of a run with other settings, or from other data."""


def check_identity(path: Path, made: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Compare what made a file with what this run is.

    Raises:
        OtherRunError: They differ.
    """
    for name in made.keys() | wanted.keys():
        was, now = made.get(name), wanted.get(name)
        if was != now:
            raise OtherRunError(
                f"{path}: was made with {name} {was!r}, this run has {now!r}; "
                "use the old value, restart, or write to another folder"
            )


def check_data(path: Path, made: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Compare the fingerprints of the data that made a file with those of what was read now.

    Raises:
        OtherRunError: They differ.
    """
    changes = [
        f"{name} was {made.get(name, 'not recorded')}, is {now}"
        for name, now in wanted.items()
        if made.get(name) != now
    ]
    if changes:
        raise OtherRunError(
            f"{path}: the data has changed since this was made: {'; '.join(changes)}; put the old "
            "data back, restart (--restart), or write to another folder (--output)"
        )


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
    """Read what was saved: of a checkpoint its ``header``, and what :func:`restore` puts back.

    Raises:
        DataError: The file is damaged, or none that was saved here.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError:
        raise
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise DataError(f"{path}: is damaged or no checkpoint; delete it, or restart") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: is no checkpoint; delete it, or restart")
    return content


def restore(content: dict[str, Any], accelerator: Accelerator, parts: dict[str, Stateful]) -> None:
    """Put ``parts`` and this process's random number generators back as they were saved.

    Raises:
        OtherRunError: The checkpoint holds other parts, or is of another number of processes.
    """
    if content["parts"].keys() != parts.keys():
        raise OtherRunError(f"checkpoint: holds {sorted(content['parts'])}, wanted {sorted(parts)}")
    if len(content["rng"]) != accelerator.num_processes:
        raise OtherRunError(
            f"checkpoint: written by {len(content['rng'])} processes, resumed by "
            f"{accelerator.num_processes}: the random numbers would differ"
        )
    for name, part in parts.items():
        part.load_state_dict(content["parts"][name])
    # Last, since building and loading may have drawn numbers.
    set_rng_state(content["rng"][accelerator.process_index])
