"""The command line that the detection trainers share."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from compositor import _command
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
    """The config that a command line names."""
    return _command.parse(program, description + SCALES, "--scale", scales, arguments)


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
