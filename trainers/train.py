"""``python -m trainers.train``: any detector on any data set."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from compositor.data.read import coco_file, folder, layouts, listing, voc
from compositor.data.read.listing import Listing
from compositor.data.read.voc_xml import read_objects
from compositor.data.records import Cutout, Photograph, Records, Skip
from compositor.files import DataError
from trainers.config import ConfigError
from trainers.detection import command
from trainers.detection.average_precision import Points
from trainers.detection.own import (
    TARGET,
    OwnConfig,
    Shown,
    apart,
    hold_out,
    list_test,
    splits,
)
from trainers.detection.scales import clean_up, scales
from trainers.detection.sources import Sources

DESCRIPTION = """A detector for your own data, with composites and without.

--data is a folder in the layout of COCO (annotations/instances_SPLIT.json and images/), Roboflow
(SPLIT/_annotations.coco.json beside the pictures), Label Studio (result.json and images/), YOLO
(data.yaml, which names the splits, images/ and labels/), Pascal VOC (VOC2007/ and the like, each
with JPEGImages/, Annotations/ and ImageSets/Main/) or LabelImg and CVAT (an XML file beside each
picture, perhaps in a folder a split, or all in a folder beside theirs, perhaps with
ImageSets/Main/), or YOLO's data file itself. Alternatively --annotations and --images name a COCO
file and its folder. Objects are cut out using their masks, or come from --cutouts, and
are pasted on --backgrounds, or on the data's own pictures."""


@dataclass(frozen=True)
class TrainConfig(OwnConfig):
    """Pastes a data set's objects on pictures, for any detector."""

    output: Path = Path("runs/train")
    points: Points = 101
    """How AP is interpolated: by COCO's 101 points or VOC 2007's 11."""
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
            if getattr(self, name) and getattr(self, other) is not None:
                raise ConfigError(
                    f"{name}: got {' '.join(getattr(self, name))}, wanted this or {other}, not both"
                )


FULL = TrainConfig(target=TARGET)
SCALES = scales(FULL)


@dataclass(frozen=True)
class Annotated:
    """What a data set annotates.

    Attributes:
        learnt: The pictures to learn from; those without an object are T's negatives.
        objects: The cut-outs; None: those of --cutouts.
        tested: The pictures to test on; None: a part of the first.
        shown: Lists the files of some of the pictures, and their objects.
    """

    learnt: Records[Photograph]
    objects: Records[Cutout] | None
    tested: Records[Photograph] | None
    shown: Callable[[Records[Photograph]], Iterable[tuple[str, Sequence[Shown]]]]


def read(config: TrainConfig) -> Sources:
    """List the data that a config names."""
    root, sets = voc.listed(config.data)
    if config.annotations is None and sets and not layouts.splits(config.data):
        found = _read_voc(config, root, sets)
    else:
        found = _read_listing(config)
    learnt, objects, test = found.learnt, found.objects, found.tested
    if config.cutouts is not None:
        objects = folder.cutouts(config.cutouts, learnt.classes[1:], clean_up(config))
    assert objects is not None
    if test is None:
        learnt, objects, test = hold_out(learnt, objects, config.cutouts is None)
    sources = Sources(*apart(config, learnt, objects, test))
    list_test(config.output, test.classes, found.shown(test))
    return sources


def _read_voc(config: TrainConfig, root: Path, sets: Sequence[voc.Set]) -> Annotated:
    if config.test_annotations is not None:
        raise ConfigError(
            f"test_annotations: got {config.test_annotations}, wanted --test-split, since "
            f"{config.data} is in VOC's layout"
        )
    known = {"-".join(one): one for one in sets}
    learn, test = ([known[name] for name in names] for names in splits(config, list(known)))
    kinds = voc.kinds(root, learn)
    names = config.names or tuple(kinds)
    if missing := [name for name in names if name not in kinds]:
        raise DataError(f"{root}: has no class {', '.join(missing)}, only {', '.join(kinds)}")
    objects = None
    if config.cutouts is None:
        try:
            objects = voc.cutouts(root, learn, names, clean_up(config))
        except DataError as error:
            raise DataError(f"{error}; or name a folder of cut-outs as --cutouts") from None

    data = Path(os.path.abspath(config.data))
    # The names in test.json lead from --data, or from the VOCdevkit in it.
    place = data if data.parent == root else root

    def shown(records: Records[Photograph]) -> Iterable[tuple[str, Sequence[Shown]]]:
        for record in records.records:
            image, annotation, *_ = record.files
            try:
                _, objects = read_objects(annotation, record.name)
            except Skip:  # counted when it is loaded
                continue
            found = [(one.kind, one.box, one.difficult) for one in objects]
            yield str(image.relative_to(place)), found

    return Annotated(
        voc.photographs(root, learn, names, keep_empty=True),
        objects,
        voc.photographs(root, test, names, keep_empty=True) if test else None,
        shown,
    )


def _read_listing(config: TrainConfig) -> Annotated:
    listed, tested = _listings(config)
    annotated = {each.category for one in listed.pictures for each in one.instances}
    # Roboflow's first category, for one, groups the others and is no object's.
    kinds = tuple(name for name in listed.categories if name in annotated)
    names = config.names or kinds or None
    learnt = listing.photographs(listed, names, keep_empty=True)
    objects = None
    if config.cutouts is None:
        objects = listing.cutouts(listed, names, clean_up(config))
    test = None
    if tested is not None:
        test = listing.photographs(tested, learnt.classes[1:], keep_empty=True, absent=True)

    def shown(records: Records[Photograph]) -> Iterable[tuple[str, Sequence[Shown]]]:
        names = {record.name for record in records.records}
        for one in (tested or listed).pictures:
            if one.name in names:
                yield (
                    one.name,
                    [(found.category, found.box, found.crowd) for found in one.instances],
                )

    return Annotated(learnt, objects, test, shown)


def _listings(config: TrainConfig) -> tuple[Listing, Listing | None]:
    """What to learn from and to test on; None: hold out a part of the first."""
    tested = None
    if config.annotations is not None:
        place = config.images or config.annotations.parent
        listed = coco_file.read(config.annotations, [place])
        test = list(config.test_split)
    elif found := layouts.splits(config.data):
        learn, test = splits(config, list(found))
        listed = layouts.find(config.data, _one("split", learn))
    else:
        listed, test = layouts.find(config.data), []  # which says what was looked for
    if config.test_annotations is not None:
        place = config.test_images or config.images or config.test_annotations.parent
        tested = coco_file.read(config.test_annotations, [place])
    elif test:
        tested = layouts.find(config.data, _one("test_split", test))
    return listed, tested


def _one(option: str, names: Sequence[str]) -> str:
    if len(names) > 1:
        raise ConfigError(
            f"{option}: got {' '.join(names)}, wanted one, since only VOC's can be put together"
        )
    return names[0]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it."""
    config = command.parse("trainers.train", DESCRIPTION, SCALES, arguments)
    command.main(config, read, "plain")


if __name__ == "__main__":
    main()
