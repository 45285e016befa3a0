"""What an annotated data set lists, and the records made of it: photographs, backgrounds, cut-outs.

Readers of COCO's, YOLO's and VOC's formats give a :class:`Listing`; the rest is the same for all.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compositor.data import images, masks
from compositor.data.cleanup import DEFAULT, CleanUp
from compositor.data.records import (
    BACKGROUND,
    Box,
    Cutout,
    Found,
    Ignored,
    Photograph,
    Record,
    Records,
    Skip,
)
from compositor.files import DataError, there

Labels = Mapping[str, int]
"""Labels by class name."""


class Instance(NamedTuple):
    """An annotation.

    Attributes:
        name: Its picture's name and its own id, unique in the file.
        category: The class's name.
        box: None if the file has no valid box.
        crowd: Whether it is several objects in one box.
        segmentation: As in the file, unchecked; a polygon may be an array.
    """

    name: str
    category: str
    box: Box | None
    crowd: bool
    segmentation: Any


class Listed(NamedTuple):
    """A picture.

    Attributes:
        name: As in the file.
        path: Where it should be.
        annotation: The file that annotates it.
        size: (H, W) as annotated; None if it is not known.
        instances: Its annotations, in the file's order.
        upright: Whether these follow the EXIF orientation; False: the size tells, if anything.
    """

    name: str
    path: Path
    annotation: Path
    size: tuple[int, int] | None
    instances: list[Instance]
    upright: bool = False


@dataclass(frozen=True)
class Listing:
    """What a data set lists.

    Attributes:
        path: The file that describes it.
        categories: The classes' names, in the order of their ids.
        ids: Their ids by name, as far as these are numbers.
        pictures: The pictures, in the order of their ids.
        left_out: Names of whatever could not be matched, by reason.
        format: What descriptions call it.
        ignored: What its crowds are.
    """

    path: Path
    categories: tuple[str, ...]
    ids: Mapping[str, int]
    pictures: list[Listed]
    left_out: Mapping[str, Sequence[str]]
    format: str = "COCO"
    ignored: Ignored = "crowd"


def photographs(
    listing: Listing,
    names: Sequence[str] | None = None,
    keep_empty: bool = False,
    absent: bool = False,
    with_masks: bool = False,
) -> Records[Photograph]:
    """List the photographs.

    Args:
        listing: As :func:`compositor.data.read.layouts.find` gives it.
        names: The classes to detect, labelled from 1; None: all, in the order of their ids.
        keep_empty: Keep images without an object of these classes, in which AP counts detections.
        absent: The names were learnt from another listing: a class that this one lacks is untested,
            and one that only this one has is left out.
        with_masks: Decode the objects' masks, too.

    Raises:
        DataError: A class is not listed, or, with ``absent``, none is.
    """
    left_out = dict(listing.left_out)
    if absent and names is not None and set(names) & set(listing.categories):
        if others := [name for name in listing.categories if name not in names]:
            left_out["class that is not learnt"] = others
        classes, labels = _labelled(names)
    else:
        classes, labels = _classes(listing, names)
    records = [
        Record(
            picture.name,
            (picture.path, picture.annotation),
            partial(_photograph, picture, labels, keep_empty, with_masks),
        )
        for picture in listing.pictures
    ]
    kept = "with" if keep_empty else "without"
    source = f"{listing.format} {listing.path}, {kept} empty images"
    return Records(source, classes, records, left_out, listing.ignored, listing.ids)


def backgrounds(listing: Listing, without: Sequence[str] = ("person",)) -> Records[Photograph]:
    """List the photographs that show nothing of these classes, as backgrounds to paste on.

    Args:
        listing: As :func:`compositor.data.read.layouts.find` gives it.
        without: The classes to exclude, crowds included: pasted objects are then the only ones.

    Raises:
        DataError: A class is not listed, or all images show one.
    """
    _, labels = _classes(listing, without)
    records: list[Record[Photograph]] = []
    shown = []
    for picture in listing.pictures:
        if any(instance.category in labels for instance in picture.instances):
            shown.append(picture.name)
        else:
            load = partial(_photograph, picture, {}, True)
            records.append(Record(picture.name, (picture.path, picture.annotation), load))
    if not records:
        raise DataError(f"{listing.path}: has no image without {', '.join(without)}")
    left_out = dict(listing.left_out) | ({f"shows {' or '.join(without)}": shown} if shown else {})
    source = f"{listing.format} {listing.path}, images without {', '.join(without)}"
    return Records(source, (BACKGROUND,), records, left_out)


def cutouts(
    listing: Listing, names: Sequence[str] | None = None, clean_up: CleanUp = DEFAULT
) -> Records[Cutout]:
    """List the instances that have masks (polygons or run lengths), crowds left out.

    Args:
        listing: As :func:`compositor.data.read.layouts.find` gives it.
        names: The classes to cut out, labelled from 1; None: all, in the order of their ids.
        clean_up: Decides which objects to leave out.

    Raises:
        DataError: A class is not listed, or nothing there has a mask.
    """
    classes, labels = _classes(listing, names)
    records: list[Record[Cutout]] = []
    any_mask = False
    for picture in listing.pictures:
        wanted = [instance for instance in picture.instances if instance.category in labels]
        any_mask = any_mask or any(i.segmentation and not i.crowd for i in wanted)
        load = partial(_cutouts, picture, wanted, labels, clean_up)
        records.append(Record(picture.name, (picture.path, picture.annotation), load))
    if not any_mask:
        wanted_names = ", ".join(classes[1:])
        raise DataError(
            f"{listing.path}: no object of {wanted_names} has a mask (segmentation), and a box "
            "cannot be cut out; wanted masks, or a folder of cut-outs as --cutouts"
        )
    source = f"{listing.format} instances of {listing.path}, {clean_up}"
    return Records(source, classes, records, listing.left_out, "crowd", listing.ids)


def _photograph(
    picture: Listed, labels: Labels, keep_empty: bool, with_masks: bool = False
) -> Iterator[Photograph | Skip]:
    found = [
        Found(instance.name, instance.box, labels[instance.category], instance.crowd)
        for instance in picture.instances
        if instance.category in labels
    ]
    if not found and not keep_empty:
        raise _without_objects(picture)
    pixels = _pixels(picture, bool(found))
    if with_masks:
        segmentations = [i.segmentation for i in picture.instances if i.category in labels]
        size = (pixels.shape[0], pixels.shape[1])
        for n, segmentation in enumerate(segmentations):
            try:
                mask, _ = masks.decode(segmentation, size, found[n].name)
                found[n] = found[n]._replace(mask=mask)
            except Skip:  # the object keeps its box
                continue
    yield from images.with_objects(picture.name, pixels, found, keep_empty)


def _cutouts(
    picture: Listed, wanted: Sequence[Instance], labels: Labels, clean_up: CleanUp
) -> Iterator[Cutout | Skip]:
    if not wanted:
        raise _without_objects(picture)
    pixels = _pixels(picture)
    size = (pixels.shape[0], pixels.shape[1])
    for name, category, box, crowd, segmentation in wanted:
        if crowd:
            yield Skip("crowd", name)
            continue
        if not segmentation:
            yield Skip("no mask", name)
            continue
        try:
            images.clipped(box, pixels, name)
            mask, whole = masks.decode(segmentation, size, name)
        except Skip as skip:
            yield skip
            continue
        if not whole:
            yield Skip("broken part of a mask", name)
        yield clean_up.judge(Cutout(name, pixels, mask, labels[category], box))


def _pixels(picture: Listed, objects: bool = True) -> NDArray[np.uint8]:
    if not picture.upright:
        return images.read_annotated(picture.path, picture.name, picture.size, objects)
    pixels = images.read(picture.path, picture.name)
    if pixels.shape[:2] != picture.size:  # it has changed since it was listed
        raise Skip(images.DIFFERENT, picture.name)
    return pixels


def _without_objects(picture: Listed) -> Skip:
    found = "no object of the classes" if picture.instances else "empty annotation"
    return Skip(found, picture.name)


def _classes(listing: Listing, names: Sequence[str] | None) -> tuple[tuple[str, ...], Labels]:
    """Class names by label, and labels by class name."""
    names = listing.categories if names is None else names
    if missing := [name for name in names if name not in listing.categories]:
        known = ", ".join(listing.categories)
        raise DataError(f"{listing.path}: has no class {', '.join(missing)}, only {known}")
    return _labelled(names)


def _labelled(names: Sequence[str]) -> tuple[tuple[str, ...], Labels]:
    return (BACKGROUND, *names), {name: label for label, name in enumerate(names, 1)}


def place(path: Path, names: Sequence[str], folders: Sequence[Path]) -> Path:
    """The folder that holds most of the pictures of an annotation file, the first of equals.

    Raises:
        DataError: None of the folders holds any.
    """
    found = {folder: sum(there(folder / name) for name in names) for folder in folders}
    folder = max(found, key=lambda folder: found[folder])
    if not found[folder]:
        raise DataError(
            f"{path}: none of its {len(names)} pictures, such as {names[0]}, is in "
            f"{' or '.join(map(str, folders))}"
        )
    return folder
