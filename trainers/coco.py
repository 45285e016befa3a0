"""``python -m trainers.coco``: any detector on any data set in COCO's or YOLO's format."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compositor.data.read import coco_file, folder, layouts, listing
from compositor.data.read.listing import Listing
from trainers.config import ConfigError
from trainers.detection import command
from trainers.detection.average_precision import Points
from trainers.detection.own import TARGET, OwnConfig, held_out, list_test, part, under
from trainers.detection.scales import clean_up, scales
from trainers.detection.sources import Sources

DESCRIPTION = """Composites for a detector on your own data.

--data is a folder in the layout of COCO (annotations/instances_SPLIT.json and images/), Roboflow
(SPLIT/_annotations.coco.json beside the pictures), Label Studio (result.json and images/) or YOLO
(data.yaml, which names the splits, images/ and labels/), or YOLO's data file itself.
Alternatively --annotations and --images name the file and the folder. Objects are cut out using
their masks, or come from --cutouts, and are pasted on --backgrounds, or on the data's own
pictures."""


@dataclass(frozen=True)
class COCOConfig(OwnConfig):
    """Pastes a data set's objects on pictures, for any detector."""

    output: Path = Path("runs/coco")
    points: Points = 101
    """How AP is interpolated: by COCO's 101 points or VOC 2007's 11."""
    data: Path = Path("data")
    """Folder in one of the layouts above."""
    split: str | None = None
    """Split to learn from, such as train2017, or YOLO's train; None: the folder has only one."""
    test_split: str | None = None
    """Split to test on; None: hold out a fifth of the pictures."""
    annotations: Path | None = None
    """COCO file to learn from, instead of --data and --split."""
    images: Path | None = None
    """Folder of its pictures; None: the file's folder."""
    test_annotations: Path | None = None
    """COCO file to test on, instead of --test-split."""
    test_images: Path | None = None
    """Folder of its pictures; None: --images, or the file's folder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, needed in (("images", "annotations"), ("test_images", "test_annotations")):
            if getattr(self, name) is not None and getattr(self, needed) is None:
                raise ConfigError(
                    f"{name}: got {getattr(self, name)}, wanted it only together with {needed}"
                )
        for name, other in (("split", "annotations"), ("test_split", "test_annotations")):
            if getattr(self, name) is not None and getattr(self, other) is not None:
                raise ConfigError(
                    f"{name}: got {getattr(self, name)}, wanted this or {other}, not both"
                )


FULL = COCOConfig(target=TARGET)
SCALES = scales(FULL)


def read(config: COCOConfig) -> Sources:
    """List the data that a config names."""
    listed, tested = _listings(config)
    # Those without an object are T's negatives.
    learnt = listing.photographs(listed, config.names, keep_empty=True)
    objects = (
        listing.cutouts(listed, config.names, clean_up(config))
        if config.cutouts is None
        else folder.cutouts(config.cutouts, learnt.classes[1:], clean_up(config))
    )
    if tested is None:
        names = held_out(learnt)
        test, learnt = part(learnt, names, True), part(learnt, names, False)
        if config.cutouts is None:
            objects = part(objects, names, False)
    else:
        test = listing.photographs(tested, learnt.classes[1:], keep_empty=True, absent=True)
    names = {record.name for record in test.records}
    shown = (
        (one.name, [(found.category, found.box, found.crowd) for found in one.instances])
        for one in (tested or listed).pictures
        if one.name in names
    )
    list_test(config.output, test.classes, shown)
    return Sources(learnt, objects, test, under(config))


def _listings(config: COCOConfig) -> tuple[Listing, Listing | None]:
    """What to learn from and to test on; None: hold out a part of the first."""
    if config.annotations is None:
        listed = layouts.find(config.data, config.split)
    else:
        listed = coco_file.read(config.annotations, [config.images or config.annotations.parent])
    if config.test_annotations is not None:
        place = config.test_images or config.images or config.test_annotations.parent
        return listed, coco_file.read(config.test_annotations, [place])
    if config.test_split is not None:
        return listed, layouts.find(config.data, config.test_split)
    return listed, None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it."""
    config = command.parse("trainers.coco", DESCRIPTION, SCALES, arguments)
    command.main(config, read, "plain")


if __name__ == "__main__":
    main()
