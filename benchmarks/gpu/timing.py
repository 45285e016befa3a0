"""Times single calls with CUDA events, each on inputs that have left the cache.

The device waits until a call is queued, so that its time is the device's, not the host's.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from benchmarks.gpu.peers import Call
from benchmarks.scenes import Scene

SECONDS = 0.3  # of calls per case
FEWEST, MOST = 12, 200
AHEAD = 4_000_000  # clock cycles, 2 ms: longer than the host takes to queue any call


@dataclass(frozen=True)
class Time:
    """The time of a case."""

    ms: float  # median
    fastest_ms: float
    calls: int


def measure(call: Call, scenes: Sequence[Scene]) -> Time:
    """Time calls on the scenes in turn, each queued while the device is kept waiting."""
    for scene in (*scenes[:3], scenes[0]):  # compiles, tunes, fills the allocator
        call(scene)
    torch.cuda.synchronize()
    probe = _run(call, scenes, FEWEST)
    calls = int(1e3 * SECONDS / statistics.median(probe))
    times = _run(call, scenes, max(FEWEST, min(MOST, calls)))
    return Time(statistics.median(times), min(times), len(times))


def _run(call: Call, scenes: Sequence[Scene], calls: int) -> list[float]:
    events = [
        (torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True))
        for _ in range(calls)
    ]
    for k, (start, end) in enumerate(events):
        torch.cuda._sleep(AHEAD)
        start.record()
        call(scenes[k % len(scenes)])
        end.record()
    torch.cuda.synchronize()
    return [start.elapsed_time(end) for start, end in events]
