from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from trainers.affnist import sampling, tasks
from trainers.affnist.config import TINY
from trainers.affnist.dataset import to_bytes
from trainers.affnist.networks import MNISTClassifier, Synthesizer
from trainers.affnist.placement import Digits, uniform
from trainers.cache import HardExampleCache
from trainers.player import Player, frozen

CONFIG = replace(TINY, margin=0.05, max_passes=1000)


@pytest.fixture
def accelerator() -> Accelerator:
    return Accelerator(cpu=True)


class Watched(nn.Module):
    """A T that keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images)
        return torch.zeros(len(images), 10)

    def passes(self) -> int:
        return sum(map(len, self.seen))


def say(monkeypatch: pytest.MonkeyPatch, verdict: Callable[[Tensor], Tensor]) -> None:
    """Let ``verdict`` of the labels decide which images are hard."""
    monkeypatch.setattr(tasks, "margin", lambda _, labels: verdict(labels).float())


def test_margin_by_hand() -> None:
    p = torch.tensor([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
    margin = tasks.margin(p.log(), torch.tensor([0, 1, 2]))
    torch.testing.assert_close(margin, torch.tensor([-0.2, 0.2, 0.3]))


def test_spread_is_1_for_the_uniform_law_and_0_for_one_placement() -> None:
    spread = sampling.relative_spread(uniform(20_000, torch.Generator().manual_seed(0)))
    # The standard deviation of 20,000 uniform draws is within 1.5 % with five standard errors.
    torch.testing.assert_close(spread, torch.ones(6), rtol=0, atol=0.015)
    assert not sampling.relative_spread(torch.full((9, 6), 0.25)).any()


def test_diversity_by_hand() -> None:
    images = torch.tensor([0, 255, 51, 255]).view(4, 1, 1, 1)
    labels = torch.tensor([0, 1, 0, 1])
    assert sampling.diversity(images, labels) == pytest.approx((0.2 + 0) / 2)
    assert sampling.diversity(images[:2], labels[:2]) == 0


def test_random_takes_all_and_asks_no_target(
    accelerator: Accelerator, digits: Digits, cache: HardExampleCache
) -> None:
    target = Watched()
    tally = sampling.RandomAffine(accelerator, CONFIG, digits, None).fill(cache, target)
    assert target.passes() == tally.passes == 0
    assert (tally.taken, tally.shortfall) == (30, 0)
    assert cache["labels"].bincount().tolist() == [3] * 10
    assert cache["images"].dtype == torch.uint8
    assert (cache["visible"] > 1 - 1e-5).all()  # float32 sums of some hundred pixels


def test_the_hard_filter_keeps_the_hard_and_counts_every_pass(
    accelerator: Accelerator,
    digits: Digits,
    cache: HardExampleCache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    say(monkeypatch, lambda labels: labels % 2 == 0)
    target = Watched()
    tally = sampling.RandomAffine(accelerator, CONFIG, digits, 1).fill(cache, target)
    assert cache["labels"].bincount().tolist() == [3, 0, 3, 0, 3, 0, 3, 0, 3]
    assert target.passes() == tally.passes
    # Classes with no hard image stay open until the limit, passed by less than a batch.
    assert 1000 <= tally.passes < 1000 + sampling.BATCH
    assert (tally.taken, tally.shortfall) == (15, 15)


def test_per_image_search_takes_the_first_hard_place_of_each_digit(
    accelerator: Accelerator,
    digits: Digits,
    cache: HardExampleCache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = iter(range(1000))
    say(monkeypatch, lambda labels: torch.full((len(labels),), next(calls) % 3 == 2))
    target = Watched()
    way = sampling.RandomAffine(accelerator, CONFIG, digits, 16)
    tally = way.fill(cache, target)
    assert tally.passes == 3 * tally.accepted == target.passes()
    shown = torch.cat([to_bytes(images) for images in target.seen[2::3]])
    added = {image.numpy().tobytes() for image in cache["images"]}
    assert added <= {image.numpy().tobytes() for image in shown}


def test_per_image_search_gives_a_digit_up_after_its_tries(
    accelerator: Accelerator,
    digits: Digits,
    cache: HardExampleCache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    say(monkeypatch, lambda labels: labels < 0)
    target = Watched()
    way = sampling.RandomAffine(accelerator, CONFIG, digits, 4)
    tally = way.fill(cache, target)
    # 30 are wanted, and when none of them is hard the batches grow.
    assert [len(images) for images in target.seen] == [30] * 4 + [500] * 4
    assert (tally.passes, tally.accepted, tally.shortfall, len(cache)) == (2120, 0, 30, 0)


def test_what_is_added_is_hard_for_the_target(
    accelerator: Accelerator, digits: Digits, cache: HardExampleCache
) -> None:
    torch.manual_seed(0)
    config = replace(CONFIG, margin=0.01)
    target = MNISTClassifier()
    with frozen(target), torch.no_grad():
        sampling.RandomAffine(accelerator, config, digits, 16).fill(cache, target)
        margin = tasks.margin(target(cache["images"].float() / 255), cache["labels"])
    # An untrained T may find nothing hard about the class it always answers.
    assert len(cache) >= 18
    # The cache holds them in 8 bits: an input off by 0.002 moves this margin by less than 0.001.
    assert (margin > 0.01 - 0.001).all()


def test_the_synthesizer_learns_against_a_target_that_is_left_alone(
    accelerator: Accelerator, digits: Digits, cache: HardExampleCache
) -> None:
    torch.manual_seed(0)
    network, target = Synthesizer(), MNISTClassifier()
    player = Player(accelerator, network, torch.optim.Adam(network.parameters(), 1e-3))
    before = {name: value.clone() for name, value in target.state_dict().items()}
    at_first = [p.clone() for p in network.parameters()]
    losses = []

    def update(player: Player, loss: Tensor, name: str) -> float:
        losses.append(float(loss.detach()))
        player.differentiate(loss)
        player.optimizer.step()
        return losses[-1]

    way = sampling.Synthesis(
        accelerator, replace(CONFIG, margin=0.0), digits, player, update, lambda _: None
    )
    with frozen(target):
        tally = way.fill(cache, target)
    # S climbs T's cross-entropy, so its own loss is the negative of one.
    assert losses
    assert max(losses) < 0
    assert tally.passes == len(losses) * CONFIG.synthesizer.batch
    assert all(
        not torch.equal(p, was) for p, was in zip(network.parameters(), at_first, strict=True)
    )
    assert all(p.grad is None for p in target.parameters())
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())
    assert tally.taken == len(cache) == 30 - tally.shortfall
