import pytest
import torch
from torch import Tensor

from trainers.affnist.config import TargetConfig
from trainers.affnist.mixture import Mixture, MixtureSampler
from trainers.affnist.placement import Digits
from trainers.cache import HardExampleCache

DIGITS, ADDED = 50, 7
CONFIG = TargetConfig(batch=8, mnist_iterations=5, iterations=10)


@pytest.fixture
def mixture() -> Mixture:
    values = torch.arange(DIGITS, dtype=torch.uint8)
    digits = Digits(values.view(-1, 1, 1, 1), values.long(), torch.zeros(DIGITS, 1, 2))
    return Mixture(digits, HardExampleCache(1))


def add(mixture: Mixture) -> None:
    mixture.cache.open(ADDED)
    labels = torch.zeros(ADDED, dtype=torch.int64)
    mixture.cache.add(labels, images=torch.arange(100, 100 + ADDED).byte().view(-1, 1, 1, 1))


def batches(mixture: Mixture, config: TargetConfig = CONFIG, cycle: int = 1) -> Tensor:
    sampler = MixtureSampler(mixture, config, seed=3)
    sampler.cycle = cycle
    drawn = torch.tensor(list(sampler))
    assert drawn.shape == (len(sampler), config.batch)
    return drawn


def test_numbers_after_the_digits_are_the_added_images(mixture: Mixture) -> None:
    add(mixture)
    images, labels = mixture.batch(torch.tensor([0, DIGITS, 49, DIGITS + 6]))
    assert images.flatten().tolist() == [0, 100, 49, 106]
    assert labels.tolist() == [0, 0, 49, 0]
    assert len(mixture) == DIGITS + ADDED


def test_half_and_half_in_every_process_part_of_every_batch(mixture: Mixture) -> None:
    add(mixture)
    added = batches(mixture) >= DIGITS
    for part in added.chunk(2, 1):
        assert (part.sum(1) == 2).all()


def test_every_image_comes_as_often_as_the_others(mixture: Mixture) -> None:
    add(mixture)
    counts = batches(mixture).flatten().bincount(minlength=DIGITS + ADDED)
    assert set(counts[:DIGITS].tolist()) == {0, 1}  # 40 of 50 digits, none twice
    assert set(counts[DIGITS:].tolist()) == {5, 6}  # 40 draws of 7
    every = batches(mixture, TargetConfig(batch=57, iterations=3, mix="concatenate"))
    assert (every.flatten().bincount() == 3).all()


def test_mnist_alone_before_the_first_cycle_and_where_nothing_was_found(mixture: Mixture) -> None:
    assert batches(mixture, cycle=0).shape == (5, 8)
    assert batches(mixture, cycle=0).max() < DIGITS
    assert batches(mixture, cycle=1).max() < DIGITS


def test_the_order_depends_on_seed_and_cycle_alone(mixture: Mixture) -> None:
    add(mixture)
    first = batches(mixture)
    torch.rand(9)
    assert torch.equal(first, batches(mixture))
    assert not torch.equal(first, batches(mixture, cycle=2))
