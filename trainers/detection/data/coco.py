"""COCO and any data set in its format: photographs, backgrounds, and instances by their masks.

``annotations/instances_SPLIT.json`` names the images, which are looked for in ``images/SPLIT``,
``images`` and ``SPLIT``. Boxes there are (x, y, width, height).
"""

import contextlib
import io
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO

from trainers.detection.data import images
from trainers.detection.data.cleanup import DEFAULT, CleanUp
from trainers.detection.data.records import (
    BACKGROUND,
    Annotation,
    Cutout,
    Photograph,
    Record,
    Records,
    Skip,
)
from trainers.files import DataError


def photographs(
    folder: Path,
    split: str | None = None,
    names: Sequence[str] | None = None,
    keep_empty: bool = False,
) -> Records[Photograph]:
    """List the photographs of a split.

    Args:
        folder: Holds ``annotations`` and the images.
        split: Such as "val2017"; None where the folder has only one.
        names: Of the classes to find, their labels from 1; None: all, in the order of their ids.
        keep_empty: Keep images without an object of these classes: AP counts what is found there.

    Raises:
        DataError: A folder or file is missing or no COCO, or a class is not in it.
    """
    split, coco, file = _open(folder, split)
    classes, labels = _classes(coco, names, file)
    records = [
        Record(
            _name(image), (path, file), partial(_photograph, image, path, found, labels, keep_empty)
        )
        for image, path, found in _images(coco, folder, split)
    ]
    kept = "with" if keep_empty else "without"
    source = f"COCO {split} in {folder}, {kept} empty images"
    return Records(source, classes, records, ignored="crowd")


def backgrounds(
    folder: Path, split: str | None = None, without: Sequence[str] = ("person",)
) -> Records[Photograph]:
    """List the photographs that show nothing of some classes, as backgrounds to paste on.

    Args:
        folder: Holds ``annotations`` and the images.
        split: Such as "train2017"; None where the folder has only one.
        without: Names of classes, crowds of them included: what is pasted of these is then all
            that there is to find.

    Raises:
        DataError: A folder or file is missing or no COCO, a class is not in it, or all images
            show one.
    """
    split, coco, file = _open(folder, split)
    _, labels = _classes(coco, without, file)
    records = [
        Record(_name(image), (path, file), partial(_photograph, image, path, [], labels, True))
        for image, path, found in _images(coco, folder, split)
        if not any(entry["category_id"] in labels for entry in found)
    ]
    if not records:
        raise DataError(f"{file}: has no image without {', '.join(without)}")
    source = f"COCO {split} in {folder}, images without {', '.join(without)}"
    return Records(source, (BACKGROUND,), records)


def cutouts(
    folder: Path,
    split: str | None = None,
    names: Sequence[str] | None = None,
    clean_up: CleanUp = DEFAULT,
) -> Records[Cutout]:
    """List the instances of a split that have masks (polygons or run lengths), crowds left out.

    Args:
        folder: Holds ``annotations`` and the images.
        split: Such as "train2017"; None where the folder has only one.
        names: Of the classes to cut out, their labels from 1; None: all, in the order of their ids.
        clean_up: Which of the objects to leave out.

    Raises:
        DataError: A folder or file is missing or no COCO, a class is not in it, or nothing there
            has a mask.
    """
    split, coco, file = _open(folder, split)
    classes, labels = _classes(coco, names, file)
    records: list[Record[Cutout]] = []
    masks = False
    for image, path, found in _images(coco, folder, split):
        wanted = [e for e in found if e["category_id"] in labels and not e.get("iscrowd")]
        masks = masks or any(entry.get("segmentation") for entry in wanted)
        if wanted:
            load = partial(_cutouts, coco, image, path, wanted, labels, clean_up)
            records.append(Record(_name(image), (path, file), load))
    if not masks:
        raise DataError(f"{file}: no object of {', '.join(classes[1:])} has a mask (segmentation)")
    return Records(f"COCO instances of {split} in {folder}, {clean_up}", classes, records)


def _photograph(
    image: dict[str, Any],
    path: Path,
    found: Sequence[dict[str, Any]],
    labels: dict[int, int],
    keep_empty: bool,
) -> Iterator[Photograph]:
    name = _name(image)
    wanted = [
        (_box(entry), labels[entry["category_id"]], bool(entry.get("iscrowd")))
        for entry in found
        if entry["category_id"] in labels
    ]
    if not wanted and not keep_empty:
        raise Skip("no object of the classes" if found else "empty annotation", name)
    pixels = _read(image, path)
    yield Photograph(name, pixels, images.inside(Annotation.of(wanted), pixels, name))


def _cutouts(
    coco: COCO,
    image: dict[str, Any],
    path: Path,
    wanted: Sequence[dict[str, Any]],
    labels: dict[int, int],
    clean_up: CleanUp,
) -> Iterator[Cutout | Skip]:
    pixels = _read(image, path)
    for entry in wanted:
        name = f"{_name(image)}/{entry['id']}"
        if not entry.get("segmentation"):
            yield Skip("no mask", name)
            continue
        try:
            mask = coco.annToMask(entry).astype(bool)
        except (TypeError, ValueError, KeyError, IndexError):
            yield Skip("broken mask", name)
            continue
        label = labels[entry["category_id"]]
        yield clean_up.judge(Cutout(name, pixels, mask, label, _box(entry)))


def _open(folder: Path, split: str | None) -> tuple[str, COCO, Path]:
    """Find and read the annotations: the split, what was read, and the file."""
    files = sorted((folder / "annotations").glob("instances_*.json"))
    splits = {path.stem.removeprefix("instances_"): path for path in files}
    if not splits:
        raise DataError(
            f"{folder / 'annotations'}: has no instances_SPLIT.json; export your data as COCO, or "
            "get COCO's from cocodataset.org"
        )
    if split is None and len(splits) > 1:
        raise DataError(f"{folder}: has {', '.join(splits)}; name one of these splits")
    split = next(iter(splits)) if split is None else split
    if split not in splits:
        raise DataError(f"{folder}: has no split {split!r}, only {', '.join(splits)}")
    file = splits[split]
    try:
        # It reports on the standard output, beside the progress bars.
        with contextlib.redirect_stdout(io.StringIO()):
            coco = COCO(file)
        complete = all(coco.dataset.get(k) for k in ("images", "annotations", "categories"))
        complete = complete and all(len(entry["bbox"]) == 4 for entry in coco.anns.values())
    except (json.JSONDecodeError, UnicodeDecodeError, AssertionError, KeyError, TypeError) as error:
        raise DataError(f"{file}: is no COCO annotation file ({error!r})") from error
    if not complete:
        raise DataError(
            f"{file}: its images, annotations (with bbox) or categories are missing or empty"
        )
    return split, coco, file


def _images(
    coco: COCO, folder: Path, split: str
) -> Iterator[tuple[dict[str, Any], Path, list[dict[str, Any]]]]:
    """Give each image's entry, where it should be, and its annotations."""
    entries = [coco.imgs[number] for number in sorted(coco.imgs)]
    places = [folder / "images" / split, folder / "images", folder / split]
    first = entries[0]["file_name"]
    place = next((place for place in places if (place / first).is_file()), None)
    if place is None:
        raise DataError(f"{first}: is in none of {', '.join(map(str, places))}")
    for entry in entries:
        yield entry, place / entry["file_name"], coco.imgToAnns.get(entry["id"], [])


def _classes(
    coco: COCO, names: Sequence[str] | None, file: Path
) -> tuple[tuple[str, ...], dict[int, int]]:
    """The classes' names by label, and the labels by category id."""
    numbers = {coco.cats[number]["name"]: number for number in sorted(coco.cats)}
    names = list(numbers) if names is None else names
    if missing := [name for name in names if name not in numbers]:
        raise DataError(f"{file}: has no class {', '.join(missing)}, only {', '.join(numbers)}")
    labels = {numbers[name]: label for label, name in enumerate(names, 1)}
    return (BACKGROUND, *names), labels


def _read(image: dict[str, Any], path: Path) -> NDArray[np.uint8]:
    pixels = images.read(path, _name(image))
    if pixels.shape[:2] != (image.get("height"), image.get("width")):
        raise Skip("image and annotation differ in size", _name(image))
    return pixels


def _name(image: dict[str, Any]) -> str:
    return str(image["file_name"])


def _box(entry: dict[str, Any]) -> tuple[float, float, float, float]:
    x, y, width, height = entry["bbox"]
    return x, y, x + width, y + height
