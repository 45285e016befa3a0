"""Pictures with masks in files of their own: ``CLASS/a.jpg`` and ``CLASS/a.png``, or ``masks/``."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path

from compositor.data import images, masks
from compositor.data.cleanup import DEFAULT, CleanUp
from compositor.data.images import SUFFIXES
from compositor.data.read import walk
from compositor.data.records import BACKGROUND, Cutout, Record, Records, Skip
from compositor.files import DataError, there

ENDINGS = ("", "_mask", "-mask", ".mask")
"""What a mask's name adds to its picture's."""
LOSSLESS = (".png", ".pbm", ".bmp", ".tif", ".tiff")
JPEG = (".jpg", ".jpeg")
NAMINGS = (
    "of a.jpg: a.png, a_mask.png, a-mask.png or a.mask.png (also .pbm, .bmp, .tif, and .jpg unless "
    "of the same name), beside it or in masks/, and masks/CLASS/ of images/CLASS/"
)
"""Which masks are looked for."""


def pairs(folder: Path) -> list[tuple[Path, Path]]:
    """All pictures in a folder and its sub-folders that have a mask, with it.

    The mask is one of :data:`NAMINGS`, in upper or lower case. Where only the suffix differs, a
    JPEG is never a mask.
    """
    if not folder.is_dir():
        return []

    @cache
    def names(place: Path) -> Mapping[str, str]:
        """The names of a folder's files, by themselves and in lower case."""
        try:
            listed = sorted(os.listdir(place))
        except OSError:
            return {}
        return {name.lower(): name for name in reversed(listed)} | {name: name for name in listed}

    found = []
    for picture in walk.files(folder)[0]:
        within = picture.relative_to(folder).parts[:-1]
        known = picture.suffix.lower() in SUFFIXES and "masks" not in within
        if known and (mask := _mask(picture, folder, names)):
            found.append((picture, mask))
    taken = {mask for _, mask in found}
    return [pair for pair in found if pair[0] not in taken]


def cutouts(
    folder: Path,
    clean_up: CleanUp = DEFAULT,
    listed: Sequence[tuple[Path, Path]] | None = None,
) -> Records[Cutout]:
    """List the objects, white in masks of two levels, or with a soft edge.

    Args:
        folder: Sub-folders are classes, labelled from 1 in alphabetical order; without any, the
            folder is the class.
        clean_up: Decides which objects to leave out.
        listed: What :func:`pairs` returned, to save listing it again.

    Raises:
        DataError: No picture has a mask.
    """
    listed = pairs(folder) if listed is None else listed
    if not listed:
        raise DataError(f"{folder}: has no picture with a mask (looked for, {NAMINGS})")
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


def _mask(picture: Path, folder: Path, names: Callable[[Path], Mapping[str, str]]) -> Path | None:
    places = [picture.parent, picture.parent / "masks", picture.parent.parent / "masks"]
    for above in picture.parents:
        if above.name == "images":
            places.append(above.parent / "masks" / picture.parent.relative_to(above))
        if above == folder:
            break
    for place in places:
        for ending in ENDINGS:
            beside = place == picture.parent and not ending
            for suffix in LOSSLESS if beside else LOSSLESS + JPEG:
                wanted = f"{picture.stem}{ending}{suffix}"
                name = names(place).get(wanted) or names(place).get(wanted.lower())
                if name and place / name != picture and there(place / name):
                    return place / name
    return None


def _kind(picture: Path, folder: Path) -> str:
    parts = picture.relative_to(folder).parts[:-1]
    parts = parts[1:] if parts and parts[0] == "images" else parts
    return parts[0] if parts else folder.resolve().name
