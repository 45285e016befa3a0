"""The command line that the detection trainers share."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import tyro

from trainers.command import leave_group, one_line
from trainers.detection import experiment
from trainers.detection.config import Config
from trainers.detection.experiment import Read
from trainers.detection.report import Layout
from trainers.detectors.backbones import WeightsError
from trainers.detectors.base import TargetError

ConfigType = TypeVar("ConfigType", bound=Config)
SCALES = """

Repeat the command to resume a run that was stopped. --scale NAME comes first and sets the defaults
below: full (the default, the paper's setting), small (small pictures and light networks, for a
CPU), quick (the same in minutes: one seed, one cycle, two ways) or nanodet (like small, with
NanoDet at 256 x 256 as T; --target.weights FOLDER names its weights)."""


def parse(
    program: str,
    description: str,
    scales: Mapping[str, ConfigType],
    arguments: Sequence[str] | None = None,
) -> ConfigType:
    """Turn a command line into a config: a scale's defaults, then the options that override it."""
    chooser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    chooser.add_argument("--scale", choices=scales, default=next(iter(scales)))
    chosen, rest = chooser.parse_known_args(arguments)
    default = scales[chosen.scale]
    return tyro.cli(
        type(default),
        prog=f"python -m {program}",
        description=description + SCALES,
        default=default,
        args=rest,
    )


def main(
    config: ConfigType,
    read: Read[ConfigType],
    layout: Layout,
    run: Callable[[ConfigType, Read[ConfigType], Layout], None] = experiment.run,
) -> None:
    """Run an experiment; an error that the user can fix is one line, not a traceback."""
    with one_line(TargetError, WeightsError):
        run(config, read, layout)
        leave_group()
