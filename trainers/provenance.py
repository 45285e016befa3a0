"""The software and the machine that results were made with."""

import os
import platform
from importlib.metadata import version
from typing import Any

import torch

import compositor

PACKAGES = ("torch", "torchvision", "accelerate", "pycocotools", "numpy")


def provenance() -> dict[str, Any]:
    """Versions, machine and build of this run, for its results.json."""
    return {
        "versions": {
            "python": platform.python_version(),
            "compositor": compositor.__version__,
            **{name: version(name) for name in PACKAGES},
        },
        "machine": {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "compositor": compositor.build_info(),
    }
