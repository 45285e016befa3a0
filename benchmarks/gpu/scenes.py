"""Scenes in a GPU's memory, in more copies than its second-level cache can hold."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from benchmarks.scenes import Scene, Shape, make_scene

# The most important first, in COVERAGES too: a run may be interrupted.
SHAPES: tuple[Shape, ...] = (
    (64, 3, 300, 300),
    (16, 3, 1080, 1920),
    (16, 3, 300, 300),
    (1024, 1, 40, 40),
)
EVERYWHERE = 1.0
COVERAGES = (EVERYWHERE, 0.1, 0.5)
COLD_BYTES = 256 * 2**20  # several times the largest cache, such as an H100's 50 MiB


def _everywhere(scene: Scene) -> Scene:
    """The same images with a full mask, turned by 5 degrees and larger than the canvas."""
    n, _, height, width = scene.background.shape
    cos, sin = 0.8 * math.cos(math.radians(5)), 0.8 * math.sin(math.radians(5))
    turn = torch.tensor([[cos, -sin * height / width, 0.0], [sin * width / height, cos, 0.0]])
    # On a long canvas the turned frame's corners would show: enlarge it until they do not.
    turn = turn / max(1.0, turn[:, :2].abs().sum(1).max().item())
    mask = torch.ones(n, 1, height, width, dtype=scene.mask.dtype)
    theta = turn.repeat(n, 1, 1)
    return Scene(scene.foreground, mask, scene.background, theta, scene.upstream, EVERYWHERE)


def bytes_of(scene: Scene) -> int:
    """Count the bytes that a pass reads and writes."""
    return sum(t.nbytes for t in (scene.foreground, scene.mask, scene.background, scene.upstream))


def make_scenes(shape: Shape, coverage: float, device: str = "cuda") -> list[Scene]:
    """Make copies of a float32 scene, to be used in turn so that each is out of the cache."""
    if coverage == EVERYWHERE:
        scene = _everywhere(make_scene(shape, "float32", 0.5))
    else:
        scene = make_scene(shape, "float32", coverage)
    copies = max(2, math.ceil(COLD_BYTES / bytes_of(scene)))

    def there(tensor: Tensor) -> Tensor:
        return tensor.to(device, copy=True)

    return [
        Scene(
            there(scene.foreground),
            there(scene.mask),
            there(scene.background),
            there(scene.theta),
            there(scene.upstream),
            scene.coverage,
        )
        for _ in range(copies)
    ]
