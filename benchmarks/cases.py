"""Which measurements are taken, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.peers import MODES, PEERS
from benchmarks.scenes import COVERAGES, DTYPES, SHAPE_OF_FLOORS, SHAPES, Shape

COPY = "copy"  # the row that the floor is computed from
# The larger the shape, the longer a call and the less it feels a neighbour's burst of work.
SWEEPS: dict[Shape, int] = dict(zip(SHAPES, (5, 5, 3), strict=True))


@dataclass(frozen=True)
class Case:
    """One figure of the table, on one number of threads."""

    shape: Shape
    dtype: str
    coverage: float
    mode: str
    peer: str

    def __str__(self) -> str:
        return "-".join(map(str, (*self.shape, self.dtype, self.coverage, self.mode, self.peer)))


def _measured(peer: str, shape: Shape, dtype: str, mode: str) -> bool:
    if peer == "OpenCV":  # no gradients, no bfloat16
        return mode == "forward" and dtype == "float32"
    # Peers convert bfloat16 to float32 and back: once is enough to see what that costs.
    return peer == "compositor" or dtype == "float32" or shape == SHAPE_OF_FLOORS


def cases(quick: bool) -> Iterator[tuple[int, Case]]:
    """Yield (sweep, case): every sweep times all peers in turn, so that noise hits all alike."""
    for shape in (SHAPE_OF_FLOORS,) if quick else SHAPES:
        for dtype in ("float32",) if quick else DTYPES:
            for sweep in range(SWEEPS[shape]):
                for mode in MODES:
                    for coverage in COVERAGES:
                        for peer in PEERS:
                            if _measured(peer, shape, dtype, mode):
                                yield sweep, Case(shape, dtype, coverage, mode, peer)
                        if mode == "forward":
                            yield sweep, Case(shape, dtype, coverage, mode, COPY)
