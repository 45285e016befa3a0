"""The best cycle of a run, by T's figures on the test pictures."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from trainers.detectors.base import TrainableDetector

History = Sequence[Mapping[str, Any]]
"""A run's records, one per cycle; the first predates any composite."""


def score(record: Mapping[str, Any], measure: str) -> float | None:
    """The mean of T's figures over the IoUs that were measured, in percent; None: one is missing.

    Not that at the lowest IoU alone, where T may have nothing left to gain.

    Args:
        record: A cycle's.
        measure: The name of T's figures in it.
    """
    values = [*record[measure]["mean"].values()] if record[measure] else []
    return None if not values or None in values else 100 * statistics.mean(values)


def over(runs: Mapping[int, History], measure: str) -> list[str]:
    """What :func:`score` is the mean of, in words, if it is one: ``mean of IoU 0.5 to 0.8``."""
    ious = [*next(iter(runs.values()))[-1][measure]["mean"]]
    return [f"mean of IoU {ious[0]:g} to {ious[-1]:g}"] if len(ious) > 1 else []


def best_cycle(history: History, measure: str, way: str) -> int:
    """The cycle after which T was best; of equals, the last.

    The start counts for the baseline alone: there T has seen real pictures only, too.
    """
    first = 0 if way == "baseline" or len(history) == 1 else 1
    scores = [score(record, measure) for record in history]
    ranks = [-1.0 if one is None else one for one in scores]
    return max(range(first, len(history)), key=lambda cycle: (ranks[cycle], cycle))


def best_run(history: History, measure: str, way: str) -> dict[str, Any]:
    """A run's best cycle, the ``score`` after it, and how many ``cycles`` it had."""
    cycle = best_cycle(history, measure, way)
    return {"cycle": cycle, "score": score(history[cycle], measure), "cycles": len(history) - 1}


def best_told(runs: Sequence[Mapping[str, Any]]) -> str:
    """What :func:`best_run` found in a way's runs, for a table: ``38.2 (cycle 2)``."""
    known = [run["score"] for run in runs if run["score"] is not None]
    if not known:
        return "-"
    spread = f" ±{statistics.stdev(known):.1f}" if len(known) > 1 else ""
    cycles = ", ".join(str(run["cycle"]) for run in runs)
    return f"{statistics.mean(known):.1f}{spread} (cycle{'s' * (len(runs) > 1)} {cycles})"


class BestWeights:
    """What a run leaves of T: its averaged weights after the best cycle.

    Attributes:
        cycle: The number of that cycle.
        weights: T's, by the network's own names.
        frozen_norms: Whether its batch norms did not learn.
    """

    def __init__(self) -> None:
        self.cycle, self.weights, self.frozen_norms = 0, dict[str, Any](), False

    def update(self, history: History, measure: str, way: str, detector: nn.Module) -> None:
        """Keep a copy of the detector's weights if its last cycle was the best.

        Args:
            history: With the last cycle's record.
            measure: The name of T's figures in it.
            way: The run's.
            detector: T, a :class:`TrainableDetector`, with its averaged weights.
        """
        cycle = len(history) - 1
        if best_cycle(history, measure, way) < cycle:
            return
        assert isinstance(detector, TrainableDetector)
        weights, self.frozen_norms = detector.weights()
        self.cycle = cycle
        self.weights = {name: value.detach().cpu().clone() for name, value in weights.items()}

    def state_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
