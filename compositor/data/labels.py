"""The labels of a generated picture, as writers take them and shards keep them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypedDict

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from compositor.data.records import Box

Split = Literal["train", "val"]


class RunLengths(TypedDict):
    """A mask (H, W) as COCO's compressed run lengths."""

    size: tuple[int, int]
    counts: str


def encode(mask: NDArray[np.bool_]) -> RunLengths:
    """Encode a mask (H, W); in Fortran's order it is not copied."""
    found = coco_mask.encode(np.asfortranarray(mask).view(np.uint8))
    return {"size": (mask.shape[0], mask.shape[1]), "counts": found["counts"].decode("ascii")}


def encode_each(owner: NDArray[np.integer[Any]], count: int) -> list[RunLengths]:
    """Encode the masks ``owner == n`` of each n below ``count`` in one go over ``owner`` (H, W)."""
    height, width = owner.shape
    # COCO counts down the columns: a run starts below another owner's pixel, or on top of a column.
    below = np.flatnonzero(owner[1:] != owner[:-1]) + width
    tops = np.flatnonzero(owner[0, 1:] != owner[-1, :-1]) + 1
    starts = np.concatenate(([0], tops * height, below % width * height + below // width))
    starts.sort()
    ends, owners = np.append(starts[1:], owner.size), owner[starts % height, starts // height]
    encoded: list[RunLengths] = []
    for number in range(count):
        own = owners == number
        edges = np.zeros(2 * np.count_nonzero(own) + 2, np.int64)
        edges[1:-1:2], edges[2:-1:2], edges[-1] = starts[own], ends[own], owner.size
        runs = edges[1:] - edges[:-1]
        if not runs[-1]:  # the last pixel is the object's
            runs = runs[:-1]
        found = coco_mask.frPyObjects(
            {"size": [height, width], "counts": runs.tolist()}, height, width
        )
        encoded.append({"size": (height, width), "counts": found["counts"].decode("ascii")})
    return encoded


def decode(run_lengths: RunLengths) -> NDArray[np.bool_]:
    """Decode a mask (H, W)."""
    mask: NDArray[np.uint8] = coco_mask.decode(dict(run_lengths))  # zeros and ones
    return mask.view(np.bool_)


@dataclass(frozen=True)
class Instance:
    """An object of a picture: what of it can be seen.

    Attributes:
        label: Index into the classes, from 1.
        box: Tight box of the visible pixels, or what a source says of an object without a mask:
            (x1, y1, x2, y2) in pixels, right and bottom exclusive.
        mask: The visible pixels; None if a source gave the object without a mask.
        area: Visible pixels; of an object without a mask, its box's.
        ignore: Neither right nor wrong to find: a source's crowd or difficult object.
        visibility: Share of the object's pixels on the canvas that no later layer hides, in (0, 1].
        truncation: Share of the object that lies beyond the canvas, in [0, 1).
        cutout: Name of the cut-out that was pasted; None for an object of the background.
        confidence: The detector's for this object, if one has judged the picture.
    """

    label: int
    box: Box
    mask: RunLengths | None
    area: int
    ignore: bool = False
    visibility: float = 1.0
    truncation: float = 0.0
    cutout: str | None = None
    confidence: float | None = None


@dataclass(frozen=True)
class LabelledPicture:
    """A picture on disk and its labels.

    Attributes:
        number: From 0, unique in its data set.
        file: Where the picture lies, such as ``.../000012.jpg``; its stem is its name.
        size: (H, W) in pixels.
        background: The background's name.
        seed: With ``number`` all that the picture was drawn from.
        split: Which part of the data set it belongs to.
        instances: Its objects, in the order of their layers; the background's own come first.
    """

    number: int
    file: Path
    size: tuple[int, int]
    background: str
    seed: int
    split: Split
    instances: tuple[Instance, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the file's name alone."""
        instances = [vars(instance) for instance in self.instances]
        return vars(self) | {"file": self.file.name, "instances": instances}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], folder: Path) -> Self:
        """What :meth:`to_json` gave, of a picture in ``folder``."""
        instances: Sequence[Mapping[str, Any]] = values["instances"]
        changed = {
            "file": folder / values["file"],
            "size": tuple(values["size"]),
            "instances": tuple(
                Instance(**{**instance, "box": tuple(instance["box"])}) for instance in instances
            ),
        }
        return cls(**{**values, **changed})
