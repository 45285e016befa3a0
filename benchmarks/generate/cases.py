"""The measurements of `generate` to take, and their order."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.cases import GENERATE, Case
from benchmarks.generate.peers import PEERS
from benchmarks.render import packages
from benchmarks.render.scenes import BYTES
from benchmarks.scenes import Shape

# Forty shards: starting two processes takes a tenth of a second.
SHAPE: Shape = (2000, 3, 512, 512)
OBJECTS = 5
SWEEPS = 3


def sessions() -> list[tuple[Shape, str]]:
    """List the (shape, dtype) pairs, each of which is measured in its own process."""
    return [(SHAPE, BYTES)]


def cases(shape: Shape, dtype: str) -> Iterator[tuple[int, Case]]:
    """Yield (sweep, case): every sweep times all peers in turn, so that noise affects all alike."""
    for sweep in range(SWEEPS):
        for peer in PEERS:
            if peer not in packages.missing():
                yield sweep, Case(GENERATE, shape, dtype, OBJECTS, None, False, "forward", peer)
