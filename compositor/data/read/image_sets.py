"""VOC's image sets: text files in ``ImageSets`` with a picture a line, its name without suffix."""

import re
from pathlib import Path
from typing import Literal

from compositor.files import lines

Task = Literal["Main", "Segmentation"]
WHOLE = ("trainval", "train", "val", "test")
"""The usual sets, of all classes."""
# CVAT quotes names with spaces; a second column says whether a class is present.
LINE = re.compile(r'\s*("?)(.+?)\1(\s+(?:-1|0|1))?\s*')


def file(folder: Path, task: str, name: str) -> Path:
    """Where a set of a folder is."""
    return folder / "ImageSets" / task / f"{name}.txt"


def names(folder: Path, task: str) -> list[str]:
    """The sets of a folder's ``ImageSets``, the usual ones first; none of those of one class, such
    as dog_train, which list the pictures of train again."""
    found = {file.stem: file for file in (folder / "ImageSets" / task).glob("*.txt")}
    kept = [
        name
        for name, file in found.items()
        if name.rpartition("_")[2] not in found.keys() - {name} or not _of_a_class(file)
    ]
    return sorted(kept, key=lambda name: (name not in WHOLE, name))


def identifiers(path: Path) -> list[str]:
    """What a set lists, each name once.

    Raises:
        DataError: It is not text, or cannot be read.
    """
    found = _columns(path)
    # Without a column, a name may end in a number: my dog 1, my dog 2.
    column = all(present for _, _, present in found)
    names = [name if quote or column else name + present for quote, name, present in found]
    return list(dict.fromkeys(names))


def _columns(path: Path) -> list[tuple[str, ...]]:
    """Of each line a quote, if there is one, the name, and what may be the second column."""
    return [match.groups("") for line in lines(path) if (match := LINE.fullmatch(line))]


def _of_a_class(path: Path) -> bool:
    """Whether a set has a second column."""
    found = _columns(path)
    return bool(found) and all(present for _, _, present in found)
