"""What the kernel must reach, at the shape and on the threads where it is promised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.figures import Line
from benchmarks.peers import MODES
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
LARGE_OVER_SMALL = 2.0


@dataclass(frozen=True)
class Floor:
    """One promise and what was measured of it."""

    what: str
    wanted: float
    measured: float
    at_least: bool = True

    @property
    def passed(self) -> bool:
        """Whether the promise is kept."""
        return self.measured >= self.wanted if self.at_least else self.measured <= self.wanted

    def __str__(self) -> str:
        verdict = "pass" if self.passed else "MISS"
        bound = "at least" if self.at_least else "at most"
        return f"{verdict}: {self.what}: {self.measured:.3g} (wanted {bound} {self.wanted:.3g})"


def check(lines: Sequence[Line], threads: int) -> list[Floor]:
    """Hold the lines against the promises: float32, ``threads`` threads, half coverage."""
    here = {
        (line.mode, line.coverage): line
        for line in lines
        if (line.shape, line.dtype, line.threads) == (SHAPE_OF_FLOORS, "float32", threads)
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
