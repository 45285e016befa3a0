"""Finds the annotations of a data set, as COCO, Roboflow, Label Studio, YOLO or LabelImg lay it
out."""

from pathlib import Path

from compositor.data.read import coco_file, xml_folder, yolo
from compositor.data.read.listing import Listing
from compositor.files import DataError

ROBOFLOW = "_annotations.coco.json"
LABEL_STUDIO = "result.json"
TRIED = (
    f"annotations/instances_SPLIT.json, SPLIT/{ROBOFLOW}, {LABEL_STUDIO}, data.yaml, VOC's .xml "
    "files"
)


def find(folder: Path, split: str | None = None) -> Listing:
    """Find a split's annotations, read them, and find their pictures.

    Args:
        folder: Holds ``annotations/instances_SPLIT.json`` with the pictures in ``images/SPLIT``,
            ``images`` or ``SPLIT`` (COCO); or ``SPLIT/_annotations.coco.json`` with the pictures
            beside it (Roboflow); or ``result.json`` and ``images``, the split "result" (Label
            Studio); or ``data.yaml``, or is that file, by whatever name (YOLO); or VOC's XML files
            as :mod:`compositor.data.read.xml_folder` finds them (LabelImg, CVAT, Roboflow).
        split: Such as "val2017"; None if the folder has only one.

    Raises:
        DataError: There is no such file or split, a file is not in its format, or none of its
            pictures is there.
    """
    if not folder.exists():
        raise DataError(f"{folder}: is not there")
    found = splits(folder)
    if not found:
        raise DataError(
            f"{folder}: has none of {TRIED}, and is no VOCdevkit; export your data as COCO or "
            "YOLO, or get COCO's from cocodataset.org"
        )
    if split is None and len(found) > 1:
        raise DataError(f"{folder}: has {', '.join(found)}; name one of these splits")
    split = next(iter(found)) if split is None else split
    if split not in found:
        raise DataError(f"{folder}: has no split {split!r}, only {', '.join(found)}")
    path = found[split]
    if path == yolo.file(folder):
        return yolo.read(path, [split])
    if path.is_dir():
        return xml_folder.read(path, split)
    if path.name == ROBOFLOW:
        places = [path.parent]
    elif path.name == LABEL_STUDIO:
        places = [folder, folder / "images"]
    else:
        places = [folder / "images" / split, folder / "images", folder / split]
    return coco_file.read(path, places)


def splits(folder: Path) -> dict[str, Path]:
    """The annotation files in a folder, or folders of XML, by their splits; YOLO's and a
    folder of XML may have several."""
    found = {
        path.stem.removeprefix("instances_"): path
        for path in sorted((folder / "annotations").glob("instances_*.json"))
    }
    for path in sorted(folder.glob(f"*/{ROBOFLOW}")):
        found.setdefault(path.parent.name, path)
    if (folder / LABEL_STUDIO).is_file():
        found.setdefault("result", folder / LABEL_STUDIO)
    if not found and (data := yolo.file(folder)):
        found = dict.fromkeys(yolo.describe(data).splits, data)
    return found or xml_folder.splits(folder)
