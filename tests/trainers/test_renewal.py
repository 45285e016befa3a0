"""Added images that T gets right are replaced while it trains."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_affnist
import torch
from accelerate import Accelerator
from checkpoints import same, state
from tiny_affnist import arguments
from torch import Tensor

from trainers.affnist import __main__ as command
from trainers.affnist import dataset, renewal, sampling
from trainers.affnist.config import FIGURE7, TINY, WAYS, Config, DataConfig, RenewalConfig
from trainers.affnist.placement import Digits
from trainers.affnist.run import AffNISTRun
from trainers.cache import HardExampleCache
from trainers.loop import NonFiniteError
from trainers.renewal import Choice, Turnover, choose

CONFIG = replace(TINY, renewal=RenewalConfig(margins=(-0.1,), blocks=(2,)))


def way(digits: Digits, choice: Choice = "known", seed: int = 0, cycle: int = 1) -> Any:
    made = renewal.Renewal(Accelerator(cpu=True), CONFIG, digits, seed, choice)
    made.cycle = cycle
    return made


def logits(margins: list[float], labels: list[int]) -> Tensor:
    """T's answers with these margins: all of p on the true class and one wrong one."""
    p = torch.zeros(len(labels), 10)
    for row, (margin, label) in enumerate(zip(margins, labels, strict=True)):
        p[row, label], p[row, (label + 1) % 10] = (1 - margin) / 2, (1 + margin) / 2
    return p.log()


def turnover(accelerator: Any) -> Turnover:
    """Blocks of two updates."""
    made = Turnover(accelerator, 2, "known", lambda _: 4)
    made.begin(seed=0, cycle=1)
    return made


def test_the_last_of_several_visits_counts_and_what_cannot_be_renewed_does_not() -> None:
    block = turnover(Accelerator(cpu=True))
    assert block.after_update(torch.tensor([-7, 3, 5, 3]), torch.tensor([9.0, 1, 2, 3])) == []
    assert block.last == {}
    assert block.after_update(torch.tensor([5, -1, 0, -2]), torch.tensor([4.0, 9, 5, 9])) == [3, 5]
    assert block.last == {3: 3, 5: 4, 0: 5}
    # The next block starts from nothing, and so does what follows an unfinished one.
    assert block.after_update(torch.tensor([1]), torch.tensor([1.0])) == [] and block.last == {}
    block.begin(seed=0, cycle=2)
    assert block.after_update(torch.tensor([2]), torch.tensor([1.0])) == []
    assert block.after_update(torch.tensor([4]), torch.tensor([5.0])) == [2]
    assert block.last == {2: 1, 4: 5}
    assert block.record() == {"visited": 2, "renewed": 1, "stayed": 0.5}


def test_the_last_visit_is_that_of_the_last_update_on_whichever_process() -> None:
    class Pair:
        """Two processes: after this one's part of both updates comes the other's."""

        others = iter((torch.tensor([[2], [1]]), torch.tensor([[30.0], [40.0]])))

        def gather(self, mine: Tensor) -> Tensor:
            return torch.cat((mine, next(self.others)))

    block = turnover(Pair())
    block.after_update(torch.tensor([1]), torch.tensor([10.0]))
    block.after_update(torch.tensor([2]), torch.tensor([20.0]))
    assert block.last == {1: 40, 2: 20}


def test_which_are_renewed_by_hand() -> None:
    last = {9: 0.25, 4: 0.5, 7: -0.5, 2: 0.75, 3: 0.25}
    generator = torch.Generator().manual_seed(0)
    assert choose(last, 0.25, "known", generator) == [3, 7, 9]
    assert choose(last, -0.75, "known", generator) == []
    assert choose(last, 0.25, "all", generator) == [2, 3, 4, 7, 9]
    drawn = [choose(last, 0.25, "random", generator) for _ in range(200)]
    assert all(len(set(chosen)) == 3 and chosen == sorted(chosen) for chosen in drawn)
    counts = torch.tensor([number for chosen in drawn for number in chosen]).bincount(minlength=10)
    assert counts.nonzero()[:, 0].tolist() == [2, 3, 4, 7, 9]
    # Each is drawn in 3 of 5 cases: 120 times, with a standard deviation of 7.
    assert ((counts[counts > 0] - 120).abs() < 5 * 7).all()


def test_what_t_gets_right_is_replaced_and_all_else_stays(
    digits: Digits, cache: HardExampleCache
) -> None:
    renewed = way(digits)
    tally = renewed.fill(cache, torch.nn.Identity())
    assert (tally.made, tally.passes, tally.taken, tally.shortfall) == (30, 0, 30, 0)
    labels = cache["labels"].clone()
    assert labels.bincount().tolist() == [tiny_affnist.PER_CLASS] * 10
    before = {name: cache[name].clone() for name in ("images", "position", "visible")}
    # Margins: place 4 is first right, then wrong; 11 first wrong, then right; 20 right at the
    # limit; 29 wrong just above it; 0, never shown, stays too. Negative: MNIST's, always right.
    first, second = [4, 11, -3, 20], [11, 29, 4, -1]
    renewed.after_update(cache, torch.tensor(first), *shown([-0.9, 0.9, -1, -0.1], first, labels))
    assert torch.equal(cache["images"], before["images"])
    renewed.cycle = 2
    renewed.after_update(
        cache, torch.tensor(second), *shown([-0.2, -0.09, 0.2, -1], second, labels)
    )
    changed = (cache["images"] != before["images"]).flatten(1).any(1).nonzero()[:, 0].tolist()
    assert changed == [11, 20]
    moved = (cache["position"] != before["position"]).any(1).nonzero()[:, 0].tolist()
    assert moved == [11, 20]
    assert torch.equal(cache["labels"], labels)
    assert tally.made == 32
    assert renewed.record(cache) == {
        "visited": 4,
        "renewed": 2,
        "stayed": 0.5,
        "born": [28, 2],
        "age": pytest.approx(28 / 30),
    }


def shown(margins: list[float], places: list[int], labels: Tensor) -> tuple[Tensor, Tensor]:
    true = [int(labels[place]) if place >= 0 else 0 for place in places]
    return logits(margins, true), torch.tensor(true)


@pytest.mark.parametrize(("choice", "count"), [("known", 2), ("random", 2), ("all", 4)])
def test_the_controls_replace_as_many_or_all_that_were_shown(
    digits: Digits, cache: HardExampleCache, choice: Choice, count: int
) -> None:
    renewed = way(digits, choice)
    renewed.fill(cache, torch.nn.Identity())
    before, labels = cache["images"].clone(), cache["labels"].clone()
    places = [4, 11, 20, 29]
    for margins in ([0.9, 0.9, 0.9, 0.9], [0.9, -0.9, 0.9, -0.9]):
        renewed.after_update(cache, torch.tensor(places), *shown(margins, places, labels))
    changed = (cache["images"] != before).flatten(1).any(1).nonzero()[:, 0].tolist()
    assert len(changed) == count
    assert set(changed) <= set(places)
    assert torch.equal(cache["labels"], labels)


def test_no_digit_is_placed_twice_before_all_of_its_class_were(
    digits: Digits, cache: HardExampleCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    digits.images[:, 0, 0, 0] = torch.arange(tiny_affnist.TRAIN)  # tells them apart
    placed: list[int] = []

    def watched(digits: Digits, theta: Tensor) -> Tensor:
        placed.extend(digits.images[:, 0, 0, 0].tolist())
        return dataset.composite(digits, theta)

    monkeypatch.setattr(renewal, "composite", watched)
    renewed = way(digits, "all")
    renewed.fill(cache, torch.nn.Identity())
    everywhere = list(range(30))
    margins, labels = [0.0] * 30, cache["labels"]
    while len(placed) < 180:  # 18 of the 20 of each class
        renewed.after_update(cache, torch.tensor(everywhere), *shown(margins, everywhere, labels))
    assert len(placed) == len(set(placed)) == 180


def test_seed_and_cycle_decide_the_draws(digits: Digits) -> None:
    def images(seed: int, cycle: int) -> Tensor:
        cache = HardExampleCache(sampling.CLASSES)
        cache.open(tiny_affnist.PER_CLASS)
        way(digits, seed=seed, cycle=cycle).fill(cache, torch.nn.Identity())
        torch.rand(3)  # of no consequence
        return cache["images"]

    assert torch.equal(images(1, 1), images(1, 1))
    assert not torch.equal(images(1, 1), images(1, 2))
    assert not torch.equal(images(1, 1), images(2, 1))


@pytest.fixture
def config(tiny_mnist: Path, tmp_path: Path) -> Config:
    # T has learnt enough to be right about some images, and not about others.
    target = replace(TINY.target, mnist_iterations=300, iterations=9)
    data = DataConfig(tiny_mnist, downloads=tmp_path)
    return replace(TINY, output=tmp_path / "whole", cpu=True, target=target, data=data)


@pytest.mark.parametrize(
    "name", ["renewed", "renewed_at_random", "renewed_synthesizer", "renewed_fitted"]
)
def test_killed_in_mid_cycle_it_resumes_bit_for_bit(config: Config, name: str) -> None:
    data = dataset.prepare(config.data)
    whole = AffNISTRun(config, name, 0, data)
    history = whole.run(3)
    assert all(0 < record["renewed"] < record["visited"] for record in history[1:])

    class Killed(AffNISTRun):
        def update(self, *details: Any) -> float:
            if len(self.history) == 2 and self._way.record(self.cache)["renewed"]:
                raise NonFiniteError("killed")
            return super().update(*details)

    broken = replace(config, output=config.output.with_name("broken"))
    with pytest.raises(NonFiniteError, match="killed"):
        Killed(broken, name, 0, data).run(3)
    again = AffNISTRun(broken, name, 0, data)
    again.run(3)
    for field, values in whole.cache.state_dict()["fields"].items():
        assert torch.equal(values, again.cache[field]), field
    for values, others in zip(whole.average.parameters(), again.average.parameters(), strict=True):
        assert torch.equal(values, others)


def test_t_is_shown_what_the_cache_holds_at_that_moment(config: Config) -> None:
    run = AffNISTRun(config, "renewed_all", 0, dataset.prepare(config.data))
    model, after_update = run.target.model, run._way.after_update
    shown: list[Tensor] = []
    compared = 0

    def forward(images: Tensor) -> Tensor:
        shown.append(images)
        answer: Tensor = model(images)
        return answer

    def checked(cache: HardExampleCache, index: Tensor, *answers: Tensor) -> None:
        nonlocal compared
        added = index >= 0
        if added.any():
            assert torch.equal(shown[-1][added], cache["images"][index[added]].float() / 255)
            compared += 1
        after_update(cache, index, *answers)

    run.target.model, run._way.after_update = forward, checked
    run.run(2)
    assert compared == 18


def test_an_ablation_runs_a_way_with_each_margin_and_block(
    tiny_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = arguments(tiny_mnist, tmp_path, "--cycles", "1", "--ways", "random", "renewed")
    command.main(line)
    base = state(tmp_path / "checkpoints/seed0/renewed.pt")
    command.main([*line, "--renewal.margins", "0.05", "-1", "1", "--renewal.blocks", "2", "3"])
    names = ["renewed", "renewed,margin=-1.0", "renewed,margin=1.0", "renewed,block=3"]
    results = json.loads((tmp_path / "results.json").read_text())
    assert list(results["curve"]) == ["random", *names]
    printed = capsys.readouterr().out
    assert all(f"{name}, seed 0, cycle 1/1" in printed for name in names[1:])
    cycles = {name: results["cycles"][name]["0"][1] for name in names}
    # 6 updates: three blocks of 2, or two of 3.
    assert cycles["renewed,margin=-1.0"]["renewed"] == 0
    assert cycles["renewed,margin=1.0"]["stayed"] == 0
    assert cycles["renewed,block=3"]["visited"] < cycles["renewed,margin=1.0"]["visited"]
    # The run with the first of both is the one that was there.
    assert same(base, state(tmp_path / "checkpoints/seed0/renewed.pt"))


def test_the_controls_vary_by_what_they_depend_on() -> None:
    values = RenewalConfig(margins=(0.0, 0.5), blocks=(9, 7))
    variants = replace(FIGURE7, ways=WAYS, renewal=values).variants()
    settings = {
        name: (way, *config.renewal.margins, *config.renewal.blocks)
        for name, (way, config) in variants.items()
    }
    assert settings == {
        **{way: (way, 0.0, 9) for way in WAYS},
        "renewed,margin=0.5": ("renewed", 0.5, 9),
        "renewed,block=7": ("renewed", 0.0, 7),
        "renewed_all,block=7": ("renewed_all", 0.0, 7),
        "renewed_at_random,margin=0.5": ("renewed_at_random", 0.5, 9),
        "renewed_at_random,block=7": ("renewed_at_random", 0.0, 7),
        "renewed_synthesizer,margin=0.5": ("renewed_synthesizer", 0.5, 9),
        "renewed_synthesizer,block=7": ("renewed_synthesizer", 0.0, 7),
        "renewed_fitted,margin=0.5": ("renewed_fitted", 0.5, 9),
        "renewed_fitted,block=7": ("renewed_fitted", 0.0, 7),
    }
    ablation = command.parse(["--preset", "ablation"]).variants()
    assert len(ablation) == 10
