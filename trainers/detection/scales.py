"""What the trainers' presets have in common."""

from dataclasses import replace
from typing import TypeVar

from compositor.data.cleanup import DEFAULT, CleanUp
from compositor.scenes.placement import Range
from trainers.detection.config import (
    Config,
    ContextConfig,
    DiscriminatorConfig,
    SynthesizerConfig,
    TargetConfig,
)
from trainers.detectors.light import LIGHT
from trainers.detectors.nanodet import NANODET

EVERYTHING = CleanUp(min_iou=0, min_side=0, min_piece=0, max_cut=4)
"""Keeps any mask that is not empty (table 2)."""
SCALE = (0.3, 1.0)
"""Least and largest scale of a small run, which give objects a fifth to two thirds of the
canvas."""
ConfigType = TypeVar("ConfigType", bound=Config)


def clean_up(config: Config) -> CleanUp:
    """Which objects a config leaves out."""
    return DEFAULT if config.clean_up else EVERYTHING


def small(config: ConfigType) -> ConfigType:
    """The same experiment for a CPU: small pictures, light networks, few batches per cycle."""
    return replace(
        config,
        cycles=3,
        images_per_cycle=240,
        max_passes=4000,
        # At 0.5 nearly all composites would be hard for so light a T.
        hard=0.2,
        size=(160, 160),
        side_by_side=2,
        workers=0,
        # It misses smaller objects anyway.
        placement=Range(scale=SCALE),
        target=TargetConfig(
            network=LIGHT,
            optimizer="adam",
            learning_rate=5e-4,
            batch=16,
            augmentation="mirror",
            start_iterations=800,
            iterations=100,
            averaged=60,
        ),
        synthesizer=SynthesizerConfig(
            backbone="efficientnet_lite0",
            dropout=0.1,
            gain=0.4,
            learning_rate=1e-3,
            steps=60,
        ),
        context=ContextConfig(steps=200, candidates=20),
        discriminator=DiscriminatorConfig(width=16),
    )


def scales(full: ConfigType, light: ConfigType | None = None) -> dict[str, ConfigType]:
    """The scales that a trainer offers, by name.

    Args:
        full: The paper's setting.
        light: What the others, which write beside it, are made of; None: ``full``.
    """
    beside = {
        name: replace(light or full, output=full.output.with_name(f"{full.output.name}_{name}"))
        for name in ("small", "quick", "nanodet")
    }
    return {
        "full": full,
        "small": small(beside["small"]),
        "quick": quick(beside["quick"]),
        "nanodet": nanodet(beside["nanodet"]),
    }


def quick(config: ConfigType) -> ConfigType:
    """The small experiment in minutes: one seed, one cycle, and few of the ways."""
    config = small(config)
    return replace(
        config,
        ways=("baseline", "matched"),
        seeds=(0,),
        cycles=1,
        images_per_cycle=120,
        target=replace(config.target, start_iterations=200, iterations=60, averaged=30),
    )


def nanodet(config: ConfigType) -> ConfigType:
    """The small experiment with a strong T: NanoDet at 256 x 256."""
    config = small(config)
    return replace(
        config,
        size=(256, 256),
        hard=0.5,
        target=replace(
            config.target,
            network=NANODET,
            optimizer="adamw",
            learning_rate=1e-4,
            weight_decay=0.05,
            # At 1e-3 its loss leaps up now and then: it has no normalisation.
            start_learning_rate=4e-4,
            start_iterations=240,
        ),
    )
