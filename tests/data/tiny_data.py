"""Tiny data sets in the exact layouts that users have on disk."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from compositor.data.records import Records, Skip

Box = tuple[float, float, float, float]


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth colours, so that JPEG keeps them to a few levels."""
    y, x = np.mgrid[:height, :width]
    return np.stack(
        [(x * 2 + 20 * seed) % 200, (y * 2) % 200, np.full_like(x, 40 + 10 * (seed % 20))], -1
    ).astype(np.uint8)


def items(records: Records[Any]) -> list[Any]:
    """Everything that the records hold, and what cannot be used."""
    found: list[Any] = []
    for record in records.records:
        try:
            found += list(record.load())
        except Skip as skip:
            found.append(skip)
    return found


def save(path: Path, pixels: np.ndarray, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def rectangle(height: int, width: int, box: Sequence[int]) -> np.ndarray:
    """A mask, True inside the box."""
    mask = np.zeros((height, width), bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


def voc_xml(path: Path, objects: Sequence[tuple[str, Box, int]], size: tuple[int, int]) -> None:
    """Write a VOC XML; boxes come 0-based and exclusive, and go into the file as VOC has them."""
    entries = "".join(
        f"<object><name>{name}</name><pose>Unspecified</pose><truncated>0</truncated>"
        f"<difficult>{difficult}</difficult><bndbox><xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>"
        # VOC's people have parts with boxes of their own, which are no objects.
        f"<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax>"
        f"</bndbox></part></object>"
        for name, (x1, y1, x2, y2), difficult in objects
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"<annotation><folder>{path.parent.parent.name}</folder><filename>{path.stem}</filename>"
        f"<size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>"
        f"<segmented>1</segmented>{entries}</annotation>"
    )


def voc_image(
    root: Path,
    identifier: str,
    objects: Sequence[tuple[str, Box, int]],
    masks: Mapping[int, np.ndarray] | None = None,
    size: tuple[int, int] = (90, 120),
) -> None:
    """Put an image into ``VOCdevkit/VOC20xx``, with instance masks by number where they are given.

    A void border of 1 pixel goes round each object, as VOC has one.
    """
    save(
        root / "JPEGImages" / f"{identifier}.jpg", picture(*size, seed=len(identifier)), quality=95
    )
    voc_xml(root / "Annotations" / f"{identifier}.xml", objects, size)
    if masks is not None:
        indices = np.zeros(size, np.uint8)
        for number, mask in masks.items():
            grown = mask.copy()
            for axis in (0, 1):
                grown |= np.roll(grown, 1, axis) | np.roll(grown, -1, axis)
            indices[grown & (indices == 0)] = 255
            indices[mask] = number
        image = Image.fromarray(indices, "P")
        image.putpalette([v for i in range(256) for v in (i, 255 - i, i * 7 % 256)])
        path = root / "SegmentationObject" / f"{identifier}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)


def voc_sets(root: Path, **sets: Sequence[str]) -> None:
    """Write image sets: ``Main_trainval=["1"]`` is ``ImageSets/Main/trainval.txt``."""
    for name, identifiers in sets.items():
        task, image_set = name.split("_", 1)
        path = root / "ImageSets" / task / f"{image_set}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{identifier}\n" for identifier in identifiers))


def coco(
    folder: Path,
    images: Mapping[str, Sequence[dict[str, Any]]],
    categories: Sequence[str] = ("person", "dog"),
    split: str = "tiny",
    size: tuple[int, int] = (90, 120),
    subfolder: str = "images",
) -> None:
    """Write a COCO data set; annotations come without ids. Category ids are 3, 6, 9, ..."""
    annotations = []
    for number, (name, found) in enumerate(images.items(), 1):
        save(folder / subfolder / name, picture(*size, seed=number), quality=95)
        for entry in found:
            base = {"id": len(annotations) + 1, "image_id": number, "iscrowd": 0, "area": 1}
            annotations.append(base | entry)
    path = folder / "annotations" / f"instances_{split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = [
        {"id": n, "file_name": name, "height": size[0], "width": size[1]}
        for n, name in enumerate(images, 1)
    ]
    kinds = [{"id": 3 * n, "name": name} for n, name in enumerate(categories, 1)]
    path.write_text(
        json.dumps({"images": entries, "annotations": annotations, "categories": kinds})
    )


def gmu(folder: Path, pictures: int = 2, size: tuple[int, int] = (108, 192)) -> None:
    """GMU Kitchen's nine scenes, an object of each of two instances in every picture."""
    for scene in range(1, 10):
        root = folder / f"gmu_scene_{scene:03}"
        for number in range(1, pictures + 1):
            save(root / "Images" / f"rgb_{number}.png", picture(*size, seed=scene))
            objects = [
                ("hunts_sauce", (10.0, 10.0, 70.0, 80.0), 0),
                ("red_bull", (100.0, 20.0, 120.0, 60.0), 0),
            ]
            voc_xml(root / "Annotations" / f"rgb_{number}.xml", objects, size)


def bigbird(
    folder: Path, names: Sequence[str], views: int = 3, own: bool = True, size: int = 80
) -> None:
    """BigBIRD's layout, or with ``own`` off Cut-Paste-Learn's; masks inverted in both."""
    for index, name in enumerate(names):
        for view in range(views):
            stem = f"NP{view % 5 + 1}_{view * 3}"
            save(folder / name / f"{stem}.jpg", picture(size, size, index), quality=95)
            mask = ~rectangle(size, size, (20, 10 + view, 60, 70))
            place = f"masks/{stem}_mask.pbm" if own else f"{stem}.pbm"
            save(folder / name / place, mask)


def uw(folder: Path, scenes: int = 2, frames: int = 5) -> None:
    """RGB-D Scenes v2: colour frames and depth maps."""
    for scene in range(1, scenes + 1):
        root = folder / "imgs" / f"scene_{scene:02}"
        for frame in range(frames):
            save(root / f"{frame:05}-color.png", picture(48, 64, frame))
            save(root / f"{frame:05}-depth.png", np.zeros((48, 64), np.uint16))


def yolo(
    folder: Path,
    images: Mapping[str, str | None],
    content: str = "train: images/train\nval: images/val\nnames: [person, dog]\n",
    size: tuple[int, int] = (90, 120),
) -> Path:
    """Write Ultralytics' layout: of each picture its labels, None for no file; the data file."""
    for number, (name, labels) in enumerate(images.items(), 1):
        save(folder / name, picture(*size, seed=number), quality=95)
        if labels is not None:
            path = (folder / name.replace("images", "labels")).with_suffix(".txt")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(labels)
    (folder / "data.yaml").write_text(content)
    return folder / "data.yaml"
