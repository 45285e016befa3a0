"""The three players with their optimizers."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from accelerate import Accelerator
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from compositor.data.records import BACKGROUND
from trainers import detectors
from trainers.detection.config import Config, TargetConfig
from trainers.detection.context import ContextNetwork
from trainers.detection.networks import Discriminator, Synthesizer
from trainers.detection.ways import RULES, Rules
from trainers.detectors import factory
from trainers.detectors.backbones import BACKBONES
from trainers.detectors.base import TargetError, TellingDetector, TrainableDetector
from trainers.player import Player


def target(accelerator: Accelerator, config: Config, network: TrainableDetector) -> Player:
    """Make T of its network."""
    ours = config.target
    parameters = [p for p in network.parameters() if p.requires_grad]
    # The loop sets the learning rate.
    make: dict[str, Callable[..., Optimizer]] = {
        "sgd": partial(SGD, momentum=ours.momentum),
        "adam": Adam,
        "adamw": AdamW,
    }
    optimizer = make[ours.optimizer](parameters, lr=0.0, weight_decay=ours.weight_decay, fused=True)
    return Player(accelerator, network, optimizer)


def placer(
    accelerator: Accelerator, config: Config, rules: Rules, classes: Sequence[str]
) -> Player | None:
    """Make what places a way's objects: S, or Context-DA's network; None: neither does."""
    if not rules.network:
        return None
    ours = config.synthesizer
    backbone = BACKBONES[ours.backbone](ours.weights, "--synthesizer.weights")
    network: nn.Module
    if rules.places == "context":
        network = ContextNetwork(backbone, len(classes))
    else:
        start, tones = config.placement.start(), config.tones.numbers
        network = Synthesizer(backbone, start, ours.dropout, ours.gain, tones)
    optimizer = Adam(
        network.parameters(), ours.learning_rate, weight_decay=ours.weight_decay, fused=True
    )
    return Player(accelerator, network, optimizer)


def discriminator(accelerator: Accelerator, config: Config) -> Player:
    """Make D."""
    network = Discriminator(config.discriminator.width)
    optimizer = Adam(
        network.parameters(),
        config.discriminator.learning_rate,
        weight_decay=config.discriminator.weight_decay,
        fused=True,
    )
    return Player(accelerator, network, optimizer)


def check(config: Config, build: Callable[[Any, Sequence[str]], TrainableDetector]) -> None:
    """Build T and the backbone of what places objects, so that faulty weights are told early."""
    if factory.named(config.target.network):
        factory.function(config.target.network)  # which may take the data's classes alone
    else:
        build(config, (BACKGROUND, "any"))
    if config.table2 or any(RULES[way].network for way in config.ways):
        BACKBONES[config.synthesizer.backbone](config.synthesizer.weights, "--synthesizer.weights")


def learning_rate(config: TargetConfig, cycle: int, number: int) -> float:
    """T's learning rate; in cycle 0, on real pictures alone, a warm-up and then a cosine to 0.

    Args:
        config: T's config.
        cycle: The cycle's number.
        number: The iteration's number in it, from 1.
    """
    if cycle:
        return config.learning_rate
    warm = min(1.0, number / (0.05 * config.start_iterations + 1))
    part = (number - 1) / config.start_iterations
    return config.start_learning_rate * warm * (1 + math.cos(math.pi * part)) / 2


def detector(config: Config, classes: Sequence[str]) -> TrainableDetector:
    """Build T's network for classes, the background's name first."""
    ours = config.target
    network = detectors.build(
        ours.network, classes, ours.weights, config.size, "--target.weights", ours.heads
    )
    renewing = [way for way in config.ways if RULES[way].renews]
    if renewing and not isinstance(network, TellingDetector):
        raise TargetError(
            f"ways: got {renewing[0]}, wanted an SSD, NanoDet or a TellingDetector of your own for "
            f"it: {ours.network} does not tell the loss of each object"
        )
    return network
