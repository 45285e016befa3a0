"""Random draws: their seeds and orders."""

import torch
from accelerate.utils import set_seed
from torch import Tensor


def seed_all(seed: int) -> None:
    """Seed the global generators, so that each process has its own noise."""
    set_seed(seed, device_specific=True)


def shuffled(size: int, count: int, generator: torch.Generator) -> Tensor:
    """``count`` indices below ``size``: one random permutation after another."""
    rounds = max(1, -(-count // size))
    return torch.cat([torch.randperm(size, generator=generator) for _ in range(rounds)])[:count]
