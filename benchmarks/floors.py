"""The floors of `blend`: what the kernel must reach, at which shape and number of threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.cases import BLEND
from benchmarks.figures import Line
from benchmarks.peers import MODES
from benchmarks.promise import Floor
from benchmarks.scenes import COVERAGES, SHAPE_OF_FLOORS, SHAPES

FORWARD, BACKWARD = MODES
SMALL, LARGE = COVERAGES
SMALLEST = SHAPES[0]
# (shape, mode, peer, how many times our time the peer must take)
RATIOS = (
    (SHAPE_OF_FLOORS, FORWARD, "OpenCV", 2.5),
    (SHAPE_OF_FLOORS, FORWARD, "kornia", 4.0),
    (SHAPE_OF_FLOORS, FORWARD, "eager", 12.0),
    (SHAPE_OF_FLOORS, BACKWARD, "eager", 18.0),
    (SHAPE_OF_FLOORS, BACKWARD, "compiled", 8.0),
    (SMALLEST, FORWARD, "OpenCV", 4.0),
    (SMALLEST, FORWARD, "eager", 5.0),
    (SMALLEST, BACKWARD, "compiled", 6.0),
)
# The same maps, a smaller mask. Nothing is promised if the map shrinks the object: as many bytes
# are read.
LARGE_OVER_SMALL = 2.0
# Our time in copy floors, at most, and the aim: on one thread, on all.
COPIES_ON_ONE, COPIES_ON_ALL = (4.5, 3.5), (3.2, 2.5)
# Our time for half of the bytes as a share of our time for all, at most, and the aim.
HALF_OF_THE_BYTES = (1.0, 0.7)


def name(shape: tuple[int, ...]) -> str:
    """Name a shape as the table does."""
    return " x ".join(map(str, shape))


def check(lines: Sequence[Line], threads: int) -> list[Floor]:
    """Hold the lines against the promises on ``threads`` threads; a quick run has not all lines.

    Float32 and half coverage if nothing else is said.
    """
    here = {
        (line.shape, line.dtype, line.threads, line.mode, line.coverage): line
        for line in lines
        if line.op == BLEND and not line.shrunk
    }

    def find(
        shape: tuple[int, ...],
        mode: str,
        coverage: float = LARGE,
        dtype: str = "float32",
        count: int = threads,
    ) -> Any:
        return here.get((shape, dtype, count, mode, coverage))

    floors = []
    for shape, mode, peer, wanted in RATIOS:
        if line := find(shape, mode):
            what = f"{name(shape)}, {mode}, times faster than {peer}"
            floors.append(Floor(what, wanted, line.ratio(peer)))
    for mode in MODES:
        large, small = (find(SHAPE_OF_FLOORS, mode, share) for share in (LARGE, SMALL))
        what = f"{mode}, times faster at a tenth coverage than at half"
        floors.append(Floor(what, LARGE_OVER_SMALL, large.own_ms / small.own_ms))
    floors += _copies(find(SHAPE_OF_FLOORS, FORWARD, count=1), *COPIES_ON_ONE)
    if threads > 1:
        floors += _copies(find(SHAPE_OF_FLOORS, FORWARD), *COPIES_ON_ALL)
    for shape in SHAPES:
        for mode in MODES:
            for count in sorted({1, threads}):
                half = find(shape, mode, dtype="bfloat16", count=count)
                if half:
                    full = find(shape, mode, count=count)
                    what = f"{name(shape)}, {mode}, {count} thread(s), bfloat16's time in float32's"
                    most, aim = HALF_OF_THE_BYTES
                    floors.append(Floor(what, most, half.own_ms / full.own_ms, False, aim))
    n, channels, height, width = SHAPE_OF_FLOORS
    image = 4 * channels * height * width / 2**20
    for mode in MODES:
        peak = find(SHAPE_OF_FLOORS, mode).figures["compositor"].peak_mib
        if peak is not None:  # the composite is an output in both modes; theta's gradient is tiny
            what = f"{mode}, MiB allocated beyond the outputs (one image: {image:.3g})"
            floors.append(Floor(what, image, peak - n * image, at_least=False))
    return floors


def _copies(line: Line | None, most: float, aim: float) -> list[Floor]:
    if line is None or line.floor_ms is None:
        return []
    what = f"{name(line.shape)}, {line.mode}, {line.threads} thread(s), our time in copy floors"
    return [Floor(what, most, line.own_ms / line.floor_ms, False, aim)]
