"""``python -m trainers.voc_person``: person detection on Pascal VOC with SSD-300.

T first learns from real pictures. Then, in each cycle, S learns to place people so that T misses
them and D takes the composites for real; the composites on which T fails are kept; and T and D
learn from real pictures and all composites kept so far. Each step is a method of
:class:`trainers.detection.run.DetectionRun`; their order is :meth:`trainers.loop.Loop.run`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compositor.data import sheets
from compositor.data.read import layouts, listing, voc
from trainers.detection import command
from trainers.detection.config import Config
from trainers.detection.scales import clean_up, scales
from trainers.detection.sources import Data, Sources

DESCRIPTION = """Person detection on Pascal VOC (the paper's section 4.2, tables 2 and 4).

--data is a folder with VOCdevkit/VOC20xx and, for the backgrounds, COCO in coco/
(annotations/instances_*.json, images/), with people annotated."""


@dataclass(frozen=True)
class PersonConfig(Config):
    """Pastes VOC's people on COCO's pictures without people, for SSD-300."""

    output: Path = Path("runs/voc_person")
    data: Path = Path("data")
    """Folder with VOCdevkit/, and with coco/ unless --coco names another folder."""
    coco: Path | None = None
    """COCO's folder, with annotations and images; None: coco/ in --data."""
    split: str | None = None
    """COCO's split, such as train2017; None: the folder has only one."""
    years: tuple[str, ...] = ("2007", "2012")
    """Years whose trainval sets T learns from and people are cut out of; the test is 2007's."""


SCALES = scales(PersonConfig(), light=PersonConfig(years=("2007",)))


class People(Sources):
    """People cut out and photographs."""

    def prepare(self, config: Config) -> Data:
        """Also draw whom the clean-up left out."""
        data = super().prepare(config)
        path = config.output / "clean_up.png"
        sheets.clean_up_sheet(self.cutouts, data.scenes.cutouts, path)
        return data


def read(config: PersonConfig) -> People:
    """List the data that a config names."""
    root, sets = config.data / "VOCdevkit", [(year, "trainval") for year in config.years]
    return People(
        voc.photographs(root, sets),
        voc.cutouts(root, sets, clean_up=clean_up(config)),
        voc.photographs(root, [("2007", "test")], keep_empty=True),
        listing.backgrounds(layouts.find(config.coco or config.data / "coco", config.split)),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it."""
    config = command.parse("trainers.voc_person", DESCRIPTION, SCALES, arguments)
    command.main(config, read, "table 4")


if __name__ == "__main__":
    main()
