"""Replacements placed by S, and by a law fitted to T's answers."""

import math
from dataclasses import replace
from typing import Any

import pytest
import tiny_affnist
import torch
from accelerate import Accelerator
from torch import Tensor

from trainers.affnist import run as affnist_run
from trainers.affnist import sampling
from trainers.affnist.config import TINY, Config, RenewalConfig
from trainers.affnist.placement import Digits
from trainers.affnist.proposals import FittedRenewal, ProposedRenewal, SynthesizedRenewal
from trainers.cache import HardExampleCache
from trainers.player import Player


def settings(uniform: float, **more: Any) -> Config:
    return replace(TINY, renewal=RenewalConfig(blocks=(1,), uniform=uniform, **more))


def filled(way: ProposedRenewal, cache: HardExampleCache) -> sampling.Tally:
    way.cycle = 1
    return way.fill(cache, torch.nn.Identity())


def several(digits: Digits, count: int) -> Digits:
    return digits[torch.arange(count) % len(digits)]


def synthesized(config: Config, digits: Digits) -> SynthesizedRenewal:
    accelerator = Accelerator(cpu=True)
    player = affnist_run._synthesizer(accelerator, config)

    def update(player: Player, loss: Tensor, name: str) -> float:
        player.differentiate(loss)
        player.optimizer.step()
        return float(loss.detach())

    synthesis = sampling.Synthesis(accelerator, config, digits, player, update, lambda _: None)
    return SynthesizedRenewal(accelerator, config, digits, 0, synthesis)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_share_at_random_keeps_affnists_law(
    digits: Digits, cache: HardExampleCache, share: float
) -> None:
    class Corner(ProposedRenewal):
        def _propose(self, digits: Digits) -> Tensor:
            return torch.full((len(digits), 6), 2.0)  # not a place of the law

    way = Corner(Accelerator(cpu=True), settings(share), digits, 0)
    filled(way, cache)
    places = way._place(several(digits, 4000))
    at_random = (places != 2).all(1)
    assert bool(((places == 2).all(1) | at_random).all())
    # Binomial: a standard deviation of at most 0.7 %.
    assert float(at_random.double().mean()) == pytest.approx(share, abs=0.035)
    if share:
        law = places[at_random]
        assert law.abs().max() <= 1
        # The mean of 1,000 numbers in [-1, 1] has a standard deviation of 0.018.
        assert float(law.mean(0).abs().max()) < 5 * 0.018 / math.sqrt(share * 4)


def test_a_fitted_law_proposes_where_t_fails_and_foretells_it(digits: Digits) -> None:
    """T fails on the lower classes turned one way, on the others turned the other way."""
    way = FittedRenewal(Accelerator(cpu=True), settings(0.0), digits, 0)
    cache = HardExampleCache(sampling.CLASSES)
    cache.open(30)  # a block of 300 answers
    before = [p.clone() for p in way._law.parameters()]
    filled(way, cache)
    many = several(digits, 2000)

    def foreseen(position: Tensor) -> float:
        right = (position[:, 0] > 0) == (many.labels < 5)
        return float(right.double().mean())

    # Before it has learnt: half of them, with a standard deviation of 1.1 %.
    assert foreseen(way._place(many)) == pytest.approx(0.5, abs=0.06)
    for _ in range(10):
        labels, turned = cache["labels"], cache["position"][:, 0]
        hard = (turned > 0) == (labels < 5)
        way._answered(cache, {i: 0.5 if h else -0.5 for i, h in enumerate(hard.tolist())})
        cache.replace(torch.arange(len(labels)), **way._make(labels))
    assert foreseen(way._place(many)) > 0.9
    record = way.record(cache)
    assert record["law_loss"] < record["base_loss"] < math.log(2) + 1e-6
    assert any(not torch.equal(a, b) for a, b in zip(before, way._law.parameters(), strict=True))


def test_what_ts_answers_are_is_the_margin_above_the_limit(
    digits: Digits, cache: HardExampleCache
) -> None:
    way = FittedRenewal(Accelerator(cpu=True), settings(0.0), digits, 0)
    filled(way, cache)
    margins = {0: 0.05, 1: 0.06, 2: -1.0, 3: 1.0}  # the limit is 0.05: right, wrong, right, wrong
    way._answered(cache, margins)
    # Before a step the law says about a half everywhere; half of these are hard.
    assert way.record(cache)["base_loss"] == pytest.approx(math.log(2))
    way._answered(cache, dict.fromkeys(range(4), -1.0))
    assert way.record(cache)["base_loss"] == pytest.approx(math.log(2) / 2)


def test_s_trains_before_the_cycle_and_its_passes_are_counted(
    digits: Digits, cache: HardExampleCache
) -> None:
    config = settings(0.5, steps=3)
    way = synthesized(config, digits)
    before = [p.clone() for p in way._synthesis.synthesizer.network.parameters()]
    target = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1600, 10))
    way.cycle = 1
    tally = way.fill(cache, target)
    spent = 3 * config.synthesizer.batch
    assert (tally.passes, tally.backward, tally.synthesizer) == (spent,) * 3
    added = 10 * tiny_affnist.PER_CLASS
    assert (tally.made, tally.taken) == (spent + added, added)
    assert 0 < tally.accepted < spent
    after = way._synthesis.synthesizer.network.parameters()
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("count", [1, 63, 500])
def test_s_proposes_the_same_on_every_process_and_disturbs_no_other_draw(
    digits: Digits, cache: HardExampleCache, count: int
) -> None:
    way = synthesized(settings(0.0, steps=0), digits)
    filled(way, cache)
    some = several(digits, count)
    places = []
    for seed in (1, 2):  # processes have their own global noise
        way._generator.manual_seed(7)
        torch.manual_seed(seed)
        places.append(way._place(some))
        following = torch.rand(3)
        torch.manual_seed(seed)
        assert torch.equal(torch.rand(3), following)
    assert torch.equal(*places)
    assert places[0].shape == (count, 6)
    assert places[0].abs().max() < 1
    assert not torch.equal(way._place(some), places[0]), "dropout's noise is drawn anew each time"


def test_density_by_hand() -> None:
    # The centres of an 8 x 8 grid are as dense as the uniform law, for place and for scale.
    centres = torch.linspace(-7, 7, 8) / 8
    y, x = (axis.flatten() for axis in torch.meshgrid(centres, centres, indexing="ij"))
    zero = torch.zeros(64)
    even = sampling.density(torch.stack((zero, zero, x, y, x, y), 1))
    assert even == {name: [[1.0] * 8] * 8 for name in ("place", "scale")}
    # Scales at the lower left end of their range, places on the right at the top.
    one = torch.tensor([[0.0, 0, -1, 1, 0.9, -0.9]]).expand(5, 6)
    density = {name: torch.tensor(rows) for name, rows in sampling.density(one).items()}
    assert density["scale"][7, 0] == density["place"][0, 7] == 64
    assert density["scale"].sum() == density["place"].sum() == 64
