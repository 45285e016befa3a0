"""What the trainers on a data set of one's own have in common."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from compositor import files
from compositor.data.read import folder
from compositor.data.records import Box, Cutout, Photograph, Records
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


@dataclass(frozen=True)
class OwnConfig(Config):
    """Pastes a data set's objects on pictures, for any detector."""

    # What a detector of one's own takes, not the paper's comparison; Config explains both.
    ways: tuple[Way, ...] = ("baseline", "matched")
    seeds: tuple[int, ...] = (0,)
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


def under(config: OwnConfig) -> Records[Photograph] | None:
    """The pictures to paste on; None: the data's own."""
    return None if config.backgrounds is None else folder.backgrounds(config.backgrounds)


def held_out(records: Records[Photograph]) -> set[str]:
    """The names of the pictures that are held out for the test."""
    return {record.name for record in records.records[HELD_OUT - 1 :: HELD_OUT]}


def part(records: Records[Item], tested: set[str], wanted: bool) -> Records[Item]:
    """The records in ``tested`` if wanted, otherwise the others and what listing left out."""
    which = "one in" if wanted else "without one in"
    return replace(
        records,
        source=f"{records.source}, {which} {HELD_OUT}",
        records=[record for record in records.records if (record.name in tested) == wanted],
        left_out={} if wanted else records.left_out,
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
        pictures: The name of each picture's file, and its objects. What has no box or is of another
            class is left out.
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
