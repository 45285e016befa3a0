"""Finds out in which layout a path holds cut-outs or backgrounds, and reads it."""

from dataclasses import replace
from pathlib import Path

from compositor.data import images
from compositor.data.cleanup import DEFAULT, CleanUp
from compositor.data.read import (
    bigbird,
    coco_file,
    folder,
    image_sets,
    joining,
    layouts,
    listing,
    masked,
    voc,
    walk,
    xml_folder,
    yolo,
)
from compositor.data.read.image_sets import Task
from compositor.data.read.listing import Listing
from compositor.data.records import Cutout, Photograph, Record, Records, Skip
from compositor.data.write import checks
from compositor.files import DataError

LAYOUTS = (
    "a folder of RGBA pictures (sub-folders are classes), of pictures with masks beside them, a "
    "COCO file or folder, YOLO's data.yaml or its folder, or a VOCdevkit"
)


def cutouts(path: Path, clean_up: CleanUp = DEFAULT) -> Records[Cutout]:
    """List the cut-outs of a source.

    Args:
        path: A COCO annotation file or a folder in COCO's, Roboflow's or Label Studio's layout;
            YOLO's ``data.yaml``, or the folder that it is in, with labels for segmentation; a
            VOCdevkit with ``SegmentationObject``; a folder of objects in BigBIRD's or
            Cut-Paste-Learn's layout; or a folder of pictures with masks beside them, of RGBA
            pictures, or of both, whose sub-folders are classes.
        clean_up: Decides which objects to leave out.

    Raises:
        DataError: There is no such path, or it holds no cut-out in any of these layouts.
    """
    _exists(path)
    found = _cutouts(path.absolute(), clean_up)
    try:
        checks.names(found.classes)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None
    return found


def _cutouts(path: Path, clean_up: CleanUp) -> Records[Cutout]:
    if files := _annotated(path, boxes=False):
        listed = [listing.cutouts(file, clean_up=clean_up) for file in files]
        # A picture without an object to cut out is no fault: it may be a background.
        listed = [joining.forgiving(records, "empty annotation") for records in listed]
        return joining.joined(joining.distinct(listed, [file.path for file in files]))
    if sets := _voc(path, "Segmentation"):
        root, names = sets
        found = voc.cutouts(root, names, voc.kinds(root, names), clean_up)
        return joining.forgiving(found, "empty annotation")
    _no_data_set(path)
    if bigbird.holds(path):
        return bigbird.cutouts(path, clean_up=clean_up)
    if below := bigbird.below(path):
        wanted = " or ".join(str(each) for each in below)
        raise DataError(f"{path}: has objects with inverted masks two folders down; name {wanted}")
    if pairs := masked.pairs(path):
        both = masked.cutouts(path, clean_up, pairs), folder.cutouts(path, None, clean_up, pairs)
        return joining.joined(both, sorted({name for each in both for name in each.classes[1:]}))
    others = folder.cutouts(path, None, clean_up)
    if not any(map(_has_alpha, others.records)):
        raise DataError(
            f"{path}: none of its {len(others)} pictures has an alpha channel or a mask (looked "
            f"for, {masked.NAMINGS})"
        )
    return others


def photographs(path: Path, with_masks: bool = True) -> Records[Photograph]:
    """List the backgrounds of a source, with the objects that it annotates.

    Args:
        path: As for :func:`cutouts`, with ``Annotations`` enough for VOC, whose XML may also lie
            beside the pictures; or any folder of pictures, whose objects are then unknown.
        with_masks: Decode the objects' masks, too, where there are any.

    Raises:
        DataError: There is no such path, or it holds no picture.
    """
    _exists(path)
    path = path.absolute()  # pictures may lie beside it, and its name may count
    if files := _annotated(path, boxes=True):
        listed = [
            listing.photographs(file, keep_empty=True, with_masks=with_masks) for file in files
        ]
        return joining.joined(joining.distinct(listed, [file.path for file in files]))
    if sets := _voc(path, "Main"):
        root, names = sets
        return voc.photographs(root, names, voc.kinds(root, names), True, with_masks)
    _no_data_set(path)
    return folder.backgrounds(path)


def _exists(path: Path) -> None:
    if not path.exists():
        raise DataError(f"{path}: is not there; wanted {LAYOUTS}")
    if path.is_file() and path.suffix.lower() not in (".json", *yolo.YAML):
        raise DataError(f"{path}: is a {path.suffix or 'plain'} file; wanted {LAYOUTS}")


def _no_data_set(path: Path) -> None:
    """Refuse a data set whose pictures would be taken for what they are not."""
    if (path / "settings.json").is_file() and (path / "shards").is_dir():
        raise DataError(f"{path}: is the output of a run; name its {path / 'coco'} instead")
    labels = path / "labels"
    if (path / "images").is_dir() and next(labels.rglob("*.txt"), None):
        raise DataError(
            f"{path}: has images/ and labels/ of YOLO, but no data.yaml; write one, such as "
            "'{train: images, names: [cat, dog]}'"
        )


def _has_alpha(record: Record[Cutout]) -> bool:
    """Whether a picture has an alpha channel; True if it is broken, which loading reports."""
    try:
        return images.has_alpha(record.files[0], record.name)
    except Skip:
        return True


def _annotated(path: Path, *, boxes: bool) -> list[Listing]:
    """What a path lists in COCO's or YOLO's format or, if boxes will do, in VOC's without its kit;
    nothing if it is in another."""
    data = yolo.file(path)
    splits = {k: place for k, place in layouts.splits(path).items() if boxes or not place.is_dir()}
    if data and data in splits.values():
        return [yolo.read(data)]  # all splits at once, since they may share pictures
    if folders := [place for place in dict.fromkeys(splits.values()) if place.is_dir()]:
        listings = [xml_folder.read(place) for place in folders]  # so may these
        # Beside Annotations there may be masks.
        annotations = folders[0].name == xml_folder.ANNOTATIONS
        return listings if annotations else _with_unread(path, listings)
    if path.is_file():
        places = [path.parent, path.parent / "images", path.parents[1] / "images"]
        split = path.stem.removeprefix("instances_")
        places += [path.parents[1] / "images" / split, path.parents[1] / split]
        return [coco_file.read(path, places)]
    return [layouts.find(path, split) for split in splits]


def _with_unread(path: Path, listings: list[Listing]) -> list[Listing]:
    """The same, with the pictures elsewhere below a path as left out."""
    read = {picture.path.parent for each in listings for picture in each.pictures}
    unread = [
        str(file.relative_to(path))
        for file in walk.files(path)[0]
        if file.suffix.lower() in images.SUFFIXES and file.parent not in read
    ]
    if not unread:
        return listings
    first, reason = listings[0], xml_folder.UNANNOTATED
    left_out = {**first.left_out, reason: sorted({*first.left_out.get(reason, ()), *unread})}
    return [replace(first, left_out=left_out), *listings[1:]]


def _voc(path: Path, task: Task) -> tuple[Path, list[voc.Set]] | None:
    """The VOCdevkit at a path and its image sets, each picture once; None if there is none."""
    root, listed = voc.listed(path, task)
    sets: list[voc.Set] = []
    for year in dict.fromkeys(year for year, _ in listed):
        names = [name for each, name in listed if each == year]
        whole = set(names).intersection(image_sets.WHOLE)
        if "trainval" in whole:
            whole -= {"train", "val"}
        sets += [(year, name) for name in sorted(whole or names)]
    return (root, sets) if sets else None
