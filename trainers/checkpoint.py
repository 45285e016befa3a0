"""Checkpoints: one file per run, written atomically, from which the run resumes bit for bit."""

import pickle
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from compositor.files import DataError, replacing


def run_path(output: Path, name: str, seed: int) -> Path:
    """The checkpoint file of a run in an experiment's folder."""
    return output / "checkpoints" / f"seed{seed}" / f"{name}.pt"


class OtherRunError(ValueError):
    """A checkpoint belongs to a run with other settings or other data."""


def check_identity(path: Path, made: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Compare the settings that a file was made with and those of this run.

    Raises:
        OtherRunError: They differ.
    """
    for name in made.keys() | wanted.keys():
        was, now = made.get(name), wanted.get(name)
        if was != now:
            raise OtherRunError(
                f"{path}: was made with {name} {was!r}, this run has {now!r}; "
                "use the old value, restart (--restart), or write to another folder (--output)"
            )


def check_data(path: Path, made: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Compare the fingerprints of the data a file was made from with those of the data read now.

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
    """Anything whose state a checkpoint can save and restore."""

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
    """NumPy's state with lists for arrays, which ``weights_only`` loading would refuse."""
    if isinstance(state, dict):
        return {key: _listed(value) for key, value in state.items()}
    return state.tolist() if isinstance(state, np.ndarray) else state


def set_rng_state(state: dict[str, Any]) -> None:
    """Restore what :func:`rng_state` returned."""
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
    np.random.set_state(state["numpy"])
    random.setstate(state["python"])


def save(
    path: Path, accelerator: Accelerator, parts: dict[str, Stateful], header: dict[str, Any]
) -> None:
    """Write ``parts``, the random number generators of all processes and ``header`` to ``path``.

    Call it on all processes; the main one writes.
    """
    rng = gather_object([rng_state()])
    if accelerator.is_main_process:
        state = {name: part.state_dict() for name, part in parts.items()}
        write(path, {"header": header, "parts": state, "rng": rng})
    accelerator.wait_for_everyone()


def write(path: Path, content: dict[str, Any]) -> None:
    """Write what :func:`load` reads; the old file stays until the new one is complete."""
    # An open file: given a path, torch.save would store its (temporary) name in the archive.
    with replacing(path) as partial, partial.open("wb") as file:
        torch.save(content, file)


def load(path: Path) -> dict[str, Any]:
    """Read a saved file: a checkpoint's ``header``, and what :func:`restore` needs.

    Raises:
        DataError: The file is damaged or is not a checkpoint.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError:
        raise
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise DataError(f"{path}: is damaged or not a checkpoint; delete it, or restart") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: is not a checkpoint; delete it, or restart")
    return content


def restore(
    path: Path, content: dict[str, Any], accelerator: Accelerator, parts: dict[str, Stateful]
) -> None:
    """Restore ``parts`` and this process's random number generators.

    Raises:
        OtherRunError: The checkpoint holds other parts or comes from another number of processes.
    """
    if content["parts"].keys() != parts.keys():
        raise OtherRunError(
            f"{path}: holds {sorted(content['parts'])}, wanted {sorted(parts)}; restart "
            "(--restart), or write to another folder (--output)"
        )
    if len(content["rng"]) != accelerator.num_processes:
        raise OtherRunError(
            f"{path}: written by {len(content['rng'])} processes, resumed by "
            f"{accelerator.num_processes}, whose random numbers would differ; use as many as "
            "before, restart (--restart), or write to another folder (--output)"
        )
    for name, part in parts.items():
        part.load_state_dict(content["parts"][name])
    # Last, since building and loading may draw random numbers.
    set_rng_state(content["rng"][accelerator.process_index])
