"""Compares checkpoints."""

from pathlib import Path
from typing import Any

import torch


def state(path: Path) -> dict[str, Any]:
    """A checkpoint without the times it took."""
    content: dict[str, Any] = torch.load(path, weights_only=True)
    for record in content["header"]["history"]:
        for part in (record, record.get("spent", {})):
            for name in ("seconds", "cpu_seconds"):
                part.pop(name, None)
    return content


def same(first: Any, second: Any) -> bool:
    """Whether two checkpoints are the same, tensors by bits."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)
