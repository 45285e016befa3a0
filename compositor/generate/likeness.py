"""How a data set's objects differ from those of real pictures: five counts, a distance for each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compositor.scenes.observed import Seen, observe

Counts = NDArray[np.int64]
PARTS: Mapping[str, NDArray[np.float64]] = {
    "number": np.arange(0.5, 21),
    "size": 2.0 ** np.arange(-7, 0.25, 0.25),
    "aspect": 2.0 ** np.arange(-3, 3.25, 0.25),
    "overlap": np.arange(21) / 20,
}
"""Edges of the parts in which objects are counted; the first and the last hold all beyond."""
PLACES = 12
"""Rows and columns in which the boxes' centres are counted."""
TITLES = {
    "number": "Objects of a picture that has any",
    "size": "Size (root of the box's share of the picture)",
    "aspect": "Aspect (the box's width over its height)",
    "overlap": "Overlap (largest share of the box that another covers)",
    "place": "Place (the boxes' centres)",
}


def _none() -> dict[str, Counts]:
    counts = {name: np.zeros(len(edges) - 1, np.int64) for name, edges in PARTS.items()}
    return {**counts, "place": np.zeros((PLACES, PLACES), np.int64)}


@dataclass
class Measured:
    """Counts of pictures' objects, less those to ignore.

    Attributes:
        pictures: Those that have an object.
        counts: By ``number`` pictures, by ``size``, ``aspect`` and ``overlap`` objects, in the
            parts of ``PARTS``; by ``place`` objects, (12, 12) from the top left corner.
    """

    pictures: int = 0
    counts: dict[str, Counts] = field(default_factory=_none)

    @classmethod
    def of(cls, pictures: Iterable[Seen]) -> "Measured":
        """Count all pictures."""
        found = cls()
        for picture in pictures:
            found.add(picture)
        return found

    def add(self, picture: Seen) -> None:
        """Count a picture's objects, if it has any."""
        found = observe([picture])
        if found is None:
            return
        _, (height, width) = picture
        values = {
            "number": found.numbers,
            "size": found.sizes * sqrt(min(height, width) / max(height, width)),
            "aspect": found.aspects,
            "overlap": found.overlaps,
        }
        self.pictures += 1
        for name, edges in PARTS.items():
            self.counts[name] += np.histogram(values[name].clip(edges[0], edges[-1]), edges)[0]
        column, row = (found.places * PLACES).astype(np.int64).clip(0, PLACES - 1).T
        np.add.at(self.counts["place"], (row, column), 1)

    @property
    def objects(self) -> int:
        """Objects of all pictures."""
        return int(self.counts["place"].sum())


def distances(made: Measured, real: Measured | None) -> dict[str, float]:
    """How far apart two sets of pictures are in each count; empty if one of them has no object."""
    if real is None or not made.pictures or not real.pictures:
        return {}
    return {name: distance(made.counts[name], real.counts[name]) for name in TITLES}


def distance(first: Counts, second: Counts) -> float:
    """The Kolmogorov-Smirnov distance between two histograms with the same parts.

    The largest difference, over all edges between parts, of the shares on one side of it; in two
    dimensions over all corners, of the shares in one quadrant around it (Peacock's). 0: the shares
    are the same; 1: some edge or corner has all of one on its one side and none of the other.

    Args:
        first: Counts in one or two dimensions, not all 0.
        second: Counts of the same shape.
    """
    apart = first / first.sum() - second / second.sum()
    largest = 0.0
    for steps in product((1, -1), repeat=apart.ndim):
        sums = apart[tuple(slice(None, None, step) for step in steps)]
        for axis in range(apart.ndim):
            sums = sums.cumsum(axis)
        largest = max(largest, float(np.abs(sums).max()))
    return largest


def draw(figure: Any, made: Measured, real: Measured) -> None:
    """Draw all counts of both as shares, with their distances, on a figure of Matplotlib's."""
    figure.suptitle(
        f"{made.objects:,} objects beside {real.objects:,} of {real.pictures:,} real pictures; "
        "distance 0: alike, 1: wholly apart"
    )
    axes = iter(figure.subplots(2, 3).flat)
    apart = distances(made, real)
    for name, edges in PARTS.items():
        axis = next(axes)
        axis.stairs(_shares(made, name), edges, fill=True, alpha=0.6, label="generated")
        axis.stairs(_shares(real, name), edges, color="black", linewidth=1.5, label="real")
        if name in ("size", "aspect"):
            axis.set_xscale("log", base=2)
            axis.xaxis.set_major_formatter("{x:.2g}")
        if name == "number":
            axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set_title(f"{TITLES[name]}\ndistance {apart[name]:.2f}")
        axis.legend()
    both = [_shares(made, "place"), _shares(real, "place")]
    most = max(shares.max() for shares in both)
    for shares, told in zip(
        both, (f"generated, distance {apart['place']:.2f}", "real"), strict=True
    ):
        axis = next(axes)
        axis.imshow(shares, "viridis", vmin=0, vmax=most, extent=(0, 1, 1, 0))
        axis.set_title(f"{TITLES['place']}\n{told}")


def _shares(measured: Measured, name: str) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = measured.counts[name] / measured.counts[name].sum()
    return shares
