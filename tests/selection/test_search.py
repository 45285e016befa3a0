from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from compositor.selection.search import Proposals, Search, Tally, enough


@dataclass
class Numbers:
    """Pairs that are only their numbers."""

    values: Tensor

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Tensor) -> "Numbers":
        return Numbers(self.values[index])


class World:
    """Pairs numbered as drawn; a composite's first pixel holds its pair and its try."""

    def __init__(self, verdict: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.verdict = verdict
        self.drawn = 0
        self.tries: dict[int, int] = {}
        self.invalid: Callable[[Tensor, Tensor], Tensor] = lambda pair, _: pair < 0
        self.scored: list[tuple[int, int]] = []

    def draw(self, count: int) -> Numbers:
        self.drawn += count
        return Numbers(torch.arange(self.drawn - count, self.drawn))

    def propose(self, pairs: Numbers) -> Proposals:
        for pair in pairs.values.tolist():
            self.tries[pair] = self.tries.get(pair, 0) + 1
        attempt = torch.tensor([self.tries[pair] for pair in pairs.values.tolist()])
        composites = torch.stack((pairs.values, attempt, attempt), 1)[..., None, None].float()
        return Proposals(
            composites=composites,
            boxes=torch.zeros(len(pairs), 4),
            labels=torch.ones(len(pairs), dtype=torch.int64),
            theta=torch.zeros(len(pairs), 2, 3),
            valid=~self.invalid(pairs.values, attempt),
            background=pairs.values,
        )

    def score(self, proposals: Proposals) -> Tensor:
        assert proposals.valid.all()
        pair, attempt = proposals.composites[:, :2, 0, 0].long().unbind(1)
        self.scored += zip(pair.tolist(), attempt.tolist(), strict=True)
        return torch.where(self.verdict(pair, attempt), 0.49, 0.5)


def numbers(found: list[Proposals]) -> list[tuple[int, int]]:
    return [
        (int(composite[0]), int(composite[1]))
        for part in found
        for composite in part.composites.flatten(1)
    ]


def test_how_many_to_draw_by_hand() -> None:
    assert enough(10, 0, 0, most=500) == 10
    assert enough(10, 40, 8, most=500) == 50  # one in five was hard
    assert enough(10, 40, 8, most=32) == 32
    assert enough(10, 7.5, 2, most=500) == 38
    assert enough(10, 8, 8, most=500) == 10
    assert enough(2, 30, 0, most=500) == 60


def test_tallies_add_up() -> None:
    total = Tally(1, 2, 3, 4, 5, 6, 7)
    total += Tally(10, 20, 30, 40, 50, 60, 70)
    assert total == Tally(11, 22, 33, 44, 55, 66, 77)


def test_joint_search_takes_the_hard_and_counts() -> None:
    world = World(lambda pair, _: pair % 3 == 0)
    search = Search(world.draw, world.propose, world.score, batch=6)
    found = list(search.fill(4, max_proposals=1000))
    assert numbers(found) == [(0, 1), (3, 1), (6, 1), (9, 1)]
    # The first 4 pairs have 2 hard ones, so 4 more are drawn, and so on: no pass is wasted.
    assert len(world.scored) == search.tally.passes == search.tally.pairs
    assert search.tally.accepted == search.tally.taken == 4
    assert search.tally.proposed == search.tally.passes < 16
    assert search.tally.shortfall == search.tally.invalid == 0


def test_search_per_foreground_stops_at_its_first_hard_place() -> None:
    # Pair n is hard from its n-th try on (0 at once), so with 3 tries the pairs above 3 never are.
    world = World(lambda pair, attempt: attempt >= pair)
    search = Search(world.draw, world.propose, world.score, tries=3, batch=5)
    found = list(search.fill(4, max_proposals=13))
    assert sorted(numbers(found)) == [(0, 1), (1, 1), (2, 2), (3, 3)]
    assert world.tries == {0: 1, 1: 1, 2: 2, 3: 3}
    assert search.tally.passes == len(world.scored) == 7
    assert (search.tally.pairs, search.tally.accepted) == (4, 4)


def test_invalid_composites_are_neither_scored_nor_taken() -> None:
    world = World(lambda pair, _: pair >= 0)
    world.invalid = lambda pair, attempt: (pair % 2 == 0) & (attempt == 1)
    search = Search(world.draw, world.propose, world.score, tries=2, batch=4)
    found = list(search.fill(4, max_proposals=100))
    assert sorted(numbers(found)) == [(0, 2), (1, 1), (2, 2), (3, 1)]
    assert search.tally.invalid == 2 and search.tally.passes == 4 and search.tally.proposed == 6
    assert all(part.valid.all() for part in found)


def test_without_a_score_every_valid_composite_is_kept_and_t_is_not_asked() -> None:
    world = World(lambda pair, _: pair < 0)
    world.invalid = lambda pair, _: pair == 1
    search = Search(world.draw, world.propose, None, batch=3)
    assert numbers(list(search.fill(4, max_proposals=100))) == [(0, 1), (2, 1), (3, 1), (4, 1)]
    assert search.tally.passes == 0 and world.scored == [] and search.tally.invalid == 1


def test_a_search_that_finds_nothing_gives_up_and_says_what_is_missing() -> None:
    world = World(lambda pair, _: pair < 0)
    search = Search(world.draw, world.propose, world.score, tries=4, batch=2)
    assert list(search.fill(3, max_proposals=10)) == []
    assert search.tally.proposed == 16 and search.tally.shortfall == 3
    assert list(search.fill(1, max_proposals=8)) == [] and search.tally.proposed == 24
    assert search.tally.shortfall == 4


def test_more_than_wanted_is_accepted_but_not_taken() -> None:
    world = World(lambda pair, _: pair >= 4)
    search = Search(world.draw, world.propose, world.score, batch=4)
    found = list(search.fill(3, max_proposals=100))
    assert numbers(found) == [(4, 1), (5, 1), (6, 1)]
    assert search.tally.taken == 3 and search.tally.accepted >= 3
    assert search.tally.passes == world.drawn


def test_search_makes_no_graph() -> None:
    world = World(lambda pair, _: pair >= 0)
    weight = torch.ones(1, requires_grad=True)

    def propose(pairs: Numbers) -> Proposals:
        proposals = world.propose(pairs)
        return Proposals(**vars(proposals) | {"composites": proposals.composites * weight})

    search = Search(world.draw, propose, world.score)
    assert not next(search.fill(1, max_proposals=5)).composites.requires_grad


def test_wrong_tries_are_named() -> None:
    world = World(lambda pair, _: pair >= 0)
    with pytest.raises(ValueError, match="tries, batch: got 0 and 16"):
        Search(world.draw, world.propose, world.score, tries=0)
