"""Ways of adding images: random affine placements, only the hard ones of these, the synthesizer."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

import compositor
from compositor.selection.search import Counts, enough, until_hard
from trainers.affnist.config import Config
from trainers.affnist.dataset import composite, to_bytes
from trainers.affnist.placement import SIZE, Digits, place, uniform
from trainers.affnist.reference import Reference
from trainers.affnist.tasks import TASKS
from trainers.cache import HardExampleCache
from trainers.checkpoint import Stateful
from trainers.player import Player

CLASSES = 10
BATCH = 500
"""Most digits to place at a time without a synthesizer."""


@dataclass
class Tally(Counts):
    """Cost and yield of filling a cycle's quotas, over all processes.

    Attributes:
        made: How many composites were rendered.
        passes: Forward passes of T, one per image.
        backward: Backward passes through T, one per image.
        synthesizer: Passes of S, each of them forward and backward.
        reference: Forward passes of the reference, one per image.
        accepted: How many placements the way accepted.
        taken: How many of these the quotas had room for.
        shortfall: How many images the quotas still lacked at the end.
    """

    made: int = 0
    passes: int = 0
    backward: int = 0
    synthesizer: int = 0
    reference: int = 0
    accepted: int = 0
    taken: int = 0
    shortfall: int = 0


def fields(digits: Digits, position: Tensor, images: Tensor) -> dict[str, Tensor]:
    """What a cache holds of digits at positions (n, 6) and their composites (n, 1, 40, 40)."""
    theta = place(position, digits.outline)
    return {
        "labels": digits.labels,
        "images": to_bytes(images),
        "position": position,
        "visible": compositor.visible_fraction(digits.foregrounds(), theta, (SIZE, SIZE)),
    }


class Way(ABC):
    """Fills the quotas of a cache with placed digits.

    Every process draws its own digits and placements from its global generator. What they find is
    gathered, so that all hold the same cache.

    Attributes:
        cycle: The cycle to fill the quotas of.
        parts: What a checkpoint has to hold of it, by name.
        task: What T learns.
        limit: Above this hardness an image is hard.
        reference: Says which hard images can be learnt, so that only they count as hard; None: all
            do.
    """

    cycle = 0
    reference: Reference | None = None

    def __init__(self, accelerator: Accelerator, config: Config, digits: Digits) -> None:
        self.parts: dict[str, Stateful] = {}
        self.accelerator = accelerator
        self.config, self.task = config, TASKS[config.task]
        self.limit = config.margin if config.task == "class" else config.hard_error
        self.digits = digits.to(accelerator.device)

    @abstractmethod
    def fill(self, cache: HardExampleCache, target: nn.Module) -> Tally:
        """Add composites until no class has room or the search gives up.

        Args:
            cache: The cache, opened for this cycle.
            target: T, frozen.
        """

    def after_update(
        self, cache: HardExampleCache, index: Tensor, logits: Tensor, labels: Tensor
    ) -> None:
        """Act on what T made of a batch; by default not at all.

        Args:
            cache: The cache.
            index: (n,) int64: the place in the cache of each image, negative for MNIST's own.
            logits: (n, 10), T's as it trained on them.
            labels: (n,) int64.
        """
        return

    def record(self, cache: HardExampleCache) -> dict[str, Any]:
        """What is to be known of this way alone after a cycle."""
        return {}

    def _hard(
        self, images: Tensor, told: Tensor, truth: Tensor, limit: float, cost: Tally
    ) -> Tensor:
        """Which images (n, 1, 40, 40) are hard for T by what it told of them; counts the
        reference's passes as a cost."""
        hard = self.task.hardness(told, truth) > limit
        if self.reference is not None and hard.any():
            cost.reference += int(hard.sum())
            hard[hard.clone()] = self.reference.learnable(images[hard], told[hard], truth[hard])
        return hard

    def _draw(self, count: int, room: Tensor | None = None) -> Digits:
        """Draw digits, of classes with room only if ``room`` is given."""
        labels = self.digits.labels
        if room is None:
            index = torch.randint(len(labels), (count,))
        else:
            choice = room.to(labels.device)[labels].nonzero()[:, 0].cpu()
            index = choice[torch.randint(len(choice), (count,))]
        return self.digits[index.to(labels.device)]

    def _add(
        self,
        cache: HardExampleCache,
        tally: Tally,
        cost: Tally,
        digits: Digits,
        position: Tensor,
        images: Tensor,
    ) -> None:
        """Add the composites accepted on all processes to the cache, and count them."""
        found = fields(digits, position, images)
        mine = (cost, {name: values.detach().cpu() for name, values in found.items()})
        for part_cost, part in gather_object([mine]):
            tally += part_cost
            tally.accepted += len(part["labels"])
            tally.taken += int(cache.add(**part).sum())
        tally.shortfall = int(cache.room.sum())


class Nothing(Way):
    """No images: T keeps learning from MNIST alone."""

    def fill(self, cache: HardExampleCache, target: nn.Module) -> Tally:
        return Tally()


class RandomAffine(Way):
    """affNIST's random law: any placement, or only hard ones.

    Args:
        tries: None: every placement is taken, without a pass of T. Otherwise how many placements
            of a digit to try until one is hard, before another digit is drawn: 1 filters digits
            and placements jointly, more filter the placements of each digit.
    """

    def __init__(
        self, accelerator: Accelerator, config: Config, digits: Digits, tries: int | None
    ) -> None:
        super().__init__(accelerator, config, digits)
        self.tries = tries

    def fill(self, cache: HardExampleCache, target: nn.Module) -> Tally:
        tally, processes = Tally(), self.accelerator.num_processes
        while (room := cache.room).any() and tally.passes < self.config.max_passes:
            tried = tally.passes / (self.tries or 1)
            count = enough(int(room.sum()), tried, tally.accepted, BATCH * processes)
            digits = self._draw(math.ceil(count / processes), room)
            self._add(cache, tally, *self._search(digits, target))
        return tally

    @torch.no_grad()
    def _search(self, digits: Digits, target: nn.Module) -> tuple[Tally, Digits, Tensor, Tensor]:
        """Return the cost, the accepted digits, their positions and composites."""
        cost = Tally()

        def anywhere(digits: Digits) -> tuple[tuple[Digits, Tensor, Tensor], Tensor]:
            position = uniform(len(digits)).to(self.accelerator.device)
            images = composite(digits, place(position, digits.outline))
            cost.made += len(digits)
            hard = torch.ones_like(digits.labels, dtype=torch.bool)
            if self.tries is not None:
                cost.passes += len(digits)
                truth = self.task.truth(digits.labels, images)
                hard = self._hard(images, target(images), truth, self.limit, cost)
            return (digits[hard], position[hard], images[hard]), hard

        found = until_hard(digits, anywhere, self.tries or 1)
        parts, positions, images = zip(*found, strict=True)
        return cost, Digits.cat(parts), torch.cat(positions), torch.cat(images)


class Synthesis(Way):
    """The paper's way: every hard example seen while S trains is offered to the cache."""

    def __init__(
        self,
        accelerator: Accelerator,
        config: Config,
        digits: Digits,
        synthesizer: Player,
        update: Callable[[Player, Tensor, str], float],
        log: Callable[[Mapping[str, float]], None],
    ) -> None:
        super().__init__(accelerator, config, digits)
        self.synthesizer, self.update, self.log = synthesizer, update, log

    def fill(self, cache: HardExampleCache, target: nn.Module) -> Tally:
        tally = Tally()
        for _ in range(self.config.synthesizer.max_steps):
            if not cache.room.any():
                break
            self._add(cache, tally, *self.step(target))
        return tally

    def step(self, target: nn.Module) -> tuple[Tally, Digits, Tensor, Tensor]:
        """Train S once; return the cost, and the digits, positions and composites that are hard."""
        batch = self.config.synthesizer.batch // self.accelerator.num_processes
        # All classes, even if only some have room: S would forget the others.
        digits = self._draw(batch)
        foreground = digits.foregrounds()
        position = self.synthesizer.model(foreground, torch.zeros_like(foreground))
        theta = place(position, digits.outline)
        images = composite(digits, theta)
        told = target(images)
        truth = self.task.truth(digits.labels, images, (theta, digits.outline))
        self.update(self.synthesizer, -self.task.loss(told, truth), "synthesizer")
        cost = Tally(made=batch, passes=batch, backward=batch, synthesizer=batch)
        answers = images.detach(), told.detach(), truth.detach()
        hard = self._hard(*answers, self.limit, cost)
        self.log(
            {
                "synthesizer/hard_rate": float(hard.float().mean()),
                "synthesizer/spread": float(relative_spread(position).mean()),
            }
        )
        return cost, digits[hard], position[hard], images[hard]


def relative_spread(position: Tensor) -> Tensor:
    """Standard deviation (6,) of each position parameter, relative to the uniform law's.

    1 is as varied as random affine; 0 is a collapse to one placement.
    """
    return position.detach().std(0, correction=0) * 3**0.5


def density(position: Tensor, bins: int = 8) -> dict[str, list[list[float]]]:
    """How densely positions (n, 6) lie by place and by scale, where the uniform law has 1.

    Returns:
        ``place`` and ``scale``: ``bins`` rows along y of ``bins`` values along x.
    """
    pairs = {"place": position[:, [5, 4]], "scale": position[:, [3, 2]]}
    return {
        name: (torch.histogramdd(pair, bins, (-1.0, 1.0) * 2).hist * bins**2 / len(pair)).tolist()
        for name, pair in ((name, values.double().cpu()) for name, values in pairs.items())
    }


def diversity(images: Tensor, labels: Tensor) -> float:
    """Mean RMS difference between consecutive (uint8) images of one class.

    In [0, 1]; 0 if all images of a class are the same, or no class has two.
    """
    order = labels.argsort(stable=True)
    images, labels = images[order].float().flatten(1) / 255, labels[order]
    difference = (images[1:] - images[:-1]).square().mean(1).sqrt()
    pairs = difference[labels[1:] == labels[:-1]]
    return float(pairs.mean()) if len(pairs) else 0.0
