"""Shapes and parameter counts, worked out by hand from the paper's model dumps."""

import pytest
import torch
from torch import nn

from trainers.affnist.networks import MNISTClassifier, MNISTClassifierDeep, Synthesizer

BRANCH = (10 * 20 * 9 + 20) + 2 * 20 + (20 * 20 * 9 + 20) + 2 * 20
SYNTHESIZER = (
    (25 * 10 + 10 + 2 * 10)
    + 2 * BRANCH
    + (40 * 20 * 9 + 20 + 2 * 20 + 20 * 20 * 9 + 20 + 2 * 20)
    + (1620 * 50 + 50 + 2 * 50)
    + (50 * 20 + 20 + 2 * 20)
    + (20 * 6 + 6)
)
SHALLOW = (25 * 10 + 10) + (10 * 25 * 20 + 20) + (980 * 50 + 50) + (50 * 10 + 10)
DEEP = (25 * 64 + 64) + 3 * (64 * 25 * 64 + 64) + 4 * 2 * 64 + (576 * 50 + 50) + (50 * 10 + 10)


@pytest.mark.parametrize(
    ("network", "inputs", "outputs", "parameters"),
    [
        (Synthesizer(), 2, 6, SYNTHESIZER),
        (MNISTClassifier(), 1, 10, SHALLOW),
        (MNISTClassifierDeep(), 1, 10, DEEP),
    ],
)
def test_shapes_and_counts(network: nn.Module, inputs: int, outputs: int, parameters: int) -> None:
    assert network(*[torch.rand(3, 1, 40, 40)] * inputs).shape == (3, outputs)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_counts_are_those_of_the_dumps() -> None:
    assert (SYNTHESIZER, SHALLOW, DEEP) == (104_576, 54_840, 338_928)


def test_the_synthesizer_stays_in_range_and_both_its_inputs_count() -> None:
    torch.manual_seed(0)
    network = Synthesizer(dropout=0)
    digit, black = torch.rand(8, 1, 40, 40), torch.zeros(8, 1, 40, 40)
    position = network(digit, black)
    assert position.abs().max() < 1
    assert not torch.allclose(position, network(black, digit))
    position.sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_initialisation_is_xavier_with_the_papers_gain() -> None:
    network = Synthesizer()
    layer = network.regressor[0]
    assert isinstance(layer, nn.Linear)
    # Uniform on +-gain * sqrt(6 / (1620 + 50)): 81,000 draws come within 1 % of the bound.
    bound = 0.4 * (6 / 1670) ** 0.5
    assert bound * 0.99 < float(layer.weight.detach().abs().max()) <= bound
    assert not layer.bias.any()
