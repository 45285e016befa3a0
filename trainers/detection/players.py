"""The three players with their optimizers."""

import torch
from accelerate import Accelerator
from torch import nn
from torch.optim import SGD, Adam

from trainers.detection import targets
from trainers.detection.backbones import BACKBONES
from trainers.detection.config import Config
from trainers.detection.networks import Discriminator, Synthesizer
from trainers.loop import Player


def target(accelerator: Accelerator, config: Config, classes: int) -> Player:
    """T, for so many classes, the background included."""
    ours = config.target
    network = targets.build(ours.network, classes, ours.weights, config.size, "--target.weights")
    parameters = [p for p in network.parameters() if p.requires_grad]
    # The loop sets the learning rate.
    optimizer = (
        SGD(parameters, 0.0, ours.momentum, weight_decay=ours.weight_decay, fused=True)
        if ours.optimizer == "sgd"
        else Adam(parameters, 0.0, weight_decay=ours.weight_decay, fused=True)
    )
    return Player(accelerator, _fast(network), optimizer)


def synthesizer(accelerator: Accelerator, config: Config) -> Player:
    """S."""
    ours = config.synthesizer
    backbone = BACKBONES[ours.backbone](ours.weights, "--synthesizer.weights")
    network = Synthesizer(backbone, config.placement.start(), ours.dropout, ours.gain)
    optimizer = Adam(
        network.parameters(), ours.learning_rate, weight_decay=ours.weight_decay, fused=True
    )
    return Player(accelerator, _fast(network), optimizer)


def discriminator(accelerator: Accelerator, config: Config) -> Player:
    """D."""
    network = Discriminator(config.discriminator.width)
    optimizer = Adam(
        network.parameters(),
        config.discriminator.learning_rate,
        weight_decay=config.discriminator.weight_decay,
        fused=True,
    )
    return Player(accelerator, _fast(network), optimizer)


def check(config: Config) -> None:
    """Build T, and S where it plays, so that what is amiss with weights is told before all else."""
    targets.build(config.target.network, 2, config.target.weights, config.size, "--target.weights")
    if config.table2 or any(way.startswith("synthesizer") for way in config.ways):
        BACKBONES[config.synthesizer.backbone](config.synthesizer.weights, "--synthesizer.weights")


def _fast(network: nn.Module) -> nn.Module:
    return network.to(memory_format=torch.channels_last)
