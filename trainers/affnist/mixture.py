"""The batches T learns from: MNIST's digits and the added images."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, Dataset

from trainers.affnist.config import TargetConfig
from trainers.affnist.placement import Digits
from trainers.cache import HardExampleCache
from trainers.draws import shuffled


class Mixture(Dataset[Tensor]):
    """MNIST's digits and, numbered after them, the added images.

    Its items are their own numbers: a data loader reads ahead, and an added image may be replaced
    before T comes to it.
    """

    def __init__(self, digits: Digits, cache: HardExampleCache) -> None:
        self.digits, self.cache = digits, cache

    def __len__(self) -> int:
        return len(self.digits) + len(self.cache)

    def __getitems__(self, index: list[int]) -> Tensor:
        return torch.tensor(index)

    def batch(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """The batch of these numbers (n,): images (n, 1, 40, 40) uint8 and labels (n,)."""
        added = chosen >= len(self.digits)
        images = self.digits.images[chosen.where(~added, 0)]
        labels = self.digits.labels[chosen.where(~added, 0)]
        if added.any():
            place = chosen[added] - len(self.digits)
            images[added] = self.cache["images"][place]
            labels[added] = self.cache["labels"][place]
        return images, labels


class MixtureSampler(BatchSampler):
    """The batches of one phase, drawn from a :class:`Mixture`; the same on every process.

    Args:
        mixture: What to draw from. Until images are added, every batch is all MNIST.
        config: Gives the batch size and the mix.
        seed: The run's seed.
    """

    def __init__(self, mixture: Mixture, config: TargetConfig, seed: int) -> None:
        self.mixture, self.config, self.seed = mixture, config, seed
        self.batch_size, self.drop_last = config.batch, True
        self.cycle = 0
        """The cycle that the batches are for; 0 is MNIST alone."""

    def __len__(self) -> int:
        return self.config.iterations if self.cycle else self.config.mnist_iterations

    def __iter__(self) -> Iterator[list[int]]:
        # The seed and the cycle determine the order, so no checkpoint has to hold it.
        generator = torch.Generator().manual_seed(1000 * self.seed + self.cycle)
        digits, added = len(self.mixture.digits), len(self.mixture.cache)
        count = len(self) * self.batch_size
        if added and self.config.mix == "half":
            parts = (
                shuffled(digits, count // 2, generator),
                digits + shuffled(added, count // 2, generator),
            )
            # Alternating, so that each process's part of a batch is half and half too.
            order = torch.stack(parts, 1).flatten()
        else:
            order = shuffled(digits + added, count, generator)
        yield from order.view(len(self), self.batch_size).tolist()
