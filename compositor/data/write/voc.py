"""Writes Pascal VOC's format, as a development kit of 2012 that its readers know."""

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from compositor.data.labels import LabelledPicture, RunLengths, decode
from compositor.data.write.checks import checked, names
from compositor.files import DataError, link, replacing_folder

ROOT = Path("VOCdevkit", "VOC2012")
MOST = 254
"""Most objects in a picture, and most classes: a mask is of bytes, and 255 is VOC's void."""
TRUNCATED, OCCLUDED = 0.15, 0.05
"""Shares of an object, beyond the picture and hidden, over which VOC's guidelines flag it."""


def write(folder: Path, pictures: Iterable[LabelledPicture], classes: Sequence[str]) -> None:
    """Write a data set in Pascal VOC's format, in ``folder/VOCdevkit/VOC2012``.

    Boxes are 1-based, include their last pixel, and are whole pixels: one of fractions grows to
    them. An object to ignore is ``difficult``. ``SegmentationObject`` numbers the objects in the
    order of the XML, and ``SegmentationClass`` has their labels; there is no void border, and of
    two masks that overlap the later one shows. A picture that has an object without a mask gets
    neither, and is not in ``ImageSets/Segmentation``: its pixels would say background.

    Args:
        folder: Replaced.
        pictures: Taken one by one; JPEG files.
        classes: Names by label; index 0 is ``__background__``.

    Raises:
        DataError: A picture is missing, is not named as VOC names them, shares its name with
            another or has more than 254 objects, or the disk is full.
        ValueError: The labels are not valid, or the classes more than 254.
    """
    if len(names(classes)) > MOST:
        raise ValueError(f"classes: got {len(classes) - 1}, wanted at most {MOST} for VOC's masks")
    with replacing_folder(folder) as place:
        root = place / ROOT
        for name in ("Annotations", "SegmentationObject", "SegmentationClass"):
            (root / name).mkdir(parents=True)
        for task in ("Main", "Segmentation"):
            (root / "ImageSets" / task).mkdir(parents=True)
        for picture in checked(pictures, classes):
            _check(picture)
            stem = picture.file.stem
            link(picture.file, root / "JPEGImages")
            masks = [instance.mask for instance in picture.instances if instance.mask is not None]
            masked = len(masks) == len(picture.instances)
            _write_xml(root / "Annotations" / f"{stem}.xml", picture, classes, masked)
            if masked:
                _write_masks(root, picture, masks)
            for task in ("Main", "Segmentation") if masked else ("Main",):
                for image_set in (picture.split, "trainval"):
                    with (root / "ImageSets" / task / f"{image_set}.txt").open("a") as file:
                        file.write(f"{stem}\n")


def _check(picture: LabelledPicture) -> None:
    file = picture.file
    if file.suffix != ".jpg" or file.stem.split() != [file.stem]:
        raise DataError(f"{file}: VOC's pictures are named *.jpg, without spaces")
    if len(picture.instances) > MOST:
        number = len(picture.instances)
        raise DataError(f"{file}: has {number} objects; VOC's masks number at most {MOST}")


def _write_xml(path: Path, picture: LabelledPicture, classes: Sequence[str], masked: bool) -> None:
    height, width = picture.size
    root = ElementTree.Element("annotation")
    _add(root, folder=ROOT.name, filename=picture.file.name)
    _add(ElementTree.SubElement(root, "source"), database="compositor")
    _add(ElementTree.SubElement(root, "size"), width=width, height=height, depth=3)
    _add(root, segmented=int(masked))
    for instance in picture.instances:
        element = ElementTree.SubElement(root, "object")
        x1, y1, x2, y2 = instance.box
        _add(
            element,
            name=classes[instance.label],
            pose="Unspecified",
            truncated=int(instance.truncation > TRUNCATED),
            occluded=int(1 - instance.visibility > OCCLUDED),
            difficult=int(instance.ignore),
        )
        _add(
            ElementTree.SubElement(element, "bndbox"),
            xmin=math.floor(x1) + 1,
            ymin=math.floor(y1) + 1,
            xmax=math.ceil(x2),
            ymax=math.ceil(y2),
        )
    ElementTree.indent(root)
    path.write_bytes(ElementTree.tostring(root, "utf-8"))


def _add(parent: ElementTree.Element, **texts: object) -> None:
    for tag, text in texts.items():
        ElementTree.SubElement(parent, tag).text = str(text)


def _write_masks(root: Path, picture: LabelledPicture, masks: Sequence[RunLengths]) -> None:
    numbers, labels = np.zeros((2, *picture.size), np.uint8)
    for number, (instance, run_lengths) in enumerate(zip(picture.instances, masks, strict=True), 1):
        mask = decode(run_lengths)
        numbers[mask], labels[mask] = number, instance.label
    for name, indices in (("SegmentationObject", numbers), ("SegmentationClass", labels)):
        image = Image.fromarray(indices, "L")
        image.putpalette(PALETTE)
        image.save(root / name / f"{picture.file.stem}.png")


def _palette() -> bytes:
    """VOC's colours: an index's bits, three by three from the lowest, are the colours' highest."""
    index = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((index >> 3 * bit + channel & 1) << 7 - bit).astype(np.uint8)
    return colours.tobytes()


PALETTE = _palette()
