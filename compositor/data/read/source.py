"""Finds out in which layout a path holds cut-outs or backgrounds, and reads it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from compositor.data.cleanup import CleanUp
from compositor.data.read import bigbird, coco, coco_file, coco_layouts, folder, masked, voc
from compositor.data.records import (
    BACKGROUND,
    Annotation,
    Cutout,
    Photograph,
    Record,
    Records,
    Skip,
)
from compositor.files import DataError, lines

ItemType = TypeVar("ItemType", Photograph, Cutout)
LAYOUTS = (
    "a folder of RGBA pictures (sub-folders are classes), of pictures with masks beside them, a "
    "COCO file or folder, or a VOCdevkit"
)


def cutouts(path: Path, clean_up: CleanUp) -> Records[Cutout]:
    """List the cut-outs of a source.

    Args:
        path: A COCO annotation file or a folder in COCO's, Roboflow's or Label Studio's layout; a
            VOCdevkit with ``SegmentationObject``; a folder of objects in BigBIRD's or
            Cut-Paste-Learn's layout; a folder of pictures with masks beside them; or a folder of
            RGBA pictures, whose sub-folders are classes.
        clean_up: Decides which objects to leave out.

    Raises:
        DataError: There is no such path, or it holds no cut-out in any of these layouts.
    """
    _exists(path)
    if files := _coco(path):
        return joined([coco.cutouts(file, clean_up=clean_up) for file in files])
    if sets := _voc(path, "Segmentation"):
        root, names = sets
        kinds = _kinds(root, names)
        return joined([voc.cutouts(root, names, kind, clean_up) for kind in kinds])
    if any(path.glob("*/*.pbm")) or any(path.glob("*/masks/*_mask.pbm")):
        return bigbird.cutouts(path, clean_up=clean_up)
    if masked.pairs(path):
        return masked.cutouts(path, clean_up=clean_up)
    return folder.cutouts(path, None, clean_up)


def photographs(path: Path) -> Records[Photograph]:
    """List the backgrounds of a source, with the objects that it annotates.

    Args:
        path: As for :func:`cutouts`, with ``Annotations`` enough for VOC; or any folder of
            pictures, whose objects are then unknown.

    Raises:
        DataError: There is no such path, or it holds no picture.
    """
    _exists(path)
    if files := _coco(path):
        return joined([coco.photographs(file, keep_empty=True, with_masks=True) for file in files])
    if sets := _voc(path, "Main"):
        root, names = sets
        return voc.photographs(root, names, _kinds(root, names), True, with_masks=True)
    return folder.backgrounds(path)


def joined(sources: Sequence[Records[ItemType]]) -> Records[ItemType]:
    """Several lists as one, whose classes are those of all, by their names."""
    if len(sources) == 1:
        return sources[0]
    classes = list(dict.fromkeys(name for source in sources for name in source.classes))
    records: list[Record[ItemType]] = []
    left_out: dict[str, list[str]] = {}
    for source in sources:
        labels = {label: classes.index(name) for label, name in enumerate(source.classes)}
        records += [relabelled(record, labels) for record in source.records]
        for reason, names in source.left_out.items():
            left_out.setdefault(reason, []).extend(names)
    title = " + ".join(source.source for source in sources)
    ids = {name: number for source in reversed(sources) for name, number in source.ids.items()}
    return Records(title, tuple(classes), records, left_out, sources[0].ignored, ids)


def relabelled(record: Record[ItemType], labels: Mapping[int, int]) -> Record[ItemType]:
    """A record whose objects have other labels; those that have none are left out."""
    return replace(record, load=partial(_relabelled, record.load, labels))


def _relabelled(load: Callable[[], Iterable[Any]], labels: Mapping[int, int]) -> Iterator[Any]:
    for item in load():
        if isinstance(item, Cutout):
            if item.label in labels:
                yield replace(item, label=labels[item.label])
        elif isinstance(item, Photograph):
            boxes, found, ignore = vars(item.annotation).values()
            rows = zip(boxes.tolist(), found.tolist(), ignore.tolist(), strict=True)
            kept = [(box, labels[n], unclear) for box, n, unclear in rows if n in labels]
            pairs = zip(item.masks, found.tolist(), strict=False)
            masks = tuple(mask for mask, n in pairs if n in labels)
            yield replace(item, annotation=Annotation.of(kept), masks=masks)
        else:
            yield item


def _exists(path: Path) -> None:
    if not path.exists():
        raise DataError(f"{path}: is not there; wanted {LAYOUTS}")
    if path.is_file() and path.suffix.lower() != ".json":
        raise DataError(f"{path}: is a {path.suffix or 'plain'} file; wanted {LAYOUTS}")


def _coco(path: Path) -> list[coco_file.COCOFile]:
    """The annotation files of a path in COCO's format, read; none if it is in another."""
    if path.is_file():
        places = [path.parent, path.parent / "images", path.parents[1] / "images"]
        split = path.stem.removeprefix("instances_")
        places += [path.parents[1] / "images" / split, path.parents[1] / split]
        return [coco_file.read(path, places)]
    return [coco_layouts.find(path, split) for split in coco_layouts.splits(path)]


def _voc(path: Path, task: str) -> tuple[Path, list[voc.Set]] | None:
    """The VOCdevkit at a path and its image sets; None if there is none."""
    root = path / "VOCdevkit" if (path / "VOCdevkit").is_dir() else path
    if path.name.startswith("VOC") and (path / "ImageSets").is_dir():
        root = path.parent
    years = sorted(
        place.name.removeprefix("VOC")
        for place in (root.glob("VOC*") if root != path.parent else [path])
        if (place / "ImageSets" / task).is_dir()
    )
    sets: list[voc.Set] = []
    for year in years:
        names = {file.stem for file in (root / f"VOC{year}" / "ImageSets" / task).glob("*.txt")}
        # Lists of one class, such as dog_train, repeat pictures of the whole ones.
        whole = names & {"trainval", "train", "val", "test"}
        if "trainval" in whole:
            whole -= {"train", "val"}
        sets += [(year, name) for name in sorted(whole or names)]
    return (root, sets) if sets else None


def _kinds(root: Path, sets: Sequence[voc.Set]) -> list[str]:
    """The classes that image sets annotate, in alphabetical order."""
    kinds = set()
    for year, name in sets:
        task = root / f"VOC{year}" / "ImageSets"
        listed = [task / kind / f"{name}.txt" for kind in ("Main", "Segmentation")]
        for line in {line for file in listed if file.is_file() for line in lines(file)}:
            file = root / f"VOC{year}" / "Annotations" / f"{line.split()[0]}.xml"
            try:
                kinds |= {found.kind for found in voc.read_objects(file, file.stem)[1]}
            except Skip:  # counted when the picture is loaded
                continue
    if not kinds:
        raise DataError(f"{root}: annotates no object")
    return sorted(kinds - {BACKGROUND})
