"""COCO and data sets in its format: photographs, backgrounds, and objects cut out by masks."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from compositor.data import images, masks
from compositor.data.cleanup import DEFAULT, CleanUp
from compositor.data.read.coco_file import COCOFile, Instance, Listed
from compositor.data.records import (
    BACKGROUND,
    Cutout,
    Found,
    Photograph,
    Record,
    Records,
    Skip,
)
from compositor.files import DataError

Labels = Mapping[str, int]
"""Labels by class name."""


def photographs(
    file: COCOFile,
    names: Sequence[str] | None = None,
    keep_empty: bool = False,
    absent: bool = False,
    with_masks: bool = False,
) -> Records[Photograph]:
    """List the photographs of a file.

    Args:
        file: As :func:`compositor.data.read.coco_layouts.find` gives it.
        names: The classes to detect, labelled from 1; None: all, in the order of their ids.
        keep_empty: Keep images without an object of these classes, in which AP counts detections.
        absent: The names were learnt from another file: a class that this file lacks is untested,
            and one that only this file has is left out.
        with_masks: Decode the objects' masks, too.

    Raises:
        DataError: A class is not in the file, or, with ``absent``, none is.
    """
    left_out = dict(file.left_out)
    if absent and names is not None and set(names) & set(file.categories):
        if others := [name for name in file.categories if name not in names]:
            left_out["class that is not learnt"] = others
        classes, labels = _labelled(names)
    else:
        classes, labels = _classes(file, names)
    records = [
        Record(
            picture.name,
            (picture.path, file.path),
            partial(_photograph, picture, labels, keep_empty, with_masks),
        )
        for picture in file.pictures
    ]
    kept = "with" if keep_empty else "without"
    source = f"COCO {file.path}, {kept} empty images"
    return Records(source, classes, records, left_out, "crowd", file.ids)


def backgrounds(file: COCOFile, without: Sequence[str] = ("person",)) -> Records[Photograph]:
    """List the photographs that show nothing of these classes, as backgrounds to paste on.

    Args:
        file: As :func:`compositor.data.read.coco_layouts.find` gives it.
        without: The classes to exclude, crowds included: pasted objects are then the only ones.

    Raises:
        DataError: A class is not in the file, or all images show one.
    """
    _, labels = _classes(file, without)
    records: list[Record[Photograph]] = []
    shown = []
    for picture in file.pictures:
        if any(instance.category in labels for instance in picture.instances):
            shown.append(picture.name)
        else:
            load = partial(_photograph, picture, {}, True)
            records.append(Record(picture.name, (picture.path, file.path), load))
    if not records:
        raise DataError(f"{file.path}: has no image without {', '.join(without)}")
    left_out = dict(file.left_out) | ({f"shows {' or '.join(without)}": shown} if shown else {})
    source = f"COCO {file.path}, images without {', '.join(without)}"
    return Records(source, (BACKGROUND,), records, left_out)


def cutouts(
    file: COCOFile, names: Sequence[str] | None = None, clean_up: CleanUp = DEFAULT
) -> Records[Cutout]:
    """List the instances of a file that have masks (polygons or run lengths), crowds left out.

    Args:
        file: As :func:`compositor.data.read.coco_layouts.find` gives it.
        names: The classes to cut out, labelled from 1; None: all, in the order of their ids.
        clean_up: Decides which objects to leave out.

    Raises:
        DataError: A class is not in the file, or nothing there has a mask.
    """
    classes, labels = _classes(file, names)
    records: list[Record[Cutout]] = []
    any_mask = False
    for picture in file.pictures:
        wanted = [instance for instance in picture.instances if instance.category in labels]
        any_mask = any_mask or any(i.segmentation and not i.crowd for i in wanted)
        load = partial(_cutouts, picture, wanted, labels, clean_up)
        records.append(Record(picture.name, (picture.path, file.path), load))
    if not any_mask:
        wanted_names = ", ".join(classes[1:])
        raise DataError(f"{file.path}: no object of {wanted_names} has a mask (segmentation)")
    source = f"COCO instances of {file.path}, {clean_up}"
    return Records(source, classes, records, file.left_out, "crowd", file.ids)


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
    pixels = images.read_annotated(picture.path, picture.name, picture.size, bool(found))
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
    pixels = images.read_annotated(picture.path, picture.name, picture.size)
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


def _without_objects(picture: Listed) -> Skip:
    found = "no object of the classes" if picture.instances else "empty annotation"
    return Skip(found, picture.name)


def _classes(file: COCOFile, names: Sequence[str] | None) -> tuple[tuple[str, ...], Labels]:
    """Class names by label, and labels by class name."""
    names = file.categories if names is None else names
    if missing := [name for name in names if name not in file.categories]:
        raise DataError(
            f"{file.path}: has no class {', '.join(missing)}, only {', '.join(file.categories)}"
        )
    return _labelled(names)


def _labelled(names: Sequence[str]) -> tuple[tuple[str, ...], Labels]:
    return (BACKGROUND, *names), {name: label for label, name in enumerate(names, 1)}
