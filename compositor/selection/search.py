"""Finds composites that are hard for T, counting T's forward passes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil
from typing import Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor

HARD = 0.5
"""A composite is hard if T's confidence for the pasted object is below this (supplement A.2)."""
TRIES = 16
"""Placements per foreground in a search per foreground."""


class Pairs(Protocol):
    """Foregrounds and their backgrounds, in any form the caller chooses."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Tensor) -> Self: ...


PairsType = TypeVar("PairsType", bound=Pairs)
Found = TypeVar("Found")


@dataclass(frozen=True)
class Proposals:
    """Composites, proposed or found.

    Attributes:
        composites: (N, 3, H, W).
        boxes: (N, 4), the pasted objects' boxes in pixels, right and bottom exclusive.
        labels: (N,) int64, their classes.
        theta: (N, 2, 3), their placements.
        valid: (N,) bool: False where too little of the object shows for its label to be right.
        background: (N,) int64, the background each is pasted on.
    """

    composites: Tensor
    boxes: Tensor
    labels: Tensor
    theta: Tensor
    valid: Tensor
    background: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor | slice) -> Self:
        return type(self)(**{name: value[index] for name, value in vars(self).items()})

    @classmethod
    def cat(cls, parts: "list[Proposals]") -> Self:
        """Concatenate proposals; what a subclass adds is a tensor or has a ``cat`` of its own."""
        columns = {name: [vars(part)[name] for part in parts] for name in vars(parts[0])}
        return cls(
            **{
                name: torch.cat(column) if isinstance(column[0], Tensor) else column[0].cat(column)
                for name, column in columns.items()
            }
        )


class Counts:
    """Numbers that add up: the base of every tally."""

    def __iadd__(self, other: Self) -> Self:
        for name, count in vars(other).items():
            setattr(self, name, getattr(self, name) + count)
        return self


@dataclass
class Tally(Counts):
    """Cost and yield of a search.

    Attributes:
        pairs: How many foregrounds were drawn.
        proposed: How many placements were made.
        invalid: How many of these showed too little of the object: neither scored nor taken.
        passes: Forward passes of T, one per image.
        accepted: How many composites were hard.
        taken: How many of these there was room for.
        shortfall: How many were still wanted when the search gave up.
    """

    pairs: int = 0
    proposed: int = 0
    invalid: int = 0
    passes: int = 0
    accepted: int = 0
    taken: int = 0
    shortfall: int = 0


def enough(missing: int, tried: float, accepted: int, most: int) -> int:
    """How many to draw: enough at the rate so far, as more would waste passes.

    Args:
        missing: How many are still wanted.
        tried: How many were drawn so far.
        accepted: How many of these were hard.
        most: Never more than this.
    """
    return min(most, max(missing, ceil(missing * tried / max(accepted, 1))))


def until_hard(
    items: PairsType, place: Callable[[PairsType], tuple[Found, Tensor]], tries: int
) -> Iterator[Found]:
    """Place each of some items until it is hard, or for so many times.

    Args:
        items: What to place.
        place: Places all it is given anew; returns what it keeps, and of which items (n,).
        tries: Most placements of an item.

    Yields:
        What each round kept.
    """
    for _ in range(tries):
        found, kept = place(items)
        yield found
        left = (~kept).nonzero()[:, 0]
        if not len(left):
            return
        items = items[left]


class Search(Generic[PairsType]):
    """Draws pairs, places them, and keeps the valid composites that are hard.

    Args:
        draw: Draws so many pairs.
        propose: Places each pair anew, at random or by S.
        score: Returns T's confidences (n,) for the pasted objects of valid proposals. None: every
            valid composite is kept, without a pass of T.
        tries: How many placements of a pair to try until one is hard. 1 filters pairs and
            placements jointly, so that a foreground that is hard anywhere recurs often; more
            (:data:`TRIES`) filter the placements of each foreground.
        batch: Most pairs at a time.
        hard: Composites below this confidence are kept.

    Attributes:
        tally: Counts everything this search has done.
    """

    def __init__(
        self,
        draw: Callable[[int], PairsType],
        propose: Callable[[PairsType], Proposals],
        score: Callable[[Proposals], Tensor] | None,
        *,
        tries: int = 1,
        batch: int = 16,
        hard: float = HARD,
    ) -> None:
        if tries < 1 or batch < 1:
            raise ValueError(f"tries, batch: got {tries} and {batch}, wanted 1 or more of each")
        self.draw, self.propose, self.score = draw, propose, score
        self.tries, self.batch, self.hard = tries, batch, hard
        self.tally = Tally()

    def fill(self, count: int, max_proposals: int) -> Iterator[Proposals]:
        """Find ``count`` composites, a batch at a time, or give up.

        Args:
            count: How many to find. More than that from the last batch are accepted, not taken.
            max_proposals: No batch starts after this call has made so many placements; what is
                missing then is the tally's shortfall.

        Yields:
            What each batch found: 1 to ``batch`` composites.
        """
        missing, last = count, self.tally.proposed + max_proposals
        while missing and self.tally.proposed < last:
            pairs = self.draw(enough(missing, self.tally.pairs, self.tally.accepted, self.batch))
            found = self._search(pairs)
            taken = found[:missing]
            missing -= len(taken)
            self.tally.accepted += len(found)
            self.tally.taken += len(taken)
            if len(taken):
                yield taken
        self.tally.shortfall += missing

    @torch.no_grad()
    def _search(self, pairs: PairsType) -> Proposals:
        self.tally.pairs += len(pairs)
        found = list(until_hard(pairs, self._place, self.tries))
        return found[0].cat(found)

    def _place(self, pairs: PairsType) -> tuple[Proposals, Tensor]:
        """Place pairs anew; return what is valid and hard, and of which pairs (n,)."""
        proposals = self.propose(pairs)
        kept = proposals.valid.clone()
        valid = proposals[kept]
        self.tally.proposed += len(proposals)
        self.tally.invalid += len(proposals) - len(valid)
        if self.score is not None and len(valid):
            self.tally.passes += len(valid)
            kept[kept.clone()] = (self.score(valid) < self.hard).to(kept.device)
        return proposals[kept], kept
