"""Pascal VOC 2007 and 2012: photographs with boxes, and people cut out by their instance masks.

The layout is that of the development kit: ``VOCdevkit/VOC20xx/{JPEGImages, Annotations,
SegmentationObject, ImageSets/{Main, Segmentation}}``. Boxes in the files are 1-based and include
the last pixel; here they are 0-based and exclude it.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compositor.data import images
from compositor.data.cleanup import DEFAULT, CleanUp
from compositor.data.read import image_sets
from compositor.data.read.image_sets import Task
from compositor.data.read.voc_xml import read_objects
from compositor.data.records import (
    BACKGROUND,
    Cutout,
    Found,
    Photograph,
    Record,
    Records,
    Skip,
)
from compositor.files import DataError, there

WHERE = "unpack VOCtrainval and VOCtest there, from host.robots.ox.ac.uk/pascal/VOC"
VOID = 255
"""The border between objects in ``SegmentationObject``, which belongs to neither."""
Set = tuple[str, str]
"""A year and an image set, such as ("2007", "trainval")."""


def photographs(
    folder: Path,
    sets: Sequence[Set],
    names: Sequence[str] = ("person",),
    keep_empty: bool = False,
    with_masks: bool = False,
    task: Task = "Main",
) -> Records[Photograph]:
    """List the photographs of image sets in ``ImageSets/Main``.

    Args:
        folder: ``VOCdevkit``.
        sets: Years and image sets, read in order.
        names: The classes to detect, labelled from 1; objects of other classes are background.
        keep_empty: Keep images without an object of these classes, in which AP counts detections.
        with_masks: Decode the objects' masks, too, where ``SegmentationObject`` has them.
        task: The folder in ``ImageSets``.

    Raises:
        DataError: A folder or an image set is missing or empty.
    """
    classes = (BACKGROUND, *names)
    records = []
    for year, identifier, root in _identifiers(folder, sets, task, ("JPEGImages", "Annotations")):
        image = _picture(root, identifier)
        annotation = root / "Annotations" / f"{identifier}.xml"
        name = f"VOC{year}/{identifier}"
        segmentation = root / "SegmentationObject" / f"{identifier}.png"
        files: tuple[Path, ...] = (image, annotation)
        if with_masks and there(segmentation):
            files = (*files, segmentation)
        load = partial(load_photograph, name, image, annotation, classes, keep_empty, *files[2:])
        records.append(Record(name, files, load))
    kept = "with" if keep_empty else "without"
    return Records(f"VOC {_describe(sets)} in {folder}, {kept} empty images", classes, records)


def cutouts(
    folder: Path,
    sets: Sequence[Set],
    names: Sequence[str] = ("person",),
    clean_up: CleanUp = DEFAULT,
) -> Records[Cutout]:
    """List the instance masks of image sets in ``ImageSets/Segmentation``, cleaned up.

    The masks carry no class; each gets that of the annotated box that overlaps its tight box most,
    one mask per box (the paper's section A.2 and figure 10).

    Args:
        folder: ``VOCdevkit``.
        sets: Years and image sets, read in order.
        names: The classes to cut out, labelled from 1.
        clean_up: Decides which objects to leave out.

    Raises:
        DataError: A folder or an image set is missing or empty.
    """
    labels = {known: label for label, known in enumerate(names, 1)}
    records = []
    needed = ("JPEGImages", "Annotations", "SegmentationObject")
    for year, identifier, root in _identifiers(folder, sets, "Segmentation", needed):
        files = (
            _picture(root, identifier),
            root / "Annotations" / f"{identifier}.xml",
            root / "SegmentationObject" / f"{identifier}.png",
        )
        title = f"VOC{year}/{identifier}"
        load = partial(_load_cutouts, title, *files, labels, clean_up)
        records.append(Record(title, files, load))
    source = f"VOC {_describe(sets)} in {folder}, instances of {', '.join(names)}, {clean_up}"
    return Records(source, (BACKGROUND, *names), records)


def listed(path: Path, task: Task = "Main") -> tuple[Path, list[Set]]:
    """Find the VOCdevkit at a path, and its image sets by year, of all classes, the usual first.

    Args:
        path: ``VOCdevkit``, the folder that it is in, or a ``VOC20xx`` in it.
        task: The folder in ``ImageSets``.
    """
    path = Path(os.path.abspath(path))  # its name counts, and . has none
    root = path / "VOCdevkit" if (path / "VOCdevkit").is_dir() else path
    if path.name.startswith("VOC") and (path / "ImageSets").is_dir():
        root = path.parent
    sets: list[Set] = []
    for place in [path] if root == path.parent else sorted(root.glob("VOC*")):
        year = place.name.removeprefix("VOC")
        sets += [(year, name) for name in image_sets.names(place, task)]
    return root, sets


def kinds(folder: Path, sets: Sequence[Set]) -> list[str]:
    """The classes that image sets annotate, in alphabetical order.

    Raises:
        DataError: An image set is missing, or none annotates an object.
    """
    found = set()
    for year, name in sets:
        root = folder / f"VOC{year}"
        both = [image_sets.file(root, task, name) for task in ("Main", "Segmentation")]
        listed = [file for file in both if file.is_file()]
        if not listed:
            raise DataError(f"{both[0]}: is missing, as is Segmentation/{name}.txt; {WHERE}")
        for each in {each for file in listed for each in image_sets.identifiers(file)}:
            file = root / "Annotations" / f"{each}.xml"
            try:
                found |= {one.kind for one in read_objects(file, file.stem)[1]}
            except Skip:  # counted when the picture is loaded
                continue
    found -= {BACKGROUND, ""}  # an object without a name is of no class
    if not found:
        raise DataError(f"{folder}: annotates no object of a class")
    return sorted(found)


def load_photograph(
    name: str,
    image: Path,
    annotation: Path,
    classes: Sequence[str],
    keep_empty: bool,
    segmentation: Path | None = None,
) -> Iterator[Photograph | Skip]:
    """Read a photograph and its VOC XML, a format that other data sets use too, and perhaps the
    masks of its objects."""
    size, objects = read_objects(annotation, name)
    labels = {known: label for label, known in enumerate(classes)}
    found = [
        Found(title, box, labels[kind], difficult)
        for title, kind, box, difficult in objects
        if kind in labels
    ]
    if not found and not keep_empty:
        raise _without_objects(objects, name)
    pixels = images.read_annotated(image, name, size, bool(found))
    if segmentation is not None:
        found = _with_masks(found, segmentation, (pixels.shape[0], pixels.shape[1]), name)
    yield from images.with_objects(name, pixels, found, keep_empty)


def _with_masks(
    found: Sequence[Found], segmentation: Path, size: tuple[int, int], name: str
) -> list[Found]:
    """Objects with their masks; those without a mask of their own, or all if the file cannot be
    used, keep their boxes."""
    try:
        indices, numbers = _numbered(segmentation, name)
    except Skip:
        return list(found)
    known = [n for n, each in enumerate(found) if each.box is not None]
    if indices.shape != size or not numbers or not known:
        return list(found)
    tight = np.array([images.box_of(indices == n) for n in numbers], np.float32)
    matches = _match(tight, np.array([found[n].box for n in known], np.float32))
    masks = {known[m]: indices == n for n, m in zip(numbers, matches, strict=True) if m is not None}
    return [each._replace(mask=masks.get(n)) for n, each in enumerate(found)]


def _numbered(segmentation: Path, name: str) -> tuple[NDArray[Any], list[int]]:
    """The objects' numbers at each pixel (H, W), and these numbers."""
    indices = images.read_levels(segmentation, name, palette=True)
    numbers = [int(n) for n in np.unique(indices) if n not in (0, VOID)]
    if not numbers and (indices == VOID).any():
        numbers = [VOID]  # a mask of two levels, 0 and 255
    return indices, numbers


def _load_cutouts(
    name: str,
    image: Path,
    annotation: Path,
    segmentation: Path,
    labels: Mapping[str, int],
    clean_up: CleanUp,
) -> Iterator[Cutout | Skip]:
    size, objects = read_objects(annotation, name)
    if all(found.kind not in labels for found in objects):
        raise _without_objects(objects, name)
    indices, numbers = _numbered(segmentation, name)
    pixels = images.read_annotated(image, name, size or (indices.shape[0], indices.shape[1]))
    if indices.shape != pixels.shape[:2]:
        raise Skip("image and mask differ in size", name)
    if not numbers:
        raise Skip("no instance in the mask", name)
    boxed = []
    for found in objects:
        try:
            images.clipped(found.box, pixels, found.name)
            boxed.append(found)
        except Skip as skip:
            if found.kind in labels:
                yield skip
    tight = np.array([images.box_of(indices == n) for n in numbers], np.float32)
    boxes = np.array([found.box for found in boxed], np.float32).reshape(-1, 4)
    matches = _match(tight, boxes)
    for n, index in zip(numbers, matches, strict=True):
        title = f"{name}/{n}"
        if index is None:
            yield Skip("mask without a box", title)
        elif (label := labels.get(boxed[index].kind)) is not None:
            mask, box = indices == n, boxed[index].box
            yield clean_up.judge(Cutout(title, pixels, mask, label, box))
    for index, found in enumerate(boxed):
        if found.kind in labels and index not in matches:
            yield Skip("no mask", found.name)


def _without_objects(objects: Sequence[Any], name: str) -> Skip:
    return Skip("no object of the classes" if objects else "empty annotation", name)


def _match(tight: NDArray[np.float32], boxes: NDArray[np.float32]) -> list[int | None]:
    """Match each mask with the box that overlaps it most, best pairs first, each box once."""
    overlaps = np.stack([images.ious(box, boxes) for box in tight])
    matches: list[int | None] = [None] * len(tight)
    while overlaps.size and overlaps.max() > 0:
        mask, box = np.unravel_index(overlaps.argmax(), overlaps.shape)
        matches[mask] = int(box)
        overlaps[mask], overlaps[:, box] = 0, 0
    return matches


def _identifiers(
    folder: Path, sets: Sequence[Set], task: str, needed: Sequence[str]
) -> Iterator[tuple[str, str, Path]]:
    """Years, identifiers and years' folders of what sets list, each picture once."""
    seen: set[tuple[str, str]] = set()
    for year, image_set in sets:
        root = folder / f"VOC{year}"
        for name in needed:
            if not (root / name).is_dir():
                raise DataError(f"{root / name}: is not a folder; {WHERE}")
        path = image_sets.file(root, task, image_set)
        if not path.is_file():
            raise DataError(f"{path}: is missing; {WHERE}")
        identifiers = image_sets.identifiers(path)
        if not identifiers:
            raise DataError(f"{path}: lists no image")
        for identifier in identifiers:
            if (year, identifier) not in seen:
                seen.add((year, identifier))
                yield year, identifier, root


def _picture(root: Path, identifier: str) -> Path:
    """A JPEG, as VOC's are, or else a file with another suffix, as of sets in its layout."""
    suffixes = (*images.SUFFIXES, *(suffix.upper() for suffix in images.SUFFIXES))
    places = [root / "JPEGImages" / f"{identifier}{suffix}" for suffix in suffixes]
    return next(filter(there, places), places[0])


def _describe(sets: Sequence[Set]) -> str:
    return " + ".join(f"{year} {image_set}" for year, image_set in sets)
