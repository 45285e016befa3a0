"""Which of the detectors that an experiment leaves is the one to take."""

from pathlib import Path
from typing import Any

import pytest

from trainers.detection.config import Config
from trainers.detection.models import best

Runs = dict[str, dict[int, float | None]]


def told(runs: Runs) -> str | None:
    """The line on runs whose APs at IoU 0.5 and 0.8 had these means after the cycle before the
    last; at 0.5 all are alike there, and in the last the best."""

    def history(best: float | None) -> list[dict[str, Any]]:
        pairs = ((0.2, 0.2), (0.6, None if best is None else 2 * best - 0.6), (0.61, -0.1))
        wanted = [(low, None if best is None else high) for low, high in pairs]
        return [{"ap": {"mean": dict(zip((0.5, 0.8), pair, strict=True))}} for pair in wanted]

    seeds = tuple(next(iter(runs.values())))
    histories = {
        name: {seed: history(ap) for seed, ap in ends.items()} for name, ends in runs.items()
    }
    return best(Config(output=Path("out"), seeds=seeds), histories)


def test_real_pictures_alone_count_from_the_start() -> None:
    histories = {
        "baseline": {0: [{"ap": {"mean": {0.5: score}}} for score in (0.7, 0.5)]},
        "matched": {0: [{"ap": {"mean": {0.5: score}}} for score in (0.7, 0.6)]},
    }
    assert best(Config(output=Path("out"), seeds=(0,)), histories) == (
        "best: out/models/baseline-seed0/model.pt (baseline, seed 0, the start), AP 70.0: "
        "composites did not help"
    )


def test_one_seed() -> None:
    assert told({"baseline": {0: 0.5}, "matched": {0: 0.613}, "random": {0: 0.6}}) == (
        "best: out/models/matched-seed0/model.pt (matched, seed 0, cycle 1), AP 61.3 "
        "(mean of IoU 0.5 to 0.8), +11.3 over real pictures alone"
    )


def test_the_best_way_is_the_best_on_average() -> None:
    """Seed 3's 0.7 is the best of all, and its way's other run the worst."""
    runs: Runs = {"random": {3: 0.7, 4: 0.3}, "baseline": {3: 0.5, 4: 0.4}}
    runs["matched"] = {3: 0.5, 4: 0.6}
    assert told(runs) == (
        "best: out/models/matched-seed4/model.pt (matched, seed 4, cycle 1), AP 60.0 "
        "(mean of IoU 0.5 to 0.8), +10.0 over real pictures alone, mean of 2 seeds"
    )


@pytest.mark.parametrize("matched", [0.4, 0.5])
def test_composites_that_do_not_help(matched: float) -> None:
    assert told({"matched": {0: matched}, "baseline": {0: 0.5}}) == (
        "best: out/models/baseline-seed0/model.pt (baseline, seed 0, cycle 1), AP 50.0 "
        "(mean of IoU 0.5 to 0.8): composites did not help"
    )


@pytest.mark.parametrize(
    "runs", [{"matched": {0: 0.5}}, {"baseline": {0: None}, "matched": {0: None}}]
)
def test_nothing_to_compare(runs: Runs) -> None:
    assert told(runs) is None
