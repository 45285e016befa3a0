"""Pictures with masks in files of their own: ``CLASS/a.jpg`` and ``CLASS/a.png``, or ``masks/``."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from compositor.data import images, masks
from compositor.data.cleanup import DEFAULT, CleanUp
from compositor.data.images import SUFFIXES
from compositor.data.records import BACKGROUND, Cutout, Record, Records, Skip
from compositor.files import DataError, there

ENDINGS = ("", "_mask", "-mask", ".mask")
"""What a mask's name adds to its picture's."""


def pairs(folder: Path) -> list[tuple[Path, Path]]:
    """All pictures in a folder and its sub-folders that have a mask, with it.

    The mask of ``a.jpg`` is ``a.png`` or ``a.pbm``, ``a_mask.png`` and the like, beside it or in a
    sub-folder ``masks``. Where only the suffix differs, a JPEG is never a mask.
    """
    if not folder.is_dir():
        return []
    found = []
    for picture in sorted(path for path in folder.rglob("*") if there(path)):
        known = picture.suffix.lower() in SUFFIXES and picture.parent.name != "masks"
        if known and (mask := _mask(picture)):
            found.append((picture, mask))
    taken = {mask for _, mask in found}
    return [pair for pair in found if pair[0] not in taken]


def cutouts(folder: Path, clean_up: CleanUp = DEFAULT) -> Records[Cutout]:
    """List the objects, white in masks of two levels.

    Args:
        folder: Sub-folders are classes, labelled from 1 in alphabetical order; without any, the
            folder is the class.
        clean_up: Decides which objects to leave out.

    Raises:
        DataError: No picture has a mask.
    """
    listed = pairs(folder)
    if not listed:
        raise DataError(f"{folder}: has no picture with a mask beside it or in masks/")
    kinds = {picture: _kind(picture, folder) for picture, _ in listed}
    names = sorted(set(kinds.values()))
    records = []
    for picture, mask in listed:
        name, label = str(picture.relative_to(folder)), names.index(kinds[picture]) + 1
        load = partial(_load, name, picture, mask, label, clean_up)
        records.append(Record(name, (picture, mask), load))
    return Records(f"pictures with masks in {folder}", (BACKGROUND, *names), records)


def _load(
    name: str, picture: Path, mask: Path, label: int, clean_up: CleanUp
) -> Iterator[Cutout | Skip]:
    shown = masks.levels_mask(images.read_levels(mask, name), name)
    size = (shown.shape[0], shown.shape[1])
    pixels = images.read_annotated(picture, name, size, different="image and mask differ in size")
    yield clean_up.judge(Cutout(name, pixels, shown, label))


def _mask(picture: Path) -> Path | None:
    for place in (picture.parent, picture.parent / "masks", picture.parents[1] / "masks"):
        for ending in ENDINGS:
            for suffix in (".png", ".pbm", ".bmp", ".tif", ".tiff"):
                mask = place / f"{picture.stem}{ending}{suffix}"
                if mask != picture and there(mask):
                    return mask
    return None


def _kind(picture: Path, folder: Path) -> str:
    parts = picture.relative_to(folder).parts[:-1]
    return parts[0] if parts and parts[0] != "images" else folder.resolve().name
