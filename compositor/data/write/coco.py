"""Writes COCO's format: ``images/SPLIT`` and ``annotations/instances_SPLIT.json``."""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TextIO

from compositor.data.labels import Instance, LabelledPicture, Split, decode
from compositor.data.masks import uncompressed
from compositor.data.outlines import outlines
from compositor.data.write import parts
from compositor.data.write.checks import names
from compositor.files import link

KINDS = ("images", "annotations")


class Entries(NamedTuple):
    """Entries of a split's pictures, each as JSON; annotations have no id yet."""

    images: list[str]
    annotations: list[str]


class Writer(parts.Writer[dict[Split, Entries]]):
    """Writes a data set in COCO's format; a split without pictures has no files.

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
        classes: Names by label; index 0 is ``__background__``.
        ids: Category ids by name; None: the labels.
        polygons: Write polygons, for tools that read nothing else.

    Raises:
        ValueError: A class has no id, or two share one.
    """

    def __init__(
        self, classes: Sequence[str], ids: Mapping[str, int] | None = None, polygons: bool = False
    ) -> None:
        super().__init__(classes)
        self._ids = _category_ids(names(classes), ids)
        self._polygons = polygons

    def part(self, place: Path, pictures: Iterable[LabelledPicture]) -> dict[Split, Entries]:
        """Link the pictures; return the entries of each split."""
        found: dict[Split, Entries] = {}
        for picture in pictures:
            link(picture.file, place / "images" / picture.split)
            entries = found.setdefault(picture.split, Entries([], []))
            entries.images.append(json.dumps(_image(picture)))
            for instance in picture.instances:
                category = self._ids[self.classes[instance.label]]
                entry = _annotation(picture, instance, category, self._polygons)
                entries.annotations.append(json.dumps(entry))
        return found

    def whole(self, place: Path, parts: Iterable[dict[Split, Entries]]) -> None:
        """Number the annotations, and put each split's entries into one file."""
        numbers = count(1)  # COCO's evaluation takes 0 for no match
        categories = [{"id": number, "name": name} for name, number in self._ids.items()]
        with TemporaryDirectory(dir=place) as folder:
            with ExitStack() as opened:
                files: dict[Split, dict[str, TextIO]] = {}
                for part in parts:
                    for split, entries in part.items():
                        if split not in files:
                            files[split] = _open(Path(folder, split), opened)
                        numbered = [
                            f'{{"id": {next(numbers)}, {entry[1:]}' for entry in entries.annotations
                        ]
                        _append(files[split]["images"], entries.images)
                        _append(files[split]["annotations"], numbered)
            (place / "annotations").mkdir()
            for entries_of in Path(folder).iterdir():
                path = place / "annotations" / f"instances_{entries_of.name}.json"
                _put_together(entries_of, categories, path)


def _open(folder: Path, opened: ExitStack) -> dict[str, TextIO]:
    """A file for each kind of entry of a split."""
    folder.mkdir()
    return {
        kind: opened.enter_context((folder / kind).open("w", encoding="ascii")) for kind in KINDS
    }


def _append(file: TextIO, entries: Sequence[str]) -> None:
    if entries:
        file.write((",\n" if file.tell() else "\n") + ",\n".join(entries))


def _put_together(split: Path, categories: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Put a split's entries, a file a kind, into one: they may be more than memory holds."""
    with path.open("w", encoding="ascii") as whole:
        whole.write(f'{{"info": {{}}, "licenses": [],\n"categories": {json.dumps(categories)}')
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
    picture: LabelledPicture, instance: Instance, category: int, polygons: bool
) -> dict[str, Any]:
    x1, y1, x2, y2 = instance.box
    entry = {
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
