"""Writes Pascal VOC's format, as a development kit of 2012 that its readers know."""

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from compositor.data.labels import LabelledPicture, RunLengths, Split, decode
from compositor.data.write import parts
from compositor.data.write.checks import names
from compositor.files import DataError, link

ROOT = Path("VOCdevkit", "VOC2012")
MOST = 254
"""Most objects in a picture, and most classes: a mask is of bytes, and 255 is VOC's void."""
TRUNCATED, OCCLUDED = 0.15, 0.05
"""Shares of an object, beyond the picture and hidden, over which VOC's guidelines flag it."""


class Listed(NamedTuple):
    """A picture in the lists of a split, and in those for segmentation if it is ``masked``."""

    split: Split
    stem: str
    masked: bool


class Writer(parts.Writer[list[Listed]]):
    """Writes a data set in Pascal VOC's format, in ``VOCdevkit/VOC2012``.

    Boxes are 1-based, include their last pixel, and are whole pixels: one of fractions grows to
    them. An object to ignore is ``difficult``. ``SegmentationObject`` numbers the objects in the
    order of the XML, and ``SegmentationClass`` has their labels; there is no void border, and of
    two masks that overlap the later one shows. A picture that has an object without a mask gets
    neither, and is not in ``ImageSets/Segmentation``: its pixels would say background.

    Args:
        classes: Names by label; index 0 is ``__background__``.

    Raises:
        ValueError: The classes are more than 254.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__(classes)
        if len(names(classes)) > MOST:
            raise ValueError(
                f"classes: got {len(classes) - 1}, wanted at most {MOST} for VOC's masks"
            )

    def part(self, place: Path, pictures: Iterable[LabelledPicture]) -> list[Listed]:
        """Link the pictures, write their XML and masks; return what lists name.

        Raises:
            DataError: A picture is missing, is no ``*.jpg`` without spaces in its name, shares its
                name with another or has more than 254 objects.
        """
        root = place / ROOT
        _make_folders(root)
        listed = []
        for picture in pictures:
            _check(picture)
            stem = picture.file.stem
            link(picture.file, root / "JPEGImages")
            masks = [instance.mask for instance in picture.instances if instance.mask is not None]
            masked = len(masks) == len(picture.instances)
            _write_xml(root / "Annotations" / f"{stem}.xml", picture, self.classes, masked)
            if masked:
                _write_masks(root, picture, masks)
            listed.append(Listed(picture.split, stem, masked))
        return listed

    def whole(self, place: Path, parts: Iterable[list[Listed]]) -> None:
        """Write the lists of pictures."""
        sets = place / ROOT / "ImageSets"
        _make_folders(place / ROOT)
        for listed in chain.from_iterable(parts):
            for task in ("Main", "Segmentation") if listed.masked else ("Main",):
                for image_set in (listed.split, "trainval"):
                    with (sets / task / f"{image_set}.txt").open("a") as file:
                        file.write(f"{listed.stem}\n")


def add_object(
    root: ElementTree.Element, name: str, box: Sequence[float], **flags: str | int
) -> None:
    """Add an object: its flags, and its box, counted from 1 and with its last pixel."""
    element = ElementTree.SubElement(root, "object")
    _add(element, name=name, **flags)
    x1, y1, x2, y2 = box
    _add(
        ElementTree.SubElement(element, "bndbox"),
        xmin=math.floor(x1) + 1,
        ymin=math.floor(y1) + 1,
        xmax=math.ceil(x2),
        ymax=math.ceil(y2),
    )


def _make_folders(root: Path) -> None:
    sets = (f"ImageSets/{task}" for task in ("Main", "Segmentation"))
    for name in ("Annotations", "SegmentationObject", "SegmentationClass", *sets):
        (root / name).mkdir(parents=True, exist_ok=True)


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
        add_object(
            root,
            classes[instance.label],
            instance.box,
            pose="Unspecified",
            truncated=int(instance.truncation > TRUNCATED),
            occluded=int(1 - instance.visibility > OCCLUDED),
            difficult=int(instance.ignore),
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
