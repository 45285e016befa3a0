"""``python -m trainers.coco``: any detector on any data set in COCO's format."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from trainers.detection import command
from trainers.detection.average_precision import Points
from trainers.detection.config import Config, TargetConfig
from trainers.detection.data import coco, folder, pictures
from trainers.detection.data.cleanup import DEFAULT
from trainers.detection.data.prepared import prepare_cutouts, prepare_photographs
from trainers.detection.data.records import Cutout, Photograph, Records
from trainers.detection.experiment import names
from trainers.detection.run import Data
from trainers.detection.scales import EVERYTHING, small
from trainers.detection.scenes import Scenes

DESCRIPTION = """Composites for a detector on your own data.

--data is a folder in COCO's layout: annotations/instances_SPLIT.json with masks, and images/. Its
objects are cut out by their masks and pasted on --backgrounds, or on its own pictures."""
HELD_OUT = 5
"""Without a test split, one picture of so many is tested on and neither learnt from nor cut up."""
Item = TypeVar("Item", Photograph, Cutout)


@dataclass(frozen=True)
class COCOConfig(Config):
    """Objects of a data set pasted on pictures, for any detector."""

    output: Path = Path("runs/coco")
    points: Points = 101
    """As everywhere; of data in its format COCO's own."""
    data: Path = Path("data")
    """Folder in COCO's layout."""
    split: str | None = None
    """What T learns from, such as train2017; None where the folder has only one."""
    test_split: str | None = None
    """What is tested on; None: a fifth of --split, which is held out."""
    names: tuple[str, ...] | None = None
    """Of the classes to find; None: all."""
    backgrounds: Path | None = None
    """Folder of pictures that show none of the classes; None: paste on the data's own."""


FULL = COCOConfig(target=TargetConfig(network="fasterrcnn_resnet50_fpn", learning_rate=1e-3))
SCALES = {"full": FULL, "small": small(replace(FULL, output=Path("runs/coco_small")))}


def read(config: COCOConfig) -> Data:
    """Read and prepare what a config names."""
    clean_up = DEFAULT if config.clean_up else EVERYTHING
    split = (config.data, config.split, config.names)
    learnt, everything = coco.photographs(*split), coco.photographs(*split, keep_empty=True)
    objects = coco.cutouts(*split, clean_up=clean_up)
    if config.test_split is None:
        tested = {record.name for record in everything.records[HELD_OUT - 1 :: HELD_OUT]}
        test = _only(everything, tested, True)
        learnt, everything, objects = (
            _only(learnt, tested, False),
            _only(everything, tested, False),
            _only(objects, tested, False),
        )
    else:
        test = coco.photographs(config.data, config.test_split, config.names, keep_empty=True)
    under = everything if config.backgrounds is None else folder.backgrounds(config.backgrounds)
    real, backgrounds, examined = (
        prepare_photographs(records, config.cache, config.size) for records in (learnt, under, test)
    )
    cutouts = prepare_cutouts(objects, config.cache, config.size)
    pictures.contact_sheet(cutouts, config.output / "cutouts.png")
    sources = [p.source for p in (real, backgrounds, cutouts, examined)]
    return Data(Scenes(real, backgrounds, cutouts, config.artefacts), examined, names(sources))


def _only(records: Records[Item], tested: set[str], wanted: bool) -> Records[Item]:
    """The pictures that are tested on, or the others."""
    part = "one in" if wanted else "without one in"
    return replace(
        records,
        source=f"{records.source}, {part} {HELD_OUT}",
        records=[record for record in records.records if (record.name in tested) == wanted],
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it."""
    config = command.parse("trainers.coco", DESCRIPTION, SCALES, arguments)
    command.main(config, read, "plain")


if __name__ == "__main__":
    main()
