"""The floors of `render`, each with the aim beyond it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from benchmarks.cases import RENDER
from benchmarks.figures import Line
from benchmarks.floors import name
from benchmarks.promise import Floor
from benchmarks.render.cases import LARGEST
from benchmarks.render.peers import COPY_PASTE
from benchmarks.render.scenes import BYTES, FLOATS

# How many times our time a peer must take, and the aim, on one thread.
ON_BYTES = {"OpenCV": (2.0, 3.5), "vision-synthesis": (3.5, 6.0), "segpaste": (8.0, 15.0)}
ON_THE_LARGEST = {"OpenCV": (2.0, 3.0)}
ON_FLOATS = {"blends": (4.0, 8.0)}
COPY_PASTE_OVER_SEGPASTE = 8.0  # at 512 x 512
TWO_OVER_ONE = (1.8, 1.95)  # times faster on two threads than on one, a batch


def check(lines: Sequence[Line]) -> list[Floor]:
    """Hold the lines against the promises; a peer that is not installed has none."""
    own = [line for line in lines if line.op == RENDER]
    floors = [floor for line in own if line.threads == 1 for floor in _ratios(line)]
    floors += [floor for line in own if line.threads == 1 for floor in _copy_paste(line)]
    floors += [floor for line in own for floor in _two_over_one(line, own)]
    return floors + [floor for line in own if line.threads == 1 for floor in _memory(line)]


def _title(line: Line) -> str:
    mode = "" if line.dtype == BYTES else f", {line.mode}"
    return f"{name(line.shape)}, {line.objects} objects, {line.dtype}{mode}"


def _ratios(line: Line) -> Iterator[Floor]:
    wanted = ON_FLOATS if line.dtype == FLOATS else ON_BYTES
    if line.shape[2:] == LARGEST:
        wanted = ON_THE_LARGEST
    for peer, (least, aim) in wanted.items():
        if peer in line.figures:
            what = f"{_title(line)}, one thread, times faster than {peer}"
            yield Floor(what, least, line.ratio(peer), aim=aim)


def _copy_paste(line: Line) -> Iterator[Floor]:
    if line.shape[2:] == (512, 512) and {COPY_PASTE, "segpaste"} <= line.figures.keys():
        times = line.figures["segpaste"].ms / line.figures[COPY_PASTE].ms
        what = f"{_title(line)}, one thread, times that CopyPaste is faster than segpaste"
        yield Floor(what, COPY_PASTE_OVER_SEGPASTE, times)


def _two_over_one(line: Line, lines: Sequence[Line]) -> Iterator[Floor]:
    if line.dtype != BYTES or line.shape[0] == 1 or line.threads != 2:
        return
    for other in lines:
        if other.threads == 1 and _title(other) == _title(line):
            what = f"{_title(line)}, times faster on two threads than on one"
            least, aim = TWO_OVER_ONE
            yield Floor(what, least, other.own_ms / line.own_ms, aim=aim)


def _memory(line: Line) -> Iterator[Floor]:
    """Composite and owners are outputs; the other labels and theta's gradient are tiny."""
    peak = line.figures["compositor"].peak_mib
    if peak is None:
        return
    n, channels, height, width = line.shape
    canvas = prod((channels, height, width)) * (1 if line.dtype == BYTES else 4) / 2**20
    owners = n * height * width * 4 / 2**20 if line.dtype == BYTES else 0
    what = f"{_title(line)}, MiB allocated beyond the outputs (one canvas: {canvas:.3g})"
    yield Floor(what, canvas, peak - n * canvas - owners, at_least=False)
