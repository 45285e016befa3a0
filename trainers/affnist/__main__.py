"""``python -m trainers.affnist``."""

from collections.abc import Sequence

from compositor import _command
from trainers.affnist import experiment
from trainers.affnist.config import PRESETS, Config
from trainers.command import leave_group, one_line

DESCRIPTION = """Train classifiers on MNIST and added composites, test them on affNIST.

Figure 7 of "Learning to Generate Synthetic Data via Compositing": accuracy against the number of
added images, for several ways of adding them. Repeat the command to resume a run that was stopped.

--preset NAME comes first and sets the defaults below: figure7 (the default), table1 (the deep
classifier, 55,000 / 5,000 / 10,000 digits), deep (the same, renewed, with a longer schedule of its
own: the least error), ablation (renewed and its control at other margins and blocks) or tiny (takes
seconds, to check that all works)."""


def parse(arguments: Sequence[str] | None = None) -> Config:
    """The config that a command line names."""
    return _command.parse("trainers.affnist", DESCRIPTION, "--preset", PRESETS, arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the experiment; an error that the user can fix is one line, not a traceback."""
    with one_line():
        experiment.run(parse(arguments))
        leave_group()


if __name__ == "__main__":
    main()
