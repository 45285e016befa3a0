"""What readers yield: photographs with their annotations, and cut-outs with their masks.

A reader checks its folder, lists the images cheaply and returns :class:`Records`. Files are decoded
only when a record is loaded, which ``prepared.py`` does once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

BACKGROUND = "__background__"
"""The class at index 0, to which no object belongs."""

Box = tuple[float, float, float, float]
"""(x1, y1, x2, y2) in pixels, right and bottom exclusive."""
Item = TypeVar("Item", "Photograph", "Cutout")
LeftOut = dict[str, list[str]]
"""Names of what could not be used, by reason."""
Ignored = Literal["difficult", "crowd"]
"""Kinds of objects that are neither right nor wrong to find; VOC and COCO match each by rules of
their own."""


class Skip(Exception):
    """An image or an object that cannot be used; it is left out and reported by its reason.

    Raised while a record is loaded, it leaves out the rest of the record; yielded, one object.

    Args:
        reason: The same words whenever it applies, so that it can be counted.
        name: The image's or object's name.
        cutout: The object, if there is one to show.
    """

    def __init__(self, reason: str, name: str, cutout: "Cutout | None" = None) -> None:
        super().__init__(f"{name}: {reason}")
        self.reason, self.name, self.cutout = reason, name, cutout

    def bare(self) -> "Skip":
        """The same as if never raised: an error holds its frames, and these the decoded picture."""
        return Skip(self.reason, self.name, self.cutout)


class Found(NamedTuple):
    """An object as a file gives it, not yet checked against the image.

    Attributes:
        name: Unique in its data set.
        box: None if the file has no valid box.
        label: Index into the classes, from 1.
        ignore: Whether it is neither right nor wrong to find.
        mask: (H, W) bool, its pixels, if they are known.
    """

    name: str
    box: Box | None
    label: int
    ignore: bool
    mask: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Annotation:
    """The objects of an image.

    Attributes:
        boxes: (n, 4) float32, (x1, y1, x2, y2) in pixels, right and bottom exclusive.
        labels: (n,) int64, indices into the classes, never 0, which is the background.
        ignore: (n,) bool, which are neither right nor wrong to find (VOC difficult, COCO crowd).
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    ignore: NDArray[np.bool_]

    def __post_init__(self) -> None:
        n = len(self.labels)
        if self.boxes.shape != (n, 4) or self.labels.shape != (n,) or self.ignore.shape != (n,):
            raise ValueError(
                f"boxes {self.boxes.shape}, labels {self.labels.shape} and ignore "
                f"{self.ignore.shape}: wanted (n, 4), (n,) and (n,)"
            )

    @classmethod
    def of(cls, objects: Sequence[tuple[Sequence[float], int, bool]] = ()) -> "Annotation":
        """Make one from (box, label, ignore) triples; none gives an image without objects."""
        return cls(
            np.array([box for box, _, _ in objects], np.float32).reshape(-1, 4),
            np.array([label for _, label, _ in objects], np.int64),
            np.array([ignore for _, _, ignore in objects], np.bool_),
        )

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Photograph:
    """A decoded photograph.

    Attributes:
        name: Unique in its data set, such as ``VOC2007/000005``.
        image: (H, W, 3) uint8, RGB.
        annotation: Its objects, in this image's pixels.
        masks: Of each object its pixels (H, W) bool, or None if they are not known; empty where
            masks were not asked for.
    """

    name: str
    image: NDArray[np.uint8]
    annotation: Annotation
    masks: tuple[NDArray[np.bool_] | None, ...] = ()


@dataclass(frozen=True)
class Cutout:
    """A decoded object and its mask, in the frame of the photograph it comes from.

    Attributes:
        name: Unique in its data set.
        image: (H, W, 3) uint8, RGB.
        mask: (H, W) bool, True on the object.
        label: Index into the classes, from 1.
        box: The annotated box, (x1, y1, x2, y2) in pixels, if there is one.
        surroundings: Whether the image shows them; a transparent pixel has any colour.
    """

    name: str
    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    label: int
    box: Box | None = None
    surroundings: bool = True


@dataclass(frozen=True)
class Record(Generic[Item]):
    """What can be loaded from an image: one photograph, or any number of cut-outs.

    Attributes:
        name: The image's name in reports.
        files: All files that loading reads; if any changes, the data is prepared again.
        load: Decodes them; yields items, or a :class:`Skip` in an item's place, or raises one.
    """

    name: str
    files: tuple[Path, ...]
    load: Callable[[], Iterable[Item | Skip]]

    def loaded(self) -> tuple[list[Item], list[Skip]]:
        """Decode it all: what can be used, and what cannot."""
        items: list[Item] = []
        skips: list[Skip] = []
        try:
            for item in self.load():
                skips.append(item.bare()) if isinstance(item, Skip) else items.append(item)
        except Skip as skip:
            skips.append(skip.bare())
        return items, skips


def counted(left_out: Mapping[str, Sized]) -> str:
    """How much was left out for each reason."""
    return ", ".join(f"{reason}: {len(lost)}" for reason, lost in left_out.items())


def note(left_out: LeftOut, skips: Iterable[Skip]) -> None:
    """Add what could not be used to its reason, each name once.

    It goes over all the names there: call it once for many.
    """
    found: dict[str, dict[str, None]] = {}
    for skip in skips:
        found.setdefault(skip.reason, {})[skip.name] = None
    for reason, names in found.items():
        left_out[reason] = list(dict.fromkeys(left_out.get(reason, ())) | names)


@dataclass(frozen=True)
class Records(Generic[Item]):
    """A data set, listed and checked but not yet decoded.

    Attributes:
        source: A description, with every option that affects what is read.
        classes: Names by label; index 0 is ``__background__``.
        records: One per image, in a fixed order.
        left_out: Names of whatever listing already left out, by reason. What loading leaves out
            joins them in :attr:`compositor.data.prepared.Prepared.left_out`.
        ignored: The kind of objects that annotations say to ignore.
        ids: The source's own ids of the classes, by name, where it has any.
    """

    source: str
    classes: tuple[str, ...]
    records: Sequence[Record[Item]]
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ignored: Ignored = "difficult"
    ids: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.records)
