"""A detector of one's own, from a Python callable."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from compositor.selection.detector import Detector, DetectorError, reason


def load(spec: str, weights: str | PathLike[str] | None, device: torch.device) -> Detector:
    """Call ``module:factory``; see :func:`compositor.selection.detector.load`.

    Raises:
        DetectorError: It cannot be found or called, or returns anything but a detector.
    """
    factory = find(spec)
    arguments = _arguments(spec, factory, weights, device)
    try:
        found = factory(**arguments)
    except Exception as error:
        raise DetectorError(f"{spec}: {reason(error)}") from error
    if isinstance(found, type) or not callable(getattr(found, "predict", None)):
        raise DetectorError(
            f"{spec}: returned {found if isinstance(found, type) else type(found).__name__},"
            " wanted a Detector: an object with a method predict(images)"
        )
    detector: Detector = found
    return detector


def find(spec: str) -> Callable[..., Any]:
    """The callable that ``module:factory`` names, the module perhaps by the path of its file.

    Raises:
        DetectorError: It cannot be imported, or is not callable.
    """
    module, _, name = spec.rpartition(":")
    try:
        factory = getattr(_imported(module), name, None)
    except Exception as error:  # whatever the module does when it is imported
        raise DetectorError(f"{spec}: cannot be imported ({reason(error)})") from error
    if not callable(factory):
        got = "nothing" if factory is None else type(factory).__name__
        raise DetectorError(f"{spec}: got {got} of that name in {module}, wanted a callable")
    found: Callable[..., Any] = factory
    return found


def _imported(module: str) -> ModuleType:
    """A module by name, looked for in the current folder too, or by the path of its file."""
    if not {"", str(Path.cwd())} & set(sys.path):  # as under a console script
        sys.path.insert(0, str(Path.cwd()))
    if not module.endswith(".py"):
        return importlib.import_module(module)
    path = Path(module)
    if not path.is_file():
        raise FileNotFoundError("no such file")
    source = importlib.util.spec_from_file_location(path.stem, path)
    assert source is not None and source.loader is not None  # of a name that ends in .py
    found = importlib.util.module_from_spec(source)
    sys.modules.setdefault(path.stem, found)  # where dataclasses and pickle look for it
    source.loader.exec_module(found)
    return found


def _arguments(
    spec: str, factory: Callable[..., Any], weights: object, device: torch.device
) -> dict[str, Any]:
    """Those of ``weights`` and ``device`` that a factory takes."""
    taken = inspect.signature(factory).parameters
    given = {"device": device} if "device" in taken else {}
    if weights is None:
        return given
    if "weights" not in taken:
        raise DetectorError(f"weights: got {weights}, which {spec} does not take")
    return {**given, "weights": weights}
