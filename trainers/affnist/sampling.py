"""The ways to add data: random affine, the same kept only where hard, and the synthesizer."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import compositor
from trainers.affnist.config import Config
from trainers.affnist.dataset import composite, to_bytes
from trainers.affnist.placement import SIZE, Digits, place, uniform
from trainers.cache import HardExampleCache
from trainers.loop import Player

CLASSES = 10
BATCH = 500
"""Digits at a time, at most, where there is no synthesizer."""


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """p - p* (N,): the probability of the best wrong class less that of the true one."""
    p = logits.float().softmax(1)
    true = p.gather(1, labels[:, None])
    return (p.scatter(1, labels[:, None], -1).amax(1, keepdim=True) - true)[:, 0]


@dataclass
class Tally:
    """What filling the quotas of a cycle cost and gave, over all processes.

    Attributes:
        passes: Images that went forward through T.
        accepted: How many placements the way accepted.
        taken: How many of them the quotas had room for.
        shortfall: How many more the quotas wanted.
    """

    passes: int = 0
    accepted: int = 0
    taken: int = 0
    shortfall: int = 0


class Way(ABC):
    """Fills the quotas of a cache with placed digits.

    Every process draws its own digits and places, from the global generator; what they find is
    gathered, so that all processes hold the same cache.
    """

    def __init__(self, accelerator: Accelerator, config: Config, digits: Digits) -> None:
        self.accelerator = accelerator
        self.config = config
        self.digits = digits.to(accelerator.device)

    @abstractmethod
    def fill(self, cache: HardExampleCache, target: nn.Module) -> Tally:
        """Add composites until no class has room, or the search is given up.

        Args:
            cache: Opened for this cycle.
            target: T, frozen.
        """

    def _draw(self, count: int, room: Tensor | None = None) -> Digits:
        """Draw digits, only of classes with room where it is given."""
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
        passes: int,
        digits: Digits,
        position: Tensor,
        images: Tensor,
    ) -> None:
        """Add the composites that any process accepted, each giving its own, and count."""
        theta = place(position, digits.outline)
        found = {
            "labels": digits.labels,
            "images": to_bytes(images),
            "position": position,
            "visible": compositor.visible_fraction(digits.foregrounds(), theta, (SIZE, SIZE)),
        }
        everything = gather_object([(passes, {k: v.detach().cpu() for k, v in found.items()})])
        for passes, fields in everything:
            tally.passes += passes
            tally.accepted += len(fields["labels"])
            tally.taken += int(cache.add(**fields).sum())
        tally.shortfall = int(cache.room.sum())


class RandomAffine(Way):
    """affNIST's random law: any placement, or only hard ones.

    Args:
        tries: None: every placement is taken and T is not asked. Else how many placements of a
            digit are tried until one is hard, before another digit is drawn: 1 filters digit and
            place together, more filter the places of each digit.
    """

    def __init__(
        self, accelerator: Accelerator, config: Config, digits: Digits, tries: int | None
    ) -> None:
        super().__init__(accelerator, config, digits)
        self.tries = tries

    def fill(self, cache: HardExampleCache, target: nn.Module) -> Tally:
        tally = Tally()
        while (room := cache.room).any() and tally.passes < self.config.max_passes:
            digits = self._draw(self._batch(int(room.sum()), tally), room)
            self._add(cache, tally, *self._search(digits, target))
        return tally

    def _batch(self, missing: int, tally: Tally) -> int:
        """As many digits as should do by the rate so far: more passes would be wasted."""
        tried = tally.passes / (self.tries or 1)
        wanted = max(missing, missing * tried / max(tally.accepted, 1))
        return min(BATCH, math.ceil(wanted / self.accelerator.num_processes))

    @torch.no_grad()
    def _search(self, digits: Digits, target: nn.Module) -> tuple[int, Digits, Tensor, Tensor]:
        """Passes of T, and the digits accepted with their positions and composites."""
        if self.tries is None:
            position = self._uniform(len(digits))
            return 0, digits, position, composite(digits, place(position, digits.outline))
        passes, found = 0, []
        for _ in range(self.tries):
            position = self._uniform(len(digits))
            images = composite(digits, place(position, digits.outline))
            hard = margin(target(images), digits.labels) > self.config.margin
            passes += len(digits)
            found.append((digits[hard], position[hard], images[hard]))
            digits = digits[~hard]
            if not len(digits):
                break
        parts, positions, images_found = zip(*found, strict=True)
        return passes, Digits.cat(parts), torch.cat(positions), torch.cat(images_found)

    def _uniform(self, count: int) -> Tensor:
        return uniform(count).to(self.accelerator.device)


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
        batch = self.config.synthesizer.batch // self.accelerator.num_processes
        for _ in range(self.config.synthesizer.max_steps):
            if not cache.room.any():
                break
            # Digits of all classes even when only some have room, or S would forget the others.
            digits = self._draw(batch)
            foreground = digits.foregrounds()
            position = self.synthesizer.model(foreground, torch.zeros_like(foreground))
            images = composite(digits, place(position, digits.outline))
            logits = target(images)
            self.update(self.synthesizer, -cross_entropy(logits, digits.labels), "synthesizer")
            hard = margin(logits.detach(), digits.labels) > self.config.margin
            self.log(
                {
                    "synthesizer/hard_rate": float(hard.float().mean()),
                    "synthesizer/spread": float(relative_spread(position).mean()),
                }
            )
            self._add(cache, tally, batch, digits[hard], position[hard], images[hard])
        return tally


def relative_spread(position: Tensor) -> Tensor:
    """Standard deviation (6,) of each parameter of theta's law over that of the uniform law.

    1 is as spread out as random affine, 0 a collapse to one placement.
    """
    return position.detach().std(0, correction=0) * 3**0.5


def diversity(images: Tensor, labels: Tensor) -> float:
    """Mean over pairs of a class's neighbours of the RMS difference of their (uint8) images.

    In [0, 1]; 0 where all images of a class are the same, or no class has two.
    """
    order = labels.argsort(stable=True)
    images, labels = images[order].float().flatten(1) / 255, labels[order]
    difference = (images[1:] - images[:-1]).square().mean(1).sqrt()
    pairs = difference[labels[1:] == labels[:-1]]
    return float(pairs.mean()) if len(pairs) else 0.0
