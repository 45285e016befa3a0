"""The batches of a phase, each determined by the seed, the cycle and its number.

So no checkpoint has to hold their order, workers can make them in any order, and all processes of a
data-parallel run agree.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from trainers.detection.scenes import Batch, Recipes, Scenes
from trainers.draws import shuffled

Phase = Literal["synthesis", "learning", "start", "context"]
PHASES: tuple[Phase, ...] = get_args(Phase)


def generator(seed: int, phase: Phase, cycle: int, number: int) -> torch.Generator:
    """A random number generator for one batch, independent of every other batch's."""
    state = np.random.SeedSequence([seed, PHASES.index(phase), cycle, number]).generate_state(2)
    return torch.Generator().manual_seed(int(state[0]) << 32 | int(state[1]))


class Batches(Dataset[Any], ABC):
    """The batches of a phase, by their numbers."""

    @abstractmethod
    def __len__(self) -> int: ...


class Pairs(Batches):
    """S's batches: objects and backgrounds paired at random.

    Args:
        scenes: What to draw from.
        seed: The run's seed.
        cycle: The cycle's number.
        steps: The number of batches.
        batch: Pairs per batch, over all processes.
        process: This process's index, and the number of processes.
    """

    def __init__(
        self,
        scenes: Scenes,
        seed: int,
        cycle: int,
        steps: int,
        batch: int,
        process: tuple[int, int] = (0, 1),
    ) -> None:
        self.scenes, self.seed, self.cycle = scenes, seed, cycle
        self.steps, self.batch, self.process = steps, batch, process

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, number: int) -> Batch:
        random = generator(self.seed, "synthesis", self.cycle, number)
        recipes = self.scenes.draw(self.batch, random)
        return self.scenes.load(recipes[slice(self.process[0], None, self.process[1])])


class Lessons(Batches):
    """T's and D's batches: real pictures and composites, which of them (n,) to mirror, and of each
    a seed (n,) int64 for what else is varied, and its place among the composites, negative: real.

    Args:
        scenes: What to read.
        composites: Those found so far. Until there are some, every batch is all real.
        half: Whether half of each batch is real; otherwise it is drawn from all pictures combined.
        seed: The run's seed.
        cycle: The cycle's number; 0 is the start, before the first.
        iterations: The number of batches.
        batch: Pictures per batch, over all processes.
        process: This process's index, and the number of processes.
    """

    def __init__(
        self,
        scenes: Scenes,
        composites: Recipes | None,
        half: bool,
        seed: int,
        cycle: int,
        iterations: int,
        batch: int,
        process: tuple[int, int] = (0, 1),
    ) -> None:
        self.scenes, self.composites = scenes, composites
        self.seed, self.cycle, self.process = seed, cycle, process
        order = generator(seed, "start", cycle, 0)
        real, added = len(scenes.real), 0 if composites is None else len(composites)
        if added and half:
            share = batch // 2
            rows = (
                shuffled(real, iterations * (batch - share), order).view(iterations, batch - share),
                shuffled(added, iterations * share, order).view(iterations, share) + real,
            )
            self._order = torch.cat(rows, 1)
        else:
            everything = shuffled(real + added, iterations * batch, order)
            self._order = everything.view(iterations, batch)

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, number: int) -> tuple[Batch, Tensor, Tensor, Tensor]:
        random = generator(self.seed, "learning", self.cycle, number)
        real = len(self.scenes.real)
        row = self._order[number]
        row = torch.cat((row[row < real], row[row >= real]))
        # In the start phase T sees real pictures without artefacts.
        recipes = self.scenes.draw_real(row[row < real], random, plain=not self.cycle)
        if self.composites is not None:
            recipes = Recipes.cat([recipes, self.composites[row[row >= real] - real]])
        mirrored = torch.rand(len(recipes), generator=random) < 0.5
        seeds = torch.randint(2**62, (len(recipes),), generator=random)
        mine = slice(self.process[0], None, self.process[1])
        place = row[mine] - real
        return self.scenes.load(recipes[mine]), mirrored[mine], seeds[mine], place


def loaded(
    batches: Batches, workers: int, device: torch.device, block: int | None = None
) -> Iterator[Any]:
    """Load batches in order, prefetching them if there are workers.

    Args:
        batches: What to load.
        workers: How many processes load.
        device: Where the batches will be moved.
        block: If given, what the batches are made of may change after every so many: none of the
            next is loaded before.
    """
    count = len(batches)
    block = block or max(count, 1)
    for start in range(0, count, block):
        part: Subset[Any] = Subset(batches, range(start, min(start + block, count)))
        yield from DataLoader(
            part, batch_size=None, num_workers=workers, pin_memory=device.type == "cuda"
        )
