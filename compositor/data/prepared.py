"""Data sets decoded once at one canvas size and kept as memory-mapped arrays."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils.data import Dataset

from compositor.data import frames, storage
from compositor.data.records import Cutout, Photograph, Records

FILL = 0.7
"""Share of its frame that an object's larger side takes (the paper's section A.2)."""


class Prepared(Dataset[Any], ABC):
    """The common part of both kinds, opened from the folder that preparing filled.

    Args:
        folder: The folder.
        rows: Which of its items, in this order; None: all.

    Attributes:
        names: The items' names.
        classes: Names by label; index 0 is ``__background__``.
        size: (H, W) of the images in pixels.
        source: A description of where they came from.
        left_out: Names of everything that could not be used, by reason.
        ignored: The kind of objects that annotations say to ignore.
    """

    def __init__(self, folder: Path, rows: Sequence[int] | None = None) -> None:
        self.folder, self._rows = folder, rows
        content = storage.Content.read(folder)
        self.classes, self.source = content.classes, content.source
        self.items, self.left_out = content.items, content.left_out
        if rows is not None:
            self.items = [self.items[row] for row in rows]
        self.ignored = content.ignored
        self.names: list[str] = [item["name"] for item in self.items]
        self._images = content.images
        self.size: tuple[int, int] = (self._images.shape[1], self._images.shape[2])

    def __len__(self) -> int:
        return len(self.items)

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process maps the file itself instead of receiving gigabytes.
        return type(self), (self.folder, self._rows)

    def only(self, indices: Sequence[int]) -> Self:
        """The same with these items alone, in their order."""
        rows = indices if self._rows is None else [self._rows[index] for index in indices]
        return type(self)(self.folder, rows)

    @cached_property
    def fingerprint(self) -> str:
        """Identifies the items and their order, wherever their files are."""
        content = json.dumps([self.classes, self.size, self.items])
        count = f"{len(self)} item{'s' * (len(self) != 1)}"
        return f"{count} ({hashlib.sha256(content.encode()).hexdigest()[:16]})"

    @property
    def summary(self) -> dict[str, Any]:
        """The content of data.json: ``pictures``; ``objects`` by class; ``left_out`` by reason.

        Pictures are those of which something was kept; objects include those to ignore.
        """
        counts = torch.bincount(self._labels(), minlength=len(self.classes)).tolist()
        return {
            "pictures": len({item["record"] for item in self.items}),
            "objects": dict(zip(self.classes[1:], counts[1:], strict=True)),
            "left_out": self.left_out,
        }

    @abstractmethod
    def _labels(self) -> Tensor:
        """Labels of all objects, (n,) int64."""

    def image(self, index: int) -> Tensor:
        """The image alone: (C, H, W) uint8."""
        row = index if self._rows is None else self._rows[index]
        return torch.from_numpy(self._images[row].transpose(2, 0, 1).copy())


class Photographs(Prepared):
    """Photographs with the objects that a detector should find in them.

    An item is the image, (3, H, W) uint8 RGB, and its target: ``boxes`` (n, 4) float32 in its
    pixels, ``labels`` (n,) int64, ``ignore`` (n,) bool.

    Attributes:
        targets: The targets of all images, for uses that need no image.
    """

    def __init__(self, folder: Path, rows: Sequence[int] | None = None) -> None:
        super().__init__(folder, rows)
        self.targets: list[dict[str, Tensor]] = [
            {
                "boxes": torch.tensor(item["boxes"], dtype=torch.float32).reshape(-1, 4),
                "labels": torch.tensor(item["labels"], dtype=torch.int64),
                "ignore": torch.tensor(item["ignore"], dtype=torch.bool),
            }
            for item in self.items
        ]

    def _labels(self) -> Tensor:
        return torch.cat([target["labels"] for target in self.targets])

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        return self.image(index), {k: v.clone() for k, v in self.targets[index].items()}


class Cutouts(Prepared):
    """Objects centred in a frame of the canvas's size, with their masks.

    An item is (4, H, W) uint8, RGB and the mask (0 or 255), and the label.

    Attributes:
        labels: (n,) int64, the labels of all objects.
    """

    def __init__(self, folder: Path, rows: Sequence[int] | None = None) -> None:
        super().__init__(folder, rows)
        self.labels: Tensor = torch.tensor([item["label"] for item in self.items])

    def _labels(self) -> Tensor:
        return self.labels

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.image(index), int(self.labels[index])


def prepare_photographs(
    records: Records[Photograph], folder: Path, size: tuple[int, int]
) -> Photographs:
    """Decode photographs and stretch them to one size, or open what an earlier call prepared.

    Args:
        records: What to read.
        folder: Holds all caches; this one's name depends on the source, every file's size and time,
            ``size`` and the format's version, so that a changed source is prepared again.
        size: (H, W) in pixels.

    Raises:
        DataError: Nothing of the source can be used.
    """

    def encode(photograph: Photograph) -> storage.Encoded:
        return encode_photograph(photograph, size)

    return Photographs(storage.fill(records, folder, (*size, 3), "photographs", encode))


def encode_photograph(photograph: Photograph, size: tuple[int, int]) -> storage.Encoded:
    """A photograph stretched to ``size`` (H, W), and its name and objects."""
    image, annotation = frames.stretch(photograph, size)
    columns = ("boxes", "labels", "ignore")
    known = {column: getattr(annotation, column).tolist() for column in columns}
    return image, {"name": photograph.name, **known}


def prepare_cutouts(
    records: Records[Cutout], folder: Path, size: tuple[int, int], fill: float = FILL
) -> Cutouts:
    """Decode cut-outs and centre each in a frame, or open what an earlier call prepared.

    Args:
        records: What to read.
        folder: Holds all caches, as for :func:`prepare_photographs`.
        size: (H, W) of the frame in pixels.
        fill: Share of the frame's side that an object's larger side takes (section A.2), in (0, 1].

    Raises:
        DataError: Nothing of the source can be used.
        ValueError: ``fill`` is not in (0, 1].
    """
    if not 0 < fill <= 1:
        raise ValueError(f"fill: got {fill}, wanted a number in (0, 1]")

    def encode(cutout: Cutout) -> storage.Encoded:
        return frames.centre(cutout, size, fill), {"name": cutout.name, "label": cutout.label}

    return Cutouts(storage.fill(records, folder, (*size, 4), f"cutouts {fill}", encode))
