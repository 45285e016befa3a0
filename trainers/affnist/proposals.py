"""Renewal with replacements that are not only random: by the paper's S, or a law fitted to T."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot

from trainers.affnist.config import Config
from trainers.affnist.placement import Digits, uniform
from trainers.affnist.renewal import Renewal
from trainers.affnist.sampling import CLASSES, Synthesis, Tally
from trainers.cache import HardExampleCache

CANDIDATES = 8
"""Random placements of which the fitted law chooses one."""
FITTING_STEPS = 20
"""Steps that the fitted law takes on each block of T's answers."""
LEAST = 64
"""Fewest digits that S places at a time: it normalises by the batch's statistics."""


class ProposedRenewal(Renewal):
    """What T knows is replaced, and a share of the replacements is placed by a proposal.

    The others are placed at random, so that no part of the law is lost.
    """

    def __init__(self, accelerator: Accelerator, config: Config, digits: Digits, seed: int) -> None:
        super().__init__(accelerator, config, digits, seed, "known")

    def _place(self, digits: Digits) -> Tensor:
        anywhere = super()._place(digits)
        proposed = self._propose(digits)
        chance = torch.rand(len(digits), generator=self._generator) < self.config.renewal.uniform
        return torch.where(chance[:, None], anywhere, proposed)

    @abstractmethod
    def _propose(self, digits: Digits) -> Tensor:
        """Proposed positions (n, 6), on the CPU."""


class SynthesizedRenewal(ProposedRenewal):
    """Replacements are placed by the paper's S, which trains through T before each cycle.

    Args:
        synthesis: Trains S.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        config: Config,
        digits: Digits,
        seed: int,
        synthesis: Synthesis,
    ) -> None:
        super().__init__(accelerator, config, digits, seed)
        self._synthesis = synthesis

    def fill(self, cache: HardExampleCache, target: nn.Module) -> Tally:
        cost = Tally()
        for _ in range(self.config.renewal.steps):
            mine, hard, *_ = self._synthesis.step(target)
            for part, count in gather_object([(mine, len(hard))]):
                cost += part
                cost.accepted += count
        tally = super().fill(cache, target)
        tally.accepted = 0  # none of its own was judged
        tally += cost
        return tally

    @torch.no_grad()
    def _propose(self, digits: Digits) -> Tensor:
        count = len(digits)
        repeated = digits[torch.arange(max(count, LEAST), device=digits.labels.device) % count]
        foreground = repeated.foregrounds()
        noise = int(torch.randint(2**62, (), generator=self._generator))
        network = self._synthesis.synthesizer.network
        device = foreground.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(noise)  # the same dropout on every process
            position: Tensor = network.train()(foreground, torch.zeros_like(foreground))
        return position[:count].cpu()


class FittedRenewal(ProposedRenewal):
    """Replacements are placed by a law fitted to T's answers in its own updates.

    A small network learns from class and position how likely T is to fail; of a few random
    placements one is chosen with that probability, in proportion.
    """

    def __init__(self, accelerator: Accelerator, config: Config, digits: Digits, seed: int) -> None:
        super().__init__(accelerator, config, digits, seed)
        with torch.random.fork_rng([]):  # the run's other draws stay as they are
            torch.manual_seed(seed)
            self._law = nn.Sequential(
                nn.Linear(CLASSES + 6, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(),
                nn.Linear(64, 1), nn.Flatten(0),
            )  # fmt: skip
        self.parts["law"] = self._law
        self._losses: list[tuple[float, float]] = []

    def fill(self, cache: HardExampleCache, target: nn.Module) -> Tally:
        self._optimizer = torch.optim.Adam(self._law.parameters(), 3e-3)
        self._losses.clear()
        return super().fill(cache, target)

    def record(self, cache: HardExampleCache) -> dict[str, Any]:
        """Beside :meth:`Renewal.record`: how well the law foretold T's answers.

        ``law_loss`` is its mean cross-entropy in nats on a block's answers before it learnt from
        them, ``base_loss`` that of their mean.
        """
        law, base = torch.tensor(self._losses).mean(0).tolist() if self._losses else (0.0, 0.0)
        return super().record(cache) | {"law_loss": law, "base_loss": base}

    @torch.no_grad()
    def _propose(self, digits: Digits) -> Tensor:
        count = len(digits)
        candidates = uniform(count * CANDIDATES, self._generator)
        labels = digits.labels.cpu().repeat_interleave(CANDIDATES)
        hard = self._law(_features(labels, candidates)).sigmoid().view(count, CANDIDATES)
        chosen = torch.multinomial(hard, 1, generator=self._generator)[:, 0]
        return candidates.view(count, CANDIDATES, 6)[torch.arange(count), chosen]

    def _answered(self, cache: HardExampleCache, margins: Mapping[int, float]) -> None:
        index = torch.tensor(list(margins))
        (limit,) = self.config.renewal.margins
        hard = (torch.tensor(list(margins.values())) > limit).float()
        features = _features(cache["labels"][index], cache["position"][index])
        for step in range(FITTING_STEPS):
            loss = binary_cross_entropy_with_logits(self._law(features), hard)
            if not step:
                share = hard.mean()
                base = torch.distributions.Bernoulli(share).entropy()
                self._losses.append((float(loss.detach()), float(base)))
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()


def _features(labels: Tensor, position: Tensor) -> Tensor:
    """What the law knows of placed digits: (n, 16) from labels (n,) and positions (n, 6)."""
    return torch.cat((one_hot(labels, CLASSES).float(), position), 1)
