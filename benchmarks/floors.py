"""The floors: what the kernel must reach at the promised shape and number of threads."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.figures import Line
from benchmarks.peers import MODES
from benchmarks.promise import Floor
from benchmarks.scenes import COVERAGES, SHAPE_OF_FLOORS

FORWARD, BACKWARD = MODES
SMALL, LARGE = COVERAGES
# (mode, peer, how many times our time the peer must take)
RATIOS = (
    (FORWARD, "OpenCV", 2.5),
    (FORWARD, "kornia", 4.0),
    (FORWARD, "eager", 12.0),
    (BACKWARD, "eager", 18.0),
    (BACKWARD, "compiled", 8.0),
)
# The same maps, a smaller mask. Nothing is promised if the map shrinks the object: as many bytes
# are read.
LARGE_OVER_SMALL = 2.0


def check(lines: Sequence[Line], threads: int) -> list[Floor]:
    """Hold the lines against the promises: float32, ``threads`` threads, half coverage."""
    here = {
        (line.mode, line.coverage): line
        for line in lines
        if (line.shape, line.dtype, line.threads) == (SHAPE_OF_FLOORS, "float32", threads)
        and not line.shrunk
    }
    floors = [
        Floor(f"{mode}, times faster than {peer}", wanted, here[mode, LARGE].ratio(peer))
        for mode, peer, wanted in RATIOS
    ]
    for mode in MODES:
        large, small = (here[mode, share].figures["compositor"] for share in (LARGE, SMALL))
        what = f"{mode}, times faster at a tenth coverage than at half"
        floors.append(Floor(what, LARGE_OVER_SMALL, large.ms / small.ms))
    n, channels, height, width = SHAPE_OF_FLOORS
    image = 4 * channels * height * width / 2**20
    for mode in MODES:
        peak = here[mode, LARGE].figures["compositor"].peak_mib
        if peak is not None:  # the composite is an output in both modes; theta's gradient is tiny
            what = f"{mode}, MiB allocated beyond the outputs (one image: {image:.3g})"
            floors.append(Floor(what, image, peak - n * image, at_least=False))
    return floors
