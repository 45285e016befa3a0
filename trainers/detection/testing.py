"""Detects on all test pictures, split over the processes."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor, nn

from compositor.data.prepared import Photographs
from trainers.detectors.base import detect

BATCH = 16


def detect_all(
    network: nn.Module,
    photographs: Photographs,
    device: torch.device,
    process: tuple[int, int],
    bar: Callable[..., Iterable[int]],
) -> list[dict[str, Tensor]]:
    """Detect on every photograph.

    Args:
        network: T, in eval mode.
        photographs: To detect on.
        device: T's device.
        process: This process's index, and the number of processes.
        bar: Wraps an iterable in a progress bar.

    Returns:
        The detections in each photograph, on the CPU; the same on every process.
    """
    mine = range(process[0], len(photographs), process[1])
    found: list[dict[str, Tensor]] = []
    for start in bar(range(0, len(mine), BATCH), None, "testing"):
        images = torch.stack([photographs.image(i) for i in mine[start : start + BATCH]])
        detections = detect(network, images.to(device).float() / 255)
        found += [{name: value.cpu() for name, value in one.items()} for one in detections]
    everything: list[Any] = gather_object([found])
    every = len(everything)
    return [everything[i % every][i // every] for i in range(len(photographs))]
