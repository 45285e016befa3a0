"""Photographs of which the class of each pixel is known, and composites of these."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from compositor.data import images, storage
from compositor.data.prepared import Photographs, encode_photograph
from compositor.data.read import voc
from compositor.data.records import Photograph, Record, Records, Skip
from compositor.files import DataError
from trainers.detection.scenes import Batch, Recipes, Scenes

NAMES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
"""VOC's classes, in the order in which ``SegmentationClass`` numbers them from 1."""
VOID = 255
"""The number of a pixel that counts for nothing, there and here."""


@dataclass(frozen=True)
class Segmented(Photograph):
    """A photograph with the label of each pixel, (H, W) uint8; :data:`VOID`: none that counts."""

    classes: NDArray[np.uint8] = field(kw_only=True)


def photographs(folder: Path, sets: Sequence[voc.Set], names: Sequence[str]) -> Records[Photograph]:
    """List the photographs of image sets in ``ImageSets/Segmentation``, as :class:`Segmented`.

    Pixels of VOC's other classes are background.

    Args:
        folder: ``VOCdevkit``.
        sets: Years and image sets, read in order.
        names: The classes, labelled from 1.

    Raises:
        DataError: A folder or an image set is missing or empty, or a class is none of VOC's.
    """
    if unknown := [name for name in names if name not in NAMES]:
        raise DataError(
            f"{folder}: has class {unknown[0]!r}, wanted VOC's, whose numbers are known"
        )
    labels = np.full(VOID + 1, VOID, np.uint8)
    labels[: len(NAMES) + 1] = 0
    labels[[NAMES.index(name) + 1 for name in names]] = np.arange(len(names)) + 1
    found = voc.photographs(folder, sets, names, keep_empty=True, task="Segmentation")
    records = []
    for record in found.records:
        image = record.files[0]
        mask = image.parents[1] / "SegmentationClass" / f"{image.stem}.png"
        load = partial(_load, record, mask, labels)
        records.append(Record(record.name, (*record.files, mask), load))
    return replace(found, source=f"{found.source}, segmented", records=records)


def _load(
    record: Record[Photograph], mask: Path, labels: NDArray[np.uint8]
) -> Iterator[Photograph | Skip]:
    numbers = images.read_levels(mask, record.name, palette=True)
    if numbers.max() > VOID:
        raise Skip("mask of more than 8 bits", record.name)
    for found in record.load():
        if isinstance(found, Photograph):
            if numbers.shape != found.image.shape[:2]:
                raise Skip("image and mask differ in size", record.name)
            found = Segmented(**vars(found), classes=labels[numbers])
        yield found


class Segmentations(Photographs):
    """Prepared photographs with the label of each pixel."""

    def image(self, index: int) -> Tensor:
        return super().image(index)[:3]

    def classes_of(self, index: int) -> Tensor:
        """The labels of a photograph's pixels: (H, W) uint8."""
        return super().image(index)[3]


def prepare(records: Records[Photograph], folder: Path, size: tuple[int, int]) -> Segmentations:
    """:func:`compositor.data.prepared.prepare_photographs` of :class:`Segmented` ones."""

    def encode(photograph: Photograph) -> storage.Encoded:
        assert isinstance(photograph, Segmented)
        image, known = encode_photograph(photograph, size)
        classes = Image.fromarray(photograph.classes).resize(size[::-1], Image.Resampling.NEAREST)
        return np.dstack((image, np.asarray(classes))), known

    return Segmentations(storage.fill(records, folder, (*size, 4), "segmentations", encode))


class SegmentedScenes(Scenes):
    """Scenes whose backgrounds say the ``classes`` of their pixels, (H, W) uint8."""

    def load(self, recipes: Recipes) -> Batch:
        batch = super().load(recipes)
        targets = [
            target | {"classes": self.classes_of(index)}
            for target, index in zip(batch.targets, recipes.background.tolist(), strict=True)
        ]
        return replace(batch, targets=targets)

    def classes_of(self, index: int) -> Tensor:
        """The labels of a background's pixels; a plain folder's show no object."""
        count = len(self.backgrounds)
        of, at = (self.backgrounds, index) if index < count else (self.real, index - count)
        if isinstance(of, Segmentations):
            return of.classes_of(at)
        return torch.zeros(self.size, dtype=torch.uint8)
