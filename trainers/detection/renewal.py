"""The ways of adding composites that replace them while T learns."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from trainers.cache import HardExampleCache
from trainers.detection.config import RenewalConfig
from trainers.detection.scenes import Scenes, Target
from trainers.detection.ways import Rules
from trainers.renewal import Choice, Turnover


def renewal(
    accelerator: Accelerator, config: RenewalConfig, scenes: Scenes, rules: Rules, seed: int
) -> "Renewal | None":
    """What replaces a way's scenes; None: nothing does."""
    if rules.renews is None:
        return None
    return Renewal(accelerator, config, scenes, rules.renews, seed)


class Renewal:
    """Replaces scenes by new ones of their law after every block of updates.

    Seed and cycle determine the draws, so every process makes the same scenes by itself, and no
    checkpoint has to hold anything but the cache.

    Args:
        accelerator: Its processes share each batch, in equal parts.
        config: How many updates are a block, and how many of the scenes visited in it T knows.
        scenes: What to draw from.
        choice: What decides.
        seed: The run's seed.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        config: RenewalConfig,
        scenes: Scenes,
        choice: Choice,
        seed: int,
    ) -> None:
        self.block, self._scenes, self._seed = config.block, scenes, seed

        def limit(losses: Sequence[float]) -> float:
            known = np.quantile(losses, config.share, method="inverted_cdf")
            return float(known) if config.share else -math.inf

        self._turnover = Turnover(accelerator, config.block, choice, limit)

    def begin(self, cycle: int) -> None:
        """Begin a cycle."""
        self._generator = self._turnover.begin(self._seed, cycle)

    def after_update(
        self,
        cache: HardExampleCache,
        index: Tensor,
        losses: Sequence[Tensor],
        targets: Sequence[Target],
    ) -> None:
        """Note what T made of its last batch, and renew what a block has shown it to know.

        Args:
            cache: The scenes' recipes.
            index: (n,) int64, the place in it of each picture; negative: it is a real one.
            losses: T's loss of each picture's objects (k,) but those to ignore, NaN where it has
                none. A scene's is the mean of those pasted; one without any was not visited.
            targets: Say of all objects (m,) which to ``ignore`` and which were ``pasted``.
        """
        pasted = [target["pasted"][~target["ignore"]] for target in targets]
        pairs = zip(losses, pasted, strict=True)
        mean = torch.stack([each[own].nanmean() for each, own in pairs])
        chosen = self._turnover.after_update(torch.where(mean.isnan(), -1, index), mean)
        if chosen:
            known = torch.tensor(chosen)
            new = vars(self._scenes.draw(len(known), self._generator))
            cache.replace(known, labels=cache["labels"][known], **new)

    def record(self) -> dict[str, Any]:
        """What :meth:`trainers.renewal.Turnover.record` says of the cycle."""
        return self._turnover.record()
