"""Writes COCO's format: ``images/SPLIT`` and ``annotations/instances_SPLIT.json``."""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO

from compositor.data.labels import Instance, LabelledPicture, decode
from compositor.data.masks import uncompressed
from compositor.data.outlines import outlines
from compositor.data.write.checks import checked, names
from compositor.files import link, replacing_folder

KINDS = ("images", "annotations", "categories")


def write(
    folder: Path,
    pictures: Iterable[LabelledPicture],
    classes: Sequence[str],
    ids: Mapping[str, int] | None = None,
    polygons: bool = False,
) -> None:
    """Write a data set in COCO's format; a split without pictures has no files.

    Every mask is written as run lengths in numbers, as in COCO's own files: of all forms the one
    that most readers take. With ``polygons`` each part of a mask is one instead, along the edges of
    its pixels; a hole is joined to the outline by a bridge of no width, so that pycocotools, and
    every other reader that fills polygons even-odd or nonzero, gives the mask back exactly.
    OpenCV paints an outline's own pixels too, and makes any polygon half a pixel larger all round.

    An object to ignore gets ``iscrowd`` 1, which alone makes COCO's evaluation ignore it, and as
    COCO wants for a crowd, run lengths. An object without a mask has an empty ``segmentation``.
    Beside the usual fields, an annotation has ``visibility``, ``truncation``, ``cutout``,
    ``background``, ``seed``, and ``confidence`` if a detector has judged it; an image has
    ``background`` and ``seed``.

    Args:
        folder: Replaced.
        pictures: Taken one by one.
        classes: Names by label; index 0 is ``__background__``.
        ids: Category ids by name; None: the labels.
        polygons: Write polygons, for tools that read nothing else.

    Raises:
        DataError: A picture is missing, two share a name, or the disk is full.
        ValueError: A class has no id, two share one, or the labels are not valid.
    """
    numbers = _category_ids(names(classes), ids)
    count = 0
    categories = [{"id": number, "name": name} for name, number in numbers.items()]
    with replacing_folder(folder) as place, TemporaryDirectory(dir=place) as entries:
        with ExitStack() as opened:
            files: dict[str, dict[str, TextIO]] = {}
            for picture in checked(pictures, classes):
                link(picture.file, place / "images" / picture.split)
                if picture.split not in files:
                    files[picture.split] = _open(Path(entries, picture.split), opened)
                    _append(files[picture.split]["categories"], categories)
                annotations = [
                    _annotation(count + n, picture, found, numbers[classes[found.label]], polygons)
                    for n, found in enumerate(picture.instances, 1)
                ]
                count += len(annotations)
                _append(files[picture.split]["images"], [_image(picture)])
                _append(files[picture.split]["annotations"], annotations)
        (place / "annotations").mkdir()
        for split in Path(entries).iterdir():
            _put_together(split, place / "annotations" / f"instances_{split.name}.json")


def _open(folder: Path, opened: ExitStack) -> dict[str, TextIO]:
    """A file for each kind of entry of a split."""
    folder.mkdir()
    return {
        kind: opened.enter_context((folder / kind).open("w", encoding="ascii")) for kind in KINDS
    }


def _append(file: TextIO, entries: Sequence[Mapping[str, Any]]) -> None:
    for entry in entries:
        file.write((",\n" if file.tell() else "\n") + json.dumps(entry))


def _put_together(split: Path, path: Path) -> None:
    """Put a split's entries, a file a kind, into one: they may be more than memory holds."""
    with path.open("w", encoding="ascii") as whole:
        whole.write('{"info": {}, "licenses": []')
        for kind in KINDS:
            whole.write(f',\n"{kind}": [')
            with (split / kind).open(encoding="ascii") as entries:
                shutil.copyfileobj(entries, whole)
            whole.write("]")
        whole.write("}\n")


def _image(picture: LabelledPicture) -> dict[str, Any]:
    height, width = picture.size
    return {
        "id": picture.number,
        "file_name": picture.file.name,
        "height": height,
        "width": width,
        "background": picture.background,
        "seed": picture.seed,
    }


def _annotation(
    number: int, picture: LabelledPicture, instance: Instance, category: int, polygons: bool
) -> dict[str, Any]:
    x1, y1, x2, y2 = instance.box
    entry = {
        "id": number,  # from 1: COCO's evaluation takes 0 for no match
        "image_id": picture.number,
        "category_id": category,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": instance.area,
        "iscrowd": int(instance.ignore),
        "segmentation": _segmentation(instance, polygons),
        "visibility": instance.visibility,
        "truncation": instance.truncation,
        "cutout": instance.cutout,
        "background": picture.background,
        "seed": picture.seed,
    }
    judged = {} if instance.confidence is None else {"confidence": instance.confidence}
    return entry | judged


def _segmentation(instance: Instance, polygons: bool) -> list[list[int]] | dict[str, Any]:
    if instance.mask is None:
        return []
    if polygons and not instance.ignore:
        return [part.ravel().tolist() for part in outlines(decode(instance.mask))]
    return {"size": instance.mask["size"], "counts": uncompressed(instance.mask["counts"])}


def _category_ids(classes: Sequence[str], ids: Mapping[str, int] | None) -> dict[str, int]:
    numbers = {name: label for label, name in enumerate(classes, 1)} if ids is None else dict(ids)
    if missing := [name for name in classes if name not in numbers]:
        raise ValueError(f"ids: got none for {missing[0]!r}, wanted one a class")
    if len({numbers[name] for name in classes}) < len(classes):
        raise ValueError(f"ids: got {numbers}, wanted a number of its own for each class")
    return {name: numbers[name] for name in classes}
