"""BigBIRD, in its own or Cut-Paste-Learn's layout: objects on a turntable, with masks.

One folder per object, named after it. The layouts are confirmed by public code that reads them:
``OBJECT/NP1_0.jpg`` with ``OBJECT/masks/NP1_0_mask.pbm`` (BigBIRD's own; ``FCN/FCN.py`` of
zeldrinn/syndata-generation), and ``OBJECT/NP1_0.jpg`` with ``OBJECT/NP1_0.pbm`` beside it
(``dataset_generator.py`` of debidatta/syndata-generation). Masks are inverted in both: the object
is 0, its surroundings 255.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compositor.data import images, masks
from compositor.data.cleanup import DEFAULT, CleanUp
from compositor.data.read.walk import hidden, printable
from compositor.data.records import BACKGROUND, Cutout, Record, Records, Skip
from compositor.files import DataError

LAYOUTS = ("*/masks/*_mask.pbm", "*/*.pbm")
"""Where masks lie."""
WHERE = "unpack each object's rgbd.tgz there, from rll.berkeley.edu/bigbird"


def cutouts(
    folder: Path, names: Sequence[str] | None = None, clean_up: CleanUp = DEFAULT
) -> Records[Cutout]:
    """List all views of the objects.

    Args:
        folder: Holds one folder per object.
        names: The objects, labelled from 1; None: all of them, in alphabetical order.
        clean_up: Decides which views to leave out.

    Raises:
        DataError: The folder or an object's is missing or has no picture, or no picture has a mask.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: is not a folder; {WHERE}")
    left_out: dict[str, list[str]] = {}
    if names is None:
        folders = (path for path in folder.iterdir() if path.is_dir())
        objects = sorted(path for path in folders if not hidden(path.name))
        names = [path.name for path in objects if any(path.glob("*.jpg"))]
        if empty := [path.name for path in objects if path.name not in names]:
            left_out["folder without *.jpg"] = empty
    records = []
    any_mask = False
    for label, name in enumerate(names, 1):
        pictures = sorted((folder / name).glob("*.jpg"))
        if not pictures:
            raise DataError(f"{folder / name}: has no *.jpg; {WHERE}")
        for picture in pictures:
            mask = _mask(picture)
            any_mask = any_mask or mask.is_file()
            view = f"{name}/{picture.stem}"
            if printable(view) != view:
                left_out.setdefault("name that is not UTF-8", []).append(printable(view))
                continue
            load = partial(_load, view, picture, mask, label, clean_up)
            records.append(Record(view, (picture, mask), load))
    if not any_mask:
        raise DataError(f"{folder}: no OBJECT/*.jpg has a mask, masks/*_mask.pbm or *.pbm")
    return Records(f"objects in {folder}, {clean_up}", (BACKGROUND, *names), records, left_out)


def holds(folder: Path) -> bool:
    """Whether a folder has the masks of these layouts."""
    return any(any(folder.glob(masks)) for masks in LAYOUTS)


def below(folder: Path) -> list[Path]:
    """The folders in a folder that have inverted masks in these layouts."""
    return [
        place
        for place in sorted(path for path in folder.glob("*") if path.is_dir())
        if (mask := next((m for each in LAYOUTS for m in sorted(place.glob(each))), None))
        and _inverted(mask)
    ]


def _inverted(mask: Path) -> bool:
    try:
        return _surrounds(masks.levels_mask(images.read_levels(mask, mask.name), mask.name))
    except Skip:
        return False


def _surrounds(mask: NDArray[np.bool_]) -> bool:
    return bool(mask[[0, 0, -1, -1], [0, -1, 0, -1]].all())


def _load(
    name: str, picture: Path, mask: Path, label: int, clean_up: CleanUp
) -> Iterator[Cutout | Skip]:
    covered = ~masks.levels_mask(images.read_levels(mask, name), name)
    size = (covered.shape[0], covered.shape[1])
    pixels = images.read_annotated(picture, name, size, different="image and mask differ in size")
    if _surrounds(covered):
        raise Skip("mask is not inverted: wanted the object black", name)
    yield clean_up.judge(Cutout(name, pixels, covered, label))


def _mask(picture: Path) -> Path:
    own = picture.parent / "masks" / f"{picture.stem}_mask.pbm"
    return own if own.is_file() else picture.with_suffix(".pbm")
