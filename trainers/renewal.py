"""Renewal: the added examples that T already gets right make way for new ones while it trains.

T's answers in its own updates tell which these are, so that no pass is spent on asking.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

Choice = Literal["known", "all", "random"]
"""Which of the visited examples are renewed. known: those that T gets right; the controls: all of
them, or the same number, chosen at random."""
CHOICES: dict[str, Choice] = {
    "renewed": "known",
    "renewed_all": "all",
    "renewed_at_random": "random",
}
"""The choice of each way of adding composites that renews them."""


def choose(
    last: Mapping[int, float], limit: float, choice: Choice, generator: torch.Generator
) -> list[int]:
    """Choose which of the visited examples to renew, in ascending order.

    Args:
        last: The last score of each, by its number.
        limit: T knows an example whose score is at most this.
        choice: What decides.
        generator: Draws the random ones.
    """
    visited = sorted(last)
    known = [number for number in visited if last[number] <= limit]
    if choice == "random":
        order = torch.randperm(len(visited), generator=generator)
        return sorted(visited[place] for place in order[: len(known)].tolist())
    return visited if choice == "all" else known


class Turnover:
    """Says after each block of updates which of the visited examples to renew, and counts them.

    It goes by what T made of each example when it was last shown it, and says the same on every
    process.

    Attributes:
        last: The last score of each example visited in the block that ended with the last update,
            by its number; empty if none did.

    Args:
        accelerator: Its processes share each batch, in equal parts.
        block: How many updates of T are a block.
        choice: What decides.
        limit: T knows an example whose score is at most this, given all the block's last scores.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        block: int,
        choice: Choice,
        limit: Callable[[Sequence[float]], float],
    ) -> None:
        self._accelerator, self._block = accelerator, block
        self._choice, self._limit = choice, limit
        self.last: dict[int, float] = {}
        self._parts: list[tuple[Tensor, Tensor]] = []

    def begin(self, seed: int, cycle: int) -> torch.Generator:
        """Begin a cycle; return the generator of its random choices, the replacements' too."""
        (start,) = np.random.SeedSequence((seed, cycle)).generate_state(1)
        self._generator = torch.Generator().manual_seed(int(start))
        self._parts.clear()
        self._visited = self._renewed = 0
        return self._generator

    def after_update(self, index: Tensor, score: Tensor) -> list[int]:
        """What to renew now, if anything.

        Args:
            index: (n,) int64: the number of each example in this process's part of the batch,
                negative where it cannot be renewed.
            score: (n,): what T made of each, on any scale where less is better known.
        """
        self._parts.append((index, score))
        self.last = self._gathered() if len(self._parts) == self._block else {}
        if not self.last:
            return []
        limit = self._limit(list(self.last.values()))
        chosen = choose(self.last, limit, self._choice, self._generator)
        self._visited += len(self.last)
        self._renewed += len(chosen)
        return chosen

    def record(self) -> dict[str, Any]:
        """How many examples were visited and renewed, and the share that stayed."""
        return {
            "visited": self._visited,
            "renewed": self._renewed,
            "stayed": 1 - self._renewed / max(self._visited, 1),
        }

    def _gathered(self) -> dict[int, float]:
        """The last score of each example visited in the block, on any process."""
        # From (processes x updates, n) to the order of the visits, so that the last one counts.
        numbers, scores = (
            self._accelerator.gather(torch.stack(column))
            .unflatten(0, (-1, self._block))
            .transpose(0, 1)
            .flatten()
            .tolist()
            for column in zip(*self._parts, strict=True)
        )
        self._parts.clear()
        visits = zip(numbers, scores, strict=True)
        return {number: score for number, score in visits if number >= 0}
