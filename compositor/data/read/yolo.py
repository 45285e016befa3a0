"""YOLO's format in Ultralytics' layout: ``data.yaml``, pictures, and text files of their labels.

``data.yaml`` names the classes, and for each split a folder of pictures, a text file that lists
them, or several of these. A picture's labels are where it is, with the last folder ``images`` of
its path called ``labels``; without a file, or with an empty one, it shows no object. A line is an
object: its class, and shares of the picture's sides, which are its box's centre and size, or, if
there are more than four, a polygon's points. Like Ultralytics, this takes pictures as their EXIF
orientation turns them, shares that are off by 1 %, and a line that comes twice once. The four
corners of a box are a box: a polygon like that is how an object without a mask is written.
"""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from compositor.data import images
from compositor.data.images import SUFFIXES
from compositor.data.read import walk
from compositor.data.read.listing import Instance, Listed, Listing, place
from compositor.data.records import LeftOut, Skip
from compositor.files import DataError, lines, number, text, there

YAML = (".yaml", ".yml")
SPLITS = ("train", "val", "test")
ROUNDING = 0.01
"""Most by which a share may lie outside [0, 1]; Ultralytics has the same."""


def file(path: Path) -> Path | None:
    """The file that describes the data set at a path: itself, or ``data.yaml`` in it, if any."""
    found = path if path.suffix.lower() in YAML else path / "data.yaml"
    return found if there(found) else None


def read(path: Path, splits: Sequence[str] | None = None) -> Listing:
    """Read and check the labels of some splits, each picture once.

    Args:
        path: ``data.yaml``, by whatever name.
        splits: Some of those that it describes; None: all.

    Raises:
        DataError: A file is not in YOLO's format, a split has no picture, or no picture has labels.
    """
    data = describe(path)
    left_out: defaultdict[str, list[str]] = defaultdict(list)
    found: dict[Path, Path] = {}
    for split in data.splits if splits is None else splits:
        for entry in data.splits[split]:
            pictures, others = _pictures(entry, data.root)
            found |= {picture: _labels(picture) for picture in pictures}
            for reason, names in others.items():
                left_out[reason] += names
    if not any(map(there, found.values())):
        first, labels = next(iter(found.items()))
        raise DataError(
            f"{path}: none of its {len(found)} pictures has a file of labels, such as {labels} of "
            f"{first}"
        )
    left_out["file of labels without a picture"] += _alone(found, data.root)
    repeated = left_out["line that repeats another"]
    above = Path(os.path.commonpath([data.root, *found]))
    listed = [
        _listed(str(picture.relative_to(above)), picture, labels, data.names, repeated)
        for picture, labels in found.items()
    ]
    title = " ".join(("YOLO", *(splits or ())))
    lost = {reason: names for reason, names in left_out.items() if names}
    return Listing(path, tuple(dict.fromkeys(data.names)), {}, listed, lost, title)


@dataclass(frozen=True)
class Description:
    """What a ``data.yaml`` says.

    Attributes:
        root: The folder that its paths are relative to.
        names: The classes' names, by their numbers.
        splits: Folders of pictures, and text files that list them, by split.
    """

    root: Path
    names: list[str]
    splits: dict[str, list[Path]]


def describe(path: Path) -> Description:
    """Read a ``data.yaml``; a split with the pictures of one before is left out.

    Raises:
        DataError: It is not one, or what it names is not there.
    """
    try:
        # Every value stays a string: a class may be called no, or 7.
        content = yaml.load(path.read_bytes(), yaml.BaseLoader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise DataError(f"{path}: is not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict) or not content.get("names"):
        raise DataError(f"{path}: has no names, wanted those of the classes")
    if "kpt_shape" in content:
        raise DataError(f"{path}: has kpt_shape, but labels of poses are not read")
    # A data set that was moved has its old path.
    roots = [path.parent / str(content.get("path") or ""), path.parent]
    roots = [Path(os.path.abspath(root)) for root in roots if root.is_dir()]
    splits: dict[str, list[Path]] = {}
    for split in SPLITS:
        given = content.get(split) or []
        entries = [_found(each, roots) for each in (given if isinstance(given, list) else [given])]
        if missing := [entry for entry in entries if not entry.exists()]:
            if split == "test":  # Roboflow names one even if it has no picture
                continue
            raise DataError(
                f"{path}: {split}: got {given}, wanted folders of pictures or text files that list "
                f"them, but {missing[0]} is not there"
            )
        if entries and entries not in splits.values():
            splits[split] = entries
    if not splits:
        raise DataError(f"{path}: has none of {', '.join(SPLITS)}")
    return Description(roots[0], _names(content["names"], path), splits)


def _names(given: Any, path: Path) -> list[str]:
    numbered = given if isinstance(given, dict) else dict(enumerate(given))
    names = {str(key): name for key, name in numbered.items()}
    found = [names.get(str(n)) or "" for n in range(len(names))]
    if isinstance(given, str) or not all(isinstance(name, str) and name for name in found):
        raise DataError(
            f"{path}: names: got {given}, wanted a list, or names by the numbers from 0 on"
        )
    return found


def _found(given: Any, roots: Sequence[Path]) -> Path:
    """A folder or a text file; the first place to look if it is in none."""
    # Roboflow's paths lead out of the folder that they are in.
    names = str(given), str(given).removeprefix("../")
    places = [Path(os.path.normpath(root / name)) for root in roots for name in names]
    return next((place for place in places if place.exists()), places[0])


def _pictures(entry: Path, root: Path) -> tuple[list[Path], LeftOut]:
    if not entry.is_dir():
        names = [line.strip().replace("\\", "/") for line in lines(entry)]
        if not names:
            raise DataError(f"{entry}: lists no picture")
        folder = place(entry, names, [entry.parent, root])
        return [Path(os.path.normpath(folder / name)) for name in names], {}
    pictures, left_out = walk.pictures(entry)
    # Labels may lie beside the pictures.
    return pictures, {
        reason: [name for name in lost if not name.endswith(".txt")]
        for reason, lost in left_out.items()
    }


def _labels(picture: Path) -> Path:
    """The file of a picture's labels."""
    *folders, name = picture.with_suffix(".txt").parts
    if "images" in folders:
        last = len(folders) - 1 - folders[::-1].index("images")
        folders[last] = "labels"
    return Path(*folders, name)


def _alone(found: Mapping[Path, Path], root: Path) -> list[str]:
    """Files beside the labels that are no picture's."""
    folders = {labels.parent: picture.parent for picture, labels in found.items()}
    alone = []
    for folder, pictures in folders.items():
        if folder != pictures and pictures.is_dir():
            known = {each.stem for each in pictures.iterdir() if each.suffix.lower() in SUFFIXES}
            alone += [path for path in folder.glob("*.txt") if path.stem not in known]
    return sorted(walk.printable(os.path.relpath(path, root)) for path in alone)


def _listed(
    name: str, picture: Path, labels: Path, names: Sequence[str], repeated: list[str]
) -> Listed:
    try:
        size = images.size(picture, name)
    except Skip:  # loading it will say why
        return Listed(name, picture, labels, None, [], upright=True)
    instances: dict[tuple[float, ...], Instance] = {}
    for row, line in enumerate(text(labels).splitlines() if there(labels) else (), 1):
        if values := line.split():
            own, key = f"{name}/{row}", _checked(values, f"{labels}:{row}", len(names))
            if key in instances:
                repeated.append(own)
            else:
                instances[key] = _instance(own, names[int(key[0])], key[1:], size)
    return Listed(name, picture, labels, size, list(instances.values()), upright=True)


def _checked(values: Sequence[str], where: str, classes: int) -> tuple[float, ...]:
    """The class and the shares of a line.

    Raises:
        DataError: They are not an object's.
    """
    numbers = [number(value) for value in values]
    if numbers[0] is None or numbers[0] not in range(classes):
        raise DataError(f"{where}: got the class {values[0]!r}, wanted 0 to {classes - 1}")
    count = len(values) - 1
    if count != 4 and (count < 6 or count % 2):
        raise DataError(
            f"{where}: got {count} numbers after the class, wanted 4 of a box, or 2 of each of 3 "
            "points or more"
        )
    for value, share in zip(values[1:], numbers[1:], strict=True):
        if share is None or not -ROUNDING <= share <= 1 + ROUNDING:
            raise DataError(
                f"{where}: got {value!r}, wanted a share of the picture's side, in [0, 1]"
            )
    return tuple(share for share in numbers if share is not None)


def _instance(name: str, category: str, shares: Sequence[float], size: tuple[int, int]) -> Instance:
    height, width = size
    if len(shares) == 4:
        x, y, half_x, half_y = (shares[0], shares[1], shares[2] / 2, shares[3] / 2)
        box = (
            (x - half_x) * width,
            (y - half_y) * height,
            (x + half_x) * width,
            (y + half_y) * height,
        )
        return Instance(name, category, box, False, None)
    xs, ys = [x * width for x in shares[::2]], [y * height for y in shares[1::2]]
    box = min(xs), min(ys), max(xs), max(ys)
    points = list(zip(xs, ys, strict=True))
    corners = {(x, y) for x in (box[0], box[2]) for y in (box[1], box[3])}
    # A quarter of a list's memory, which counts in a large data set.
    outline = np.array(points).ravel()
    return Instance(name, category, box, False, None if {*points} == corners else [outline])
