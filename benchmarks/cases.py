"""The measurements of `blend` to take, and their order; what a measurement is, of all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from benchmarks.peers import MODES, PEERS
from benchmarks.scenes import DTYPES, OBJECTS, SHAPE_OF_FLOORS, SHAPES, Shape

BLEND, RENDER, GENERATE = OPS = ("blend", "render", "generate")
COPY = "copy"  # the floor is computed from this row
# The larger the shape, the longer a call takes and the less another process's burst disturbs it.
SWEEPS: dict[Shape, int] = dict(zip(SHAPES, (5, 5, 3), strict=True))


@dataclass(frozen=True)
class Case:
    """One figure of the table, on one number of threads."""

    op: str
    shape: Shape
    dtype: str
    objects: int  # on each canvas
    coverage: float | None  # of the canvas, as asked for; None where the objects' sizes vary
    shrunk: bool
    mode: str
    peer: str

    def __str__(self) -> str:
        size = f"{self.coverage or self.objects}{'-shrunk' * self.shrunk}"
        return "-".join(map(str, (*self.shape, self.dtype, size, self.mode, self.peer)))


def _measured(peer: str, shape: Shape, dtype: str, mode: str) -> bool:
    if peer == "OpenCV":  # no gradients, no bfloat16
        return mode == "forward" and dtype == "float32"
    # Peers convert bfloat16 to float32 and back; one shape is enough to see the cost.
    return peer == "compositor" or dtype == "float32" or shape == SHAPE_OF_FLOORS


def sessions(quick: bool) -> list[tuple[Shape, str]]:
    """List the (shape, dtype) pairs, each of which is measured in its own process.

    How many pages of a peer's temporaries fault in every call depends on what was on the heap
    before: eager's forward took 53 ms in one process for all shapes, 118 ms in its own.
    """
    return [(SHAPE_OF_FLOORS, "float32")] if quick else list(product(SHAPES, DTYPES))


def cases(shape: Shape, dtype: str) -> Iterator[tuple[int, Case]]:
    """Yield (sweep, case): every sweep times all peers in turn, so that noise affects all alike.

    The backward comes last: what autograd leaves on the heap would affect the forward's figures.
    """
    for mode, sweep, (coverage, shrunk) in product(MODES, range(SWEEPS[shape]), OBJECTS):
        if shrunk and shape != SHAPE_OF_FLOORS:
            continue
        for peer in PEERS:
            if _measured(peer, shape, dtype, mode):
                yield sweep, Case(BLEND, shape, dtype, 1, coverage, shrunk, mode, peer)
        if mode == "forward":
            yield sweep, Case(BLEND, shape, dtype, 1, coverage, shrunk, mode, COPY)
