"""The floors of `generate`, each with the aim beyond it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.cases import GENERATE
from benchmarks.figures import Line
from benchmarks.generate.peers import FILES, FIRST, JPEG, OWN, RENDERING, VISION_SYNTHESIS
from benchmarks.promise import Floor

RATE, OF_THE_ENCODER = 100.0, 0.5  # pictures a second, and the share of what JPEG alone does
RENDERED = 0.25  # the share of our time that rendering and labels may take
FIRST_PICTURE = 5.0  # seconds
OVER_VISION_SYNTHESIS = (1.5, 2.5)
TWO_OVER_ONE = (1.9, 1.95)  # times faster with two workers than with one


def check(lines: Sequence[Line]) -> list[Floor]:
    """Hold the lines against the promises; a peer that is not installed has none."""
    own = [line for line in lines if line.op == GENERATE]
    floors = [floor for line in own if line.threads == 1 for floor in _alone(line)]
    return floors + [floor for line in own if line.threads == 2 for floor in _two(line, own)]


def _title(line: Line) -> str:
    return f"{line.shape[2]} x {line.shape[3]}, {line.objects} objects"


def _rate(line: Line, peer: str) -> float:
    """Return how many pictures a second a peer makes."""
    return 1e3 * line.shape[0] / line.figures[peer].ms


def _alone(line: Line) -> Iterator[Floor]:
    what = f"{_title(line)}, one worker"
    half = OF_THE_ENCODER * _rate(line, JPEG)
    yield Floor(f"{what}, pictures a second", min(RATE, half), _rate(line, OWN), aim=half)
    share = line.figures[RENDERING].ms / line.own_ms
    yield Floor(f"{what}, share of rendering and labels", RENDERED, share, at_least=False)
    seconds = line.figures[FIRST].ms / 1e3
    what_first = f"first picture from {FILES} RGBA files, seconds"
    yield Floor(what_first, FIRST_PICTURE, seconds, at_least=False)
    if VISION_SYNTHESIS in line.figures:
        least, aim = OVER_VISION_SYNTHESIS
        ratio = line.ratio(VISION_SYNTHESIS)
        yield Floor(f"{what}, times faster than {VISION_SYNTHESIS}", least, ratio, aim=aim)


def _two(line: Line, lines: Sequence[Line]) -> Iterator[Floor]:
    for other in lines:
        if other.threads == 1 and other.shape == line.shape:
            least, aim = TWO_OVER_ONE
            ratio = other.own_ms / line.own_ms
            what = f"{line.shape[2]} x {line.shape[3]}, {line.objects} objects"
            yield Floor(
                f"{what}, times faster with two workers than with one", least, ratio, aim=aim
            )
