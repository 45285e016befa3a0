"""The measurements of `render` to take, and their order."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.cases import RENDER, Case
from benchmarks.peers import MODES
from benchmarks.render import packages
from benchmarks.render.peers import COPY_PASTE, PEERS
from benchmarks.render.scenes import BYTES, FLOATS
from benchmarks.scenes import Shape

FORWARD, BACKWARD = MODES
BATCHES = (1, 8)  # a picture at a time, as in a loader's worker, and what `segpaste` takes
# Canvases of bytes, and how many objects each has.
LARGEST = (1080, 1920)
SCENES = {(512, 512): (5, 20), (256, 256): (5,), LARGEST: (8,)}
FLOATS_SHAPE: Shape = (4, 3, 300, 300)
FLOATS_OBJECTS = 20
SWEEPS = 5


def sessions() -> list[tuple[Shape, str]]:
    """List the (shape, dtype) pairs, each of which is measured in its own process."""
    bytes_ = [((n, 3, *canvas), BYTES) for canvas in SCENES for n in BATCHES]
    return [*bytes_, (FLOATS_SHAPE, FLOATS)]


def _measured(peer: str, shape: Shape) -> bool:
    if peer in ("segpaste", COPY_PASTE):
        # A batch of one has no other picture to paste from; the largest takes seconds a call.
        return peer not in packages.missing() and shape[0] > 1 and shape[2:] != LARGEST
    return peer not in packages.missing()


def cases(shape: Shape, dtype: str) -> Iterator[tuple[int, Case]]:
    """Yield (sweep, case): every sweep times all peers in turn, so that noise affects all alike."""
    modes = (FORWARD,) if dtype == BYTES else MODES
    counts = SCENES[shape[2:]] if dtype == BYTES else (FLOATS_OBJECTS,)
    for mode in modes:
        for sweep in range(SWEEPS):
            for objects in counts:
                for peer in PEERS[dtype]:
                    if _measured(peer, shape):
                        yield sweep, Case(RENDER, shape, dtype, objects, None, False, mode, peer)
