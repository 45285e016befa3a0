"""Writes YOLO's format: ``images/SPLIT``, ``labels/SPLIT`` and ``data.yaml``."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from compositor.data.labels import Instance, LabelledPicture, Split, decode
from compositor.data.outlines import joined, outlines
from compositor.data.write import parts
from compositor.data.write.checks import names
from compositor.files import DataError, link


class Writer(parts.Writer[set[Split]]):
    """Writes a data set in the format of Ultralytics' YOLO; a split without pictures has no files.

    A picture has a text file with a line an object, empty if it has none: the class from 0, and
    the box's centre and size, or with ``segments`` a polygon, all as shares of the picture's sides.

    A polygon runs along the edges of the mask's pixels, so that its extremes are the box. A line
    holds one polygon: further parts and holes are joined to it by bridges of no width, as
    Ultralytics' converter from COCO joins parts; filled even-odd or nonzero, it is the mask.
    (OpenCV paints the bridges and the outline's own pixels too.) An object without a mask is
    outlined by its box: left out, it would be learnt as background, and a line of a box among
    polygons is read as a polygon of two points.

    Objects to ignore are left out, since the format has no such thing. ``data.yaml`` names no
    ``path``, so that the folder can be moved: readers take the file's own.

    Args:
        classes: Names by label; index 0 is ``__background__``, which YOLO does not count.
        segments: Write polygons, for segmentation, instead of boxes.
    """

    def __init__(self, classes: Sequence[str], segments: bool = False) -> None:
        super().__init__(classes)
        self._names = names(classes)
        self._line = _polygon if segments else _box

    def part(self, place: Path, pictures: Iterable[LabelledPicture]) -> set[Split]:
        """Link the pictures and write their labels; return their splits."""
        splits = set()
        for picture in pictures:
            link(picture.file, place / "images" / picture.split)
            splits.add(picture.split)
            labels = place / "labels" / picture.split / f"{picture.file.stem}.txt"
            labels.parent.mkdir(parents=True, exist_ok=True)
            if labels.exists():
                raise DataError(f"{picture.file}: shares its labels' name with another picture")
            labels.write_text(
                "".join(
                    f"{instance.label - 1} {self._line(instance, picture.size)}\n"
                    for instance in picture.instances
                    if not instance.ignore
                )
            )
        return splits

    def whole(self, place: Path, parts: Iterable[set[Split]]) -> None:
        """Write ``data.yaml``."""
        splits = set().union(*parts)
        # Ultralytics wants both; without pictures for validation it gets those it trains on.
        paths = {name: name if name in splits else "train" for name in ("train", "val")}
        (place / "data.yaml").write_text(
            "".join(f"{name}: images/{split}\n" for name, split in paths.items())
            + "names:\n"
            # JSON's strings are YAML's too.
            + "".join(
                f"  {number}: {json.dumps(name, ensure_ascii=False)}\n"
                for number, name in enumerate(self._names)
            ),
            encoding="utf-8",
        )


def _box(instance: Instance, size: tuple[int, int]) -> str:
    height, width = size
    x1, y1, x2, y2 = instance.box
    centre = (x1 + x2) / 2 / width, (y1 + y2) / 2 / height
    return _numbers((*centre, (x2 - x1) / width, (y2 - y1) / height))


def _polygon(instance: Instance, size: tuple[int, int]) -> str:
    if instance.mask is None:
        x1, y1, x2, y2 = instance.box
        points = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
    else:
        points = joined(outlines(decode(instance.mask))).tolist()
    height, width = size
    return _numbers(share for x, y in points for share in (x / width, y / height))


def _numbers(shares: Iterable[float]) -> str:
    # Eight digits: a float32, in which readers keep them, has no more.
    return " ".join(f"{share:.8g}" for share in shares)
