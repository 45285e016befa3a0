"""The ways of adding images that replace them while T trains."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from trainers.affnist import sampling
from trainers.affnist.config import Config
from trainers.affnist.dataset import composite
from trainers.affnist.placement import Digits, place, uniform
from trainers.affnist.sampling import CLASSES, Tally, fields
from trainers.affnist.tasks import margin
from trainers.cache import HardExampleCache
from trainers.renewal import Choice, Turnover


class Renewal(sampling.Way):
    """Random affine placements, of which some are replaced after every block of updates.

    A new image is of the same class, of a digit not used before in the cycle, at a random place.
    Seed and cycle determine the draws, so every process makes the same images by itself, and no
    checkpoint has to hold anything but the cache.
    """

    def __init__(
        self, accelerator: Accelerator, config: Config, digits: Digits, seed: int, choice: Choice
    ) -> None:
        super().__init__(accelerator, config, digits)
        self._seed = seed
        (limit,), (block,) = config.renewal.margins, config.renewal.blocks
        self._turnover = Turnover(accelerator, block, choice, lambda _: limit)
        self._tally = Tally()

    def fill(self, cache: HardExampleCache, target: nn.Module) -> Tally:
        self._generator = self._turnover.begin(self._seed, self.cycle)
        self._fresh = [self._shuffled(label) for label in range(CLASSES)]
        new = self._make(torch.arange(CLASSES).repeat_interleave(cache.room))
        taken = int(cache.add(**new).sum())
        self._tally = Tally(made=taken, accepted=taken, taken=taken)
        return self._tally

    def after_update(
        self, cache: HardExampleCache, index: Tensor, logits: Tensor, labels: Tensor
    ) -> None:
        chosen = self._turnover.after_update(index, self._score(cache, index, logits, labels))
        if self._turnover.last:
            self._answered(cache, self._turnover.last)
        if chosen:
            known = torch.tensor(chosen)
            cache.replace(known, **self._make(cache["labels"][known]))
            self._tally.made += len(chosen)

    def record(self, cache: HardExampleCache) -> dict[str, Any]:
        """How many images were visited and renewed, and how old those held are.

        Beside :meth:`trainers.renewal.Turnover.record`, ``born`` counts the images held by the
        cycle that made them, from cycle 1; ``age`` is their mean age in cycles.
        """
        born = cache["born"]
        return self._turnover.record() | {
            "born": born.bincount(minlength=self.cycle + 1)[1:].tolist(),
            "age": self.cycle - float(born.double().mean()),
        }

    def _score(
        self, cache: HardExampleCache, index: Tensor, logits: Tensor, labels: Tensor
    ) -> Tensor:
        """T's margin (n,) on each image of a batch, -1 where an added one is not to be kept."""
        score = margin(logits, labels)
        if self.reference is not None:
            (limit,), cost = self.config.renewal.margins, Tally()
            added = (index >= 0).nonzero()[:, 0]
            images = cache["images"][index[added].cpu()].to(index.device).float() / 255
            kept = self._hard(images, logits[added], labels[added], limit, cost)
            score[added[~kept]] = -1
            passes = torch.tensor(cost.reference, device=index.device)
            self._tally.reference += int(self.accelerator.reduce(passes, "sum"))
        return score

    def _make(self, labels: Tensor) -> dict[str, Tensor]:
        """New images of these classes (n,), in one call of the op."""
        index = torch.tensor([next(self._fresh[label]) for label in labels.tolist()])
        digits = self.digits[index.to(self.accelerator.device)]
        position = self._place(digits).to(self.accelerator.device)
        images = composite(digits, place(position, digits.outline))
        return fields(digits, position, images) | {"born": torch.full_like(labels, self.cycle)}

    def _place(self, digits: Digits) -> Tensor:
        """Positions (n, 6) for replacements, the same on every process."""
        return uniform(len(digits), self._generator)

    def _answered(self, cache: HardExampleCache, margins: Mapping[int, float]) -> None:
        """Learn from T's last answers to the images visited in a block, before any is replaced."""
        return

    def _shuffled(self, label: int) -> Iterator[int]:
        """A class's digits in random order, all of them before any comes again."""
        choice = (self.digits.labels == label).nonzero()[:, 0].cpu()
        while True:
            yield from choice[torch.randperm(len(choice), generator=self._generator)].tolist()
