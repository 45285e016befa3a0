"""Matplotlib without a display, writing figures whole or not at all."""

from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt

from compositor.files import replacing

__all__ = ["plt", "save"]

plt.switch_backend("Agg")


def save(figure: Any, path: Path) -> None:
    """Write a figure in the format of the path's suffix, and close it."""
    with replacing(path) as partial:
        figure.savefig(partial, dpi=120)
    plt.close(figure)
