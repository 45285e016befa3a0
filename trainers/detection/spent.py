"""What a run costs: passes of its networks, and time."""

import os
import time
from dataclasses import dataclass, field

from accelerate.utils import gather_object


def _now() -> tuple[float, float]:
    """The time, and the CPU time of this process and of those that it waited for, in seconds."""
    return time.perf_counter(), sum(os.times()[:4])


@dataclass
class Spent:
    """The cost of a cycle. A pass is one per picture; those of tests and for figures do not count.

    T's forward passes in the search are in its :class:`~compositor.selection.search.Tally`.

    Attributes:
        target: Passes of T while S trained, each of them forward and backward.
        discriminator: The same of D.
        synthesizer: Passes of S while it trained, each forward and backward.
        context: Neighbourhoods that Context-DA's network learnt from, each forward and backward.
        placing: Forward passes of S or Context-DA's network that placed the search's proposals, and
            objects under the one that S trained on.
        trained: Pictures in T's own updates, each forward and backward.
        discriminated: The same of D.
        seconds: By the clock, tests included.
        cpu_seconds: The same of all threads and processes.
    """

    target: int = 0
    discriminator: int = 0
    synthesizer: int = 0
    context: int = 0
    placing: int = 0
    trained: int = 0
    discriminated: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    _began: tuple[float, float] = field(default_factory=_now)

    def total(self) -> dict[str, float]:
        """The cost up to now: of all processes, but by the clock the longest."""
        now = _now()
        self.seconds, self.cpu_seconds = now[0] - self._began[0], now[1] - self._began[1]
        mine = {name: value for name, value in vars(self).items() if name != "_began"}
        parts: list[dict[str, float]] = gather_object([mine])
        total = {name: sum(part[name] for part in parts) for name in mine}
        return total | {"seconds": max(part["seconds"] for part in parts)}
