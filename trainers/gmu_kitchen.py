"""``python -m trainers.gmu_kitchen``: instance detection on GMU Kitchen with Faster R-CNN."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from compositor.data.read import bigbird, folder, gmu
from trainers.config import AT_LEAST_1, ConfigError, check_distinct, check_limits
from trainers.detection import command, experiment, folds, stand_in
from trainers.detection.config import Config, TargetConfig
from trainers.detection.experiment import Read
from trainers.detection.report import Layout
from trainers.detection.scales import clean_up, scales
from trainers.detection.sources import Sources
from trainers.detection.ways import WAYS, Way

DESCRIPTION = """Instance detection on GMU Kitchen (the paper's section 4.3, table 3).

--data is a folder with GMU Kitchen's gmu_scene_001 to _009. BigBIRD's objects and UW's RGB-D Scenes
v2 are in its bigbird/ and rgbd-scenes-v2/ unless --objects and --backgrounds name other folders."""
WITHOUT_D: tuple[Way, ...] = tuple(way for way in WAYS if way != "synthesizer_discriminator")


@dataclass(frozen=True)
class GMUConfig(Config):
    """Pastes BigBIRD's objects on RGB-D Scenes, for Faster R-CNN; without D (supplement A.3)."""

    output: Path = Path("runs/gmu_kitchen")
    ways: tuple[Way, ...] = WITHOUT_D
    """Ways of adding composites; without D, from which the paper saw no gain here."""
    data: Path = Path("data")
    """Folder with the nine scenes, and with folds.txt for the folds after the first."""
    objects: Path | None = None
    """BigBIRD's folder, or one in Cut-Paste-Learn's layout; None: bigbird/ in --data."""
    backgrounds: Path | None = None
    """Folder of RGB-D Scenes v2; None: rgbd-scenes-v2/ in --data."""
    plain_backgrounds: bool = False
    """Take --backgrounds for any folder of pictures."""
    classes: tuple[str, ...] = gmu.NAMES
    """The instances to detect, as the annotations and the objects' folders name them."""
    stand_in: bool = False
    """Replace GMU's scenes by nine made here, all of --objects pasted on --backgrounds; the results
    say so."""
    folds: tuple[int, ...] = (1,)
    """Numbers of the folds, from 1; only the first is known without folds.txt. Of several, such as
    the paper's three, each is run in a folder of its own, and the tables have their means."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_limits(self, {"folds": AT_LEAST_1})
        check_distinct("folds", self.folds)
        if self.stand_in and self.folds != (1,):
            got = " ".join(map(str, self.folds))
            raise ConfigError(f"folds: got {got}, wanted 1 alone, the stand-in's only one")


FULL = GMUConfig(
    size=(480, 848),
    target=TargetConfig(
        network="fasterrcnn_resnet50_fpn",
        learning_rate=1e-3,
        weight_decay=1e-4,
        batch=8,
        augmentation="mirror",
    ),
)
SCALES = scales(FULL)


def read(config: GMUConfig) -> Sources:
    """List the data that a config of one fold names; the stand-in is made."""
    (fold,) = config.folds
    found = config.objects or config.data / "bigbird"
    objects = bigbird.cutouts(found, None if config.stand_in else config.classes, clean_up(config))
    where = config.backgrounds or config.data / "rgbd-scenes-v2"
    under = folder.backgrounds(where) if config.plain_backgrounds else folder.uw_scenes(where)
    scenes = config.data
    if config.stand_in:
        scenes = stand_in.make(config.cache, objects, under)
        objects, under = stand_in.training(objects, under)
    real, test = (
        gmu.photographs(scenes, fold, part, objects.classes[1:]) for part in ("train", "test")
    )
    note = "stand-in for GMU Kitchen: " if config.stand_in else ""
    return Sources(real, objects, test, under, note)


def run(config: GMUConfig, read: Read[GMUConfig], layout: Layout) -> None:
    """Run one fold; or several, each in a folder of its own, and write their means."""
    if len(config.folds) == 1:
        experiment.run(config, read, layout)
        return
    for fold in config.folds:
        gmu.tested(config.data, fold)  # or hours later it would turn out to be unknown
    each = [
        replace(config, folds=(fold,), output=config.output / f"fold{fold}")
        for fold in config.folds
    ]
    folds.run(config, each, read, layout)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it."""
    config = command.parse("trainers.gmu_kitchen", DESCRIPTION, SCALES, arguments)
    command.main(config, read, "table 3", run)


if __name__ == "__main__":
    main()
