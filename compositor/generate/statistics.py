"""``statistics.png``, and what it and the report count: classes, sizes, places, visibility."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compositor.data.figures import plt, save
from compositor.data.labels import LabelledPicture
from compositor.data.records import Annotation
from compositor.generate import likeness
from compositor.generate.drawing import shown
from compositor.generate.likeness import Measured

PARTS = 10
"""Parts that visibility and confidence, shares from 0 to 1, are counted in."""
PLACES = 24
"""Rows and columns of the map of places."""
FEW = 6
"""Bars that a figure has room for at least, or a single one would fill it."""
SHOWN = 20
"""Most bars of a figure; what is rarer is summed up in one more."""


@dataclass
class Statistics:
    """Counts of a data set's labels, in memory that does not grow with its pictures.

    Attributes:
        classes: Names by label; index 0 is ``__background__``.
        pictures: How many.
        ignored: Objects that are neither right nor wrong to find.
        labels: Objects by label.
        per_picture: Pictures by how many objects they have.
        sizes: Objects by the power of two, in pixels, of their area's root, rounded down.
        visibility: Objects by tenths of their visibility, the last with 1.
        confidence: Objects that a detector judged, by tenths of its confidence.
        cutouts: Pictures by the name of a cut-out that they show.
        places: (24, 24), how much of each part of the pictures boxes cover, in pictures.
        measured: What is compared with real pictures.
    """

    classes: Sequence[str]
    pictures: int = 0
    ignored: int = 0
    labels: Counter[int] = field(default_factory=Counter)
    per_picture: Counter[int] = field(default_factory=Counter)
    sizes: Counter[int] = field(default_factory=Counter)
    visibility: Counter[int] = field(default_factory=Counter)
    confidence: Counter[int] = field(default_factory=Counter)
    cutouts: Counter[str] = field(default_factory=Counter)
    places: NDArray[np.float64] = field(default_factory=lambda: np.zeros((PLACES, PLACES)))
    measured: Measured = field(default_factory=Measured)

    def add(self, picture: LabelledPicture) -> None:
        """Count a picture."""
        self.pictures += 1
        self.per_picture[len(picture.instances)] += 1
        self.cutouts.update({each.cutout for each in picture.instances if each.cutout is not None})
        for instance in picture.instances:
            self.labels[instance.label] += 1
            self.ignored += instance.ignore
            self.sizes[math.frexp(math.sqrt(instance.area))[1] - 1] += 1
            self.visibility[_part(instance.visibility)] += 1
            if instance.confidence is not None:
                self.confidence[_part(instance.confidence)] += 1
            self.places += _covered(instance.box, picture.size)
        objects = [(each.box, each.label, each.ignore) for each in picture.instances]
        self.measured.add((Annotation.of(objects), picture.size))

    @property
    def objects(self) -> int:
        """Objects of all classes, ignored ones too."""
        return self.labels.total()

    def by_confidence(self) -> dict[str, int]:
        """Objects by tenths of the detector's confidence; empty if none was judged."""
        return _shares(self.confidence) if self.confidence else {}

    def figures(self) -> dict[str, dict[str, int]]:
        """What to draw as bars: counts by name, by the figure's title."""
        named = {self.classes[label]: number for label, number in self.labels.most_common()}
        uses = Counter(self.cutouts.values())
        found = {
            "Objects by class": _most(named, "other classes"),
            "Objects by size (root of the area, pixels)": {
                f"{2**power} to {2 ** (power + 1)}": number
                for power, number in _every(self.sizes).items()
            },
            "Objects by visible share": _shares(self.visibility),
            "Pictures by number of objects": _most(
                {str(count): number for count, number in sorted(self.per_picture.items())}, "more"
            ),
            "Cut-outs by number of pictures": _most(
                {str(count): number for count, number in sorted(uses.items())}, "more"
            ),
        }
        if self.confidence:
            found["Objects by the detector's confidence"] = self.by_confidence()
        return found

    def summary(self) -> str:
        """One line."""
        used = f", of {len(self.cutouts):,} cut-outs" if self.cutouts else ""
        ignored = f", {self.ignored:,} of them ignored" if self.ignored else ""
        empty = (
            f", {self.per_picture[0]:,} of them without an object" if self.per_picture[0] else ""
        )
        return f"{self.pictures:,} pictures{empty}; {self.objects:,} objects{ignored}{used}"


def write(statistics: Statistics, path: Path, real: Measured | None = None) -> None:
    """Draw the statistics.

    Args:
        statistics: What to draw.
        path: The picture.
        real: Real pictures' objects to draw beside the generated ones, if there are any.

    Raises:
        DataError: The disk is full.
    """
    drawn = statistics.figures()
    columns = -(-(len(drawn) + 1) // 2)
    if not likeness.distances(statistics.measured, real):
        real = None
    rows = 1 if real is None else 2
    figure = plt.figure(figsize=(5 * columns, 9 * rows), layout="constrained")
    counted, *compared = figure.subfigures(rows, squeeze=False)[:, 0]
    counted.suptitle(statistics.summary())
    if real is not None:
        likeness.draw(compared[0], statistics.measured, real)
    first, *others = counted.subplots(2, columns).flat
    (title, classes), *rest = drawn.items()
    first.barh(range(len(classes)), classes.values())
    labels = [
        shown(name, statistics.classes.index(name)) if name in statistics.classes else name
        for name in classes
    ]
    first.set_yticks(range(len(classes)), labels, parse_math=False)
    first.set_ylim(max(len(classes), FEW) - 0.5, -0.5)  # downwards
    first.set_title(title)
    places = others[0].imshow(
        statistics.places / max(statistics.pictures, 1), "viridis", vmin=0, extent=(0, 1, 1, 0)
    )
    others[0].set_title("Places (boxes over each part of the picture)")
    counted.colorbar(places, ax=others[0])
    for axis, (title, counts) in zip(others[1:], rest, strict=False):
        axis.bar(range(len(counts)), counts.values())
        turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        long = any(len(name) > 3 for name in counts)
        axis.set_xticks(range(len(counts)), counts, **(turned if long else {}))
        axis.set_xlim(-0.7, max(len(counts), FEW) - 0.3)
        axis.yaxis.get_major_locator().set_params(integer=True)
        axis.set_title(title)
    for axis in others[1 + len(rest) :]:
        axis.set_axis_off()
    save(figure, path)


def _part(share: float) -> int:
    return min(int(share * PARTS + 1e-9), PARTS - 1)


def _shares(counts: Mapping[int, int]) -> dict[str, int]:
    return {
        f"{100 * part // PARTS} to {100 * (part + 1) // PARTS} %": counts.get(part, 0)
        for part in range(PARTS)
    }


def _every(counts: Mapping[int, int]) -> dict[int, int]:
    """The counts in order, with zeros between the first and the last."""
    between = range(min(counts), max(counts) + 1) if counts else ()
    return {key: counts.get(key, 0) for key in between}


def _most(counts: Mapping[str, int], rest: str) -> dict[str, int]:
    """The first counts, and the sum of all others under one name."""
    items = list(counts.items())
    if len(items) <= SHOWN:
        return dict(items)
    others = sum(number for _, number in items[SHOWN:])
    return dict(items[:SHOWN]) | {f"{len(items) - SHOWN} {rest}": others}


def _covered(box: Sequence[float], size: tuple[int, int]) -> Any:
    """How much of each part of the picture a box covers, from 0 to 1."""
    height, width = size
    parts = np.arange(PLACES)
    x1, x2 = (PLACES * box[side] / width for side in (0, 2))
    y1, y2 = (PLACES * box[side] / height for side in (1, 3))
    across = (np.minimum(parts + 1, x2) - np.maximum(parts, x1)).clip(0)
    down = (np.minimum(parts + 1, y2) - np.maximum(parts, y1)).clip(0)
    return down[:, None] * across
