"""Several folds: each by itself, then the mean of their APs, run for run."""

import json
from pathlib import Path
from typing import Any

import pytest

from detection.tiny_runs import arguments
from tests.data import tiny_data
from trainers import gmu_kitchen
from trainers.config import ConfigError
from trainers.detection import folds


def result(*ends: dict[str, Any]) -> dict[str, Any]:
    """results.json of a fold: two seeds of a way, each with two classes at one IoU."""
    start = {"mean": {"0.5": 0.1}, "per_class": {"1": {"0.5": 0.2}, "b": {"0.5": None}}}
    before = {"ap": start, "spent": {"cpu_seconds": 1}}
    cycles = {str(seed): [before, end] for seed, end in enumerate(ends)}
    data = {"data": {"test": "scenes"}, "ignored": "difficult"}
    return {"layout": "table 3", "cycles": {"random": cycles}, **data}


def record(one: float, other: float | None, taken: int) -> dict[str, Any]:
    """With as many CPU seconds as composites, and twice the passes."""
    mean = one if other is None else (one + other) / 2
    per_class = {"1": {"0.5": one}, "b": {"0.5": other}}
    search = {"taken": taken, "accepted": taken, "passes": 2 * taken, "shortfall": 0}
    ap = {"mean": {"0.5": mean}, "per_class": per_class}
    return {"ap": ap, "search": search, "spent": {"cpu_seconds": taken}}


def test_means_by_hand() -> None:
    found = [
        result(record(0.2, None, 3), record(0.4, 0.6, 3)),
        result(record(0.6, 0.8, 4), record(0.0, 0.2, 5)),
    ]
    results = folds.combined(found, {"points": 11})
    assert results["layout"] == "table 3"  # as the folds', which --table2 changes
    ap = results["ap"]["random"]
    # Seed 0: (20 + 70) / 2 and seed 1: (50 + 10) / 2, in percent.
    assert ap["mean"]["0.5"]["per_seed"] == pytest.approx([45, 30])
    assert ap["mean"]["0.5"]["gain"] == pytest.approx(37.5 - 10)
    assert ap["per_class"]["1"]["0.5"]["per_seed"] == pytest.approx([40, 20])
    # A fold without the class does not count.
    assert ap["per_class"]["b"]["0.5"]["per_seed"] == pytest.approx([80, 40])
    assert results["ap"]["before"]["per_class"]["b"]["0.5"]["mean"] is None
    assert results["search"]["random"]["taken"] == 15
    # (3 + 4 + 3 + 5) and a second before each of the four, over two seeds.
    assert results["spent"]["random"]["cpu_seconds"] == 9.5
    assert results["data"]["test"] == "scenes; scenes"


def test_folds_of_gmu_kitchen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    classes = ("hunts_sauce", "red_bull")
    tiny_data.gmu(tmp_path, pictures=1)
    tiny_data.bigbird(tmp_path / "bigbird", classes)
    tiny_data.uw(tmp_path / "rgbd-scenes-v2")
    line = ("--classes", *classes, "--ways", "random", "--folds", "1", "2")
    with pytest.raises(SystemExit, match="wanted the scenes that fold 2 is tested on in line 2"):
        gmu_kitchen.main(arguments(tmp_path, tmp_path / "out", *line))
    tested = ("gmu_scene_002 gmu_scene_004", "gmu_scene_001")
    (tmp_path / "folds.txt").write_text("\n".join(tested))
    gmu_kitchen.main(arguments(tmp_path, tmp_path / "out", *line))
    places = [tmp_path / "out" / name for name in ("fold1", "fold2", ".")]
    ones = [json.loads((place / "results.json").read_text()) for place in places]
    assert "fold 1 test" in ones[0]["data"]["test"]
    assert "fold 2 test" in ones[1]["data"]["test"]
    assert "fold 1 test" in ones[2]["data"]["test"] and "fold 2 test" in ones[2]["data"]["test"]
    values = [one["ap"]["random"]["mean"]["0.5"]["mean"] for one in ones]
    assert values[2] == pytest.approx((values[0] + values[1]) / 2)
    assert capsys.readouterr().out.count("the paper's table 3") == 3


def test_the_stand_in_has_one_fold() -> None:
    with pytest.raises(ConfigError, match="folds: got 1 2, wanted 1 alone, the stand-in's only"):
        gmu_kitchen.GMUConfig(folds=(1, 2), stand_in=True)


@pytest.mark.parametrize("given", [(), (1, 1)])
def test_folds_are_named_once(given: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="folds: got .*, wanted one or more, none twice"):
        gmu_kitchen.GMUConfig(folds=given)
