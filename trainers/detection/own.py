"""What the trainers on a data set of one's own have in common."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from compositor import files
from compositor.data.read import folder
from compositor.data.records import Box, Cutout, Photograph, Record, Records
from compositor.files import DataError
from trainers.config import check_distinct
from trainers.detection.config import Config, TargetConfig
from trainers.detection.ways import Way

Shown = tuple[str, Box | None, bool]
"""An object: its class, its box in pixels, and whether to ignore it."""
TARGET = TargetConfig(network="fasterrcnn_resnet50_fpn", learning_rate=1e-3, augmentation="mirror")
"""The detector of the full scale."""
HELD_OUT = 5
"""Without a test set, one picture in so many is held out for the test."""
Item = TypeVar("Item", Photograph, Cutout)
MOST = 12
"""Most splits that an error lists."""
PAIRS = (
    (("trainval",), ("test",)),
    (("train", "training"), ("val", "valid", "validation")),
    (("train", "training"), ("test",)),
)
"""What splits to learn from and to test on are called, besides years; the first that are there."""


@dataclass(frozen=True)
class OwnConfig(Config):
    """Pastes a data set's objects on pictures, for any detector."""

    # What a detector of one's own takes, not the paper's comparison; Config explains both.
    ways: tuple[Way, ...] = ("baseline", "matched")
    seeds: tuple[int, ...] = (0,)
    data: Path = Path("data")
    """Folder in one of the layouts above."""
    split: tuple[str, ...] = ()
    """Splits to learn from; none: the only one, or the one called train, or trainval if there is a
    test. VOC's are image sets of a year: 2007-trainval is ImageSets/*/trainval.txt of VOC2007."""
    test_split: tuple[str, ...] = ()
    """Splits to test on; none: the one called val or test, unless --split is given, or else a fifth
    of the pictures, held out."""
    names: tuple[str, ...] | None = None
    """Names of the classes to detect; None: all that are annotated."""
    backgrounds: Path | None = None
    """Folder of pictures that show none of the classes; None: paste on the data's own pictures."""
    cutouts: Path | None = None
    """Folder of cut-outs with an alpha channel, one sub-folder per class; None: cut out the data's
    own objects."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.names is not None:
            check_distinct("names", self.names)


def splits(config: OwnConfig, found: Sequence[str]) -> tuple[list[str], list[str]]:
    """The splits to learn from and to test on; of the latter none: hold out a part of the first.

    Args:
        config: Names them, or leaves it to their names.
        found: The data's.

    Raises:
        DataError: One that is named is not there, or it is not clear which to learn from.
    """
    learn, test = list(config.split), list(config.test_split)
    for split in (*learn, *test):
        if split not in found:
            raise DataError(f"{config.data}: has no split {split!r}, only {_some(found)}")
    if learn:
        return learn, test
    left = [split for split in found if split not in test]
    if len(left) == 1:
        return left, test
    roles = {split: re.sub(r"[\d\W_]", "", split).lower() for split in left}
    for pair in PAIRS:
        learn, other = ([s for s, role in roles.items() if role in names] for names in pair)
        if len(learn) == 1 and (test or len(other) == 1):
            return learn, test or other
    raise DataError(
        f"{config.data}: has {_some(found)}; name those to learn from with --split, and those "
        "to test on with --test-split"
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST]) + (f" and {len(names) - MOST} more" if names[MOST:] else "")


def hold_out(
    learnt: Records[Photograph], objects: Records[Cutout], own: bool
) -> tuple[Records[Photograph], Records[Cutout], Records[Photograph]]:
    """What is left to learn from and to cut out, and the pictures that are held out for the test.

    Args:
        learnt: All pictures.
        objects: The cut-outs.
        own: Whether these are cut out of the pictures.

    Raises:
        DataError: There are too few pictures.
    """
    if len(learnt) < HELD_OUT:
        raise DataError(
            f"{learnt.source}: has {len(learnt)} pictures, wanted {HELD_OUT} or more to hold out "
            f"one in {HELD_OUT} for the test, or --test-split"
        )
    names = {record.name for record in learnt.records[HELD_OUT - 1 :: HELD_OUT]}
    left = _part(objects, names, False) if own else objects
    return _part(learnt, names, False), left, _part(learnt, names, True)


def _part(records: Records[Item], tested: set[str], wanted: bool) -> Records[Item]:
    """The records in ``tested`` if wanted, otherwise the others and what listing left out."""
    which = "one in" if wanted else "without one in"
    return replace(
        records,
        source=f"{records.source}, {which} {HELD_OUT}",
        records=[record for record in records.records if (record.name in tested) == wanted],
        left_out={} if wanted else records.left_out,
    )


def apart(
    config: OwnConfig,
    learnt: Records[Photograph],
    objects: Records[Cutout],
    test: Records[Photograph],
) -> tuple[Records[Photograph], Records[Cutout], Records[Photograph], Records[Photograph] | None]:
    """What to learn from, to cut out, to test on and to paste on (None: what to learn from), the
    others without the pictures that are tested on, since splits may overlap.

    Raises:
        DataError: All of one is tested on, or the config's backgrounds cannot be listed.
    """
    tested = {_picture(record) for record in test.records}
    under = config.backgrounds
    return (
        _untested(learnt, tested),
        _untested(objects, tested),
        test,
        None if under is None else _untested(folder.backgrounds(under), tested),
    )


def _picture(record: Record[Any]) -> Path:
    path = record.files[0]
    return path.resolve() if files.there(path) else path


def _untested(records: Records[Item], tested: set[Path]) -> Records[Item]:
    lost = [each.name for each in records.records if _picture(each) in tested]
    if not lost:
        return records
    if len(lost) == len(records):
        raise DataError(f"{records.source}: all its pictures are tested on, too; wanted others")
    names = set(lost)
    return replace(
        records,
        source=f"{records.source}, without what is tested on",
        records=[each for each in records.records if each.name not in names],
        left_out={**records.left_out, "picture that is tested on": lost},
    )


def list_test(
    output: Path,
    classes: Sequence[str],
    pictures: Iterable[tuple[str, Sequence[Shown]]],
) -> None:
    """Write test.json, by which :mod:`trainers.predict` repeats the test: in COCO's format.

    Args:
        output: The folder to write to.
        classes: Names by label, the background's first.
        pictures: The name of each picture's file, and its objects. What has no box with an area or
            is of another class is left out.
    """
    labels = {name: label for label, name in enumerate(classes) if label}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (file_name, objects) in enumerate(pictures, 1):
        images.append({"id": number, "file_name": file_name})
        for name, box, ignore in objects:
            if box is None or name not in labels:
                continue
            x1, y1, x2, y2 = box
            if not (x1 < x2 and y1 < y2):
                continue
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": labels[name],
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": int(ignore),
                }
            )
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": label, "name": name} for name, label in labels.items()],
    }
    files.write(output / "test.json", json.dumps(content) + "\n")
