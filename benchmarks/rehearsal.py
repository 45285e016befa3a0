"""What is found out about a call before it is timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.memory import peak_rise

SECONDS = 0.25  # of rounds per case in a sweep, but at least one round
MOST_ROUNDS = 50
REHEARSALS = 3


def rehearse(call: Callable[[], Any]) -> tuple[int, int | None]:
    """Warm up; return the rounds per sweep and the peak memory in bytes."""
    call()  # compiles, starts threads
    start = time.perf_counter()
    rises = [peak_rise(call) for _ in range(REHEARSALS)]
    seconds = (time.perf_counter() - start) / REHEARSALS
    # The least of them: anything else the process touches meanwhile can only add.
    peak = min((rise for rise in rises if rise is not None), default=None)
    return max(1, min(MOST_ROUNDS, int(SECONDS / seconds))), peak
