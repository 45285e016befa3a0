import json
import math
from copy import deepcopy
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from compositor.data.read import gmu
from trainers.detection import report
from trainers.detection.paper import GMU_CLASSES, TABLE_2, TABLE_3, TABLE_4
from trainers.detection.ways import RULES, WAYS, Way

IOUS = (0.5, 0.6, 0.7, 0.8)
CONFIG = {"points": 11, "output": Path("runs"), "scale": (0.1, 0.5)}
DATA = {"test": "40 tiny pictures"}


def ap(*values: float | None, **classes: float | None) -> dict[str, Any]:
    """A mean at each IoU, and the AP of each class at all of them."""
    return {
        "mean": dict(zip(IOUS, values, strict=True)),
        "per_class": {name: dict.fromkeys(IOUS, value) for name, value in classes.items()},
    }


def spent(target: int, seconds: float, synthesizer: int = 100) -> dict[str, float]:
    return {"target": target, "synthesizer": synthesizer, "cpu_seconds": seconds}


def tally(passes: int, accepted: int, taken: int, shortfall: int = 0) -> dict[str, int]:
    """Every fifth proposal invalid, without a pass."""
    made = passes + passes // 5 or accepted
    costs = {"proposed": made, "passes": passes, "accepted": accepted}
    return costs | {"taken": taken, "shortfall": shortfall}


START = {0: ap(0.50, 0.40, 0.30, 0.20, person=0.5), 1: ap(0.60, 0.40, 0.30, 0.20, person=0.6)}
RUNS: dict[str, dict[int, list[dict[str, Any]]]] = {
    "random_hard": {
        0: [
            {"ap": START[0]},
            {"ap": None, "search": tally(30, 10, 8)},
            {"ap": ap(0.52, 0.4, 0.3, 0.2, person=0.52), "search": tally(50, 10, 8, 3)},
        ],
        1: [
            {"ap": START[1]},
            {"ap": None, "search": tally(60, 10, 10)},
            {"ap": ap(0.66, 0.4, 0.3, 0.2, person=0.66), "search": tally(60, 20, 10)},
        ],
    },
    "random": {
        0: [{"ap": START[0]}, {"ap": START[0], "search": tally(0, 8, 8)}],
        1: [{"ap": START[1]}, {"ap": START[1], "search": tally(0, 8, 8)}],
    },
}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def grids(text: str) -> list[list[list[str]]]:
    """The tables in a text, without the rules."""
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    return [[cells(line) for line in block if not line.startswith("|-")] for block in blocks]


def test_mean_spread_gain_and_passes_by_hand() -> None:
    results = report.summarise("table 4", CONFIG, DATA, "difficult", RUNS)
    figure = results["ap"]["random_hard"]["mean"]["0.5"]
    # 52 and 66; from 50 and 60: gains 2 and 6.
    assert figure["mean"] == pytest.approx(59) and figure["spread"] == pytest.approx(98**0.5)
    assert figure["gain"] == pytest.approx(4) and figure["gain_spread"] == pytest.approx(8**0.5)
    assert figure["per_seed"] == pytest.approx([52, 66])
    assert results["ap"]["before"]["mean"]["0.5"]["mean"] == pytest.approx(55)
    assert results["ap"]["random"]["mean"]["0.5"]["gain"] == 0
    search = results["search"]["random_hard"]
    assert search["passes"] == 200 and search["passes_per_accepted"] == pytest.approx(4)
    assert search["passes_per_taken"] == pytest.approx(200 / 36) and search["shortfall"] == 3
    assert results["search"]["random"]["passes_per_accepted"] == 0


def test_one_seed_has_no_spread_and_an_absent_class_no_ap() -> None:
    one = {"random": {7: [{"ap": ap(0.5, 0.4, 0.3, None, cup=0.5, bag=None)}]}}
    results = report.summarise("plain", CONFIG, DATA, "difficult", one)
    figure = results["ap"]["random"]["mean"]
    assert figure["0.5"]["spread"] is None and figure["0.5"]["mean"] == pytest.approx(50)
    assert figure["0.8"]["mean"] is None and figure["0.8"]["gain"] is None
    table, classes = grids(report.tables(results))
    assert table == [
        ["IoU", "before", "random"],
        ["0.5", "50.0", "50.0 (+0.0)"],
        ["0.6", "40.0", "40.0 (+0.0)"],
        ["0.7", "30.0", "30.0 (+0.0)"],
        ["0.8", "-", "-"],
    ]
    assert classes[2] == ["random", "50.0", "-", "50.0 (+0.0)"]
    assert "1 seed" in report.tables(results) and "paper" not in report.tables(results)


def test_table_4_has_the_papers_figures_in_their_own_columns() -> None:
    text = report.tables(report.summarise("table 4", CONFIG, DATA, "difficult", RUNS))
    how = "AP (%, 11 points, VOC's rules) on 40 tiny pictures"
    assert f"{how}, mean ± standard deviation of 2 seeds" in text
    crowds = report.summarise("plain", CONFIG | {"points": 101}, DATA, "crowd", RUNS)
    assert "AP (%, 101 points, COCO's rules) on 40 tiny pictures" in report.tables(crowds)
    (table,) = grids(text)
    assert table[0][:4] == ["IoU", "before", "random, hard", "random"]
    assert table[0][4:] == [f"paper: {name}" for name in TABLE_4]
    assert table[1][1:4] == ["55.0 ±7.1", "59.0 ±9.9 (+4.0)", "55.0 ±7.1 (+0.0)"]
    assert table[1][4:] == ["78.93", "76.65", "76.81", "79.61", "79.53"]
    assert table[4][4:] == ["29.54", "28.82", "28.14", "31.96", "32.22"]
    assert table[5][:4] == ["composites held, all seeds", "-", "36", "16"]
    assert table[6][:4] == ["composites made, all seeds", "-", "240", "16"]
    assert table[7][:4] == ["passes of T per hard one, to choose", "-", "4.0", "0.0"]
    assert table[8][:4] == ["shortfall, all seeds", "-", "3", "0"]
    assert len(table) == 9
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1


def test_what_training_cost_is_told_by_hand() -> None:
    """Per hard one: (40 + 60 + 0 + 50) / (10 + 10 + 10 + 20) of two seeds, two cycles each."""
    learnt = {"synthesizer": deepcopy(RUNS["random_hard"]), "random": deepcopy(RUNS["random"])}
    costs = {0: [(0, 60.0), (40, 600.0), (60, 540.0)], 1: [(0, 0.0), (0, 30.0), (50, 90.0)]}
    for seed, history in learnt["synthesizer"].items():
        for record, cost in zip(history, costs[seed], strict=True):
            record["spent"] = spent(*cost)
    for seed in (0, 1):
        for record in learnt["random"][seed]:
            record["spent"] = spent(0, 45.0, synthesizer=0)
    results = report.summarise("table 4", CONFIG, DATA, "difficult", learnt)
    assert results["spent"]["synthesizer"] == spent(75, 660.0, 300)
    (table,) = grids(report.tables(results))
    assert table[7][:4] == ["passes of T per hard one, to choose", "-", "4.0", "0.0"]
    assert table[8][:4] == ["to train S, forward + backward", "-", "3.0 + 3.0", "-"]
    assert table[10][:4] == ["CPU minutes a run", "-", "11.0", "1.5"]
    # A run that was begun before this was counted.
    del learnt["synthesizer"][1][1]["spent"]
    results = report.summarise("table 4", CONFIG, DATA, "difficult", learnt)
    (table,) = grids(report.tables(results))
    assert table[9][:4] == ["CPU minutes a run", "-", "-", "1.5"]


def test_table_3_finds_the_papers_class_by_its_name() -> None:
    names = {"red_bull": 0.6, "apple1": 0.7, "Nature_Valley_Sweet_And_Salty": 0.8}
    runs = {"synthesizer": {0: [{"ap": ap(0.7, 0.6, 0.5, 0.4, **names)}]}}
    text = report.tables(report.summarise("table 3", CONFIG, DATA, "difficult", runs))
    _, table = grids(text)
    assert table[0] == ["", *names, "mAP"]
    assert table[1] == ["before", "60.0", "70.0", "80.0", "70.0"]
    assert table[3:] == [
        ["paper: Baseline", "58.6", "-", "88.9", "86.3"],
        ["paper: Cut-Paste-Learn", "65.4", "-", "91.8", "88.8"],
        ["paper: Ours", "69.2", "-", "92.0", "89.8"],
    ]


def test_every_way_has_its_rules_and_a_title_of_its_own() -> None:
    assert list(RULES) == list(get_args(Way))
    assert len(set(report.NAMES.values())) == len(RULES) + 1
    named = {"matched_hard", "layout", "renewed", "renewed_all", "renewed_at_random"}
    assert set(RULES) - set(WAYS) == named


def test_every_gmu_class_has_its_column() -> None:
    assert [report._gmu_column(name) for name in gmu.NAMES] == list(range(11))


def test_table_2_marks_what_each_column_has_on() -> None:
    history = [{"ap": START[0]}, {"ap": ap(0.51, 0.4, 0.3, 0.21, person=0.51)}]
    runs = {str(column): {0: history} for column in (1, 3, 6)}
    (table,) = grids(report.tables(report.summarise("table 2", CONFIG, DATA, "difficult", runs)))
    assert table == [
        ["Column No.", "before", "1", "3", "6"],
        ["Ann. Cleanup", "", "", "✓", "✓"],
        ["Dropout", "", "", "✓", "✓"],
        ["Blending", "", "", "", "✓"],
        ["1 : 1 Ratio", "", "", "", "✓"],
        ["Discriminator", "", "", "", "✓"],
        ["AP 0.5", "50.0", "51.0", "51.0", "51.0"],
        ["paper: AP 0.5", "78.93", "79.02", "79.02", "79.53"],
        ["AP 0.8", "20.0", "21.0", "21.0", "21.0"],
        ["paper: AP 0.8", "29.52", "29.64", "30.80", "32.22"],
    ]


def test_the_papers_figures_agree_with_themselves() -> None:
    for *classes, mean in TABLE_3.values():
        assert len(classes) == len(GMU_CLASSES)
        # Both are rounded to one digit, and the mean is of unrounded ones.
        assert sum(classes) / len(classes) == pytest.approx(mean, abs=0.1)
    # The text and both tables: no D is column 5, with D column 6.
    for column, name in (("5", "Ours, no D"), ("6", "Ours + D")):
        assert TABLE_2[column] == (TABLE_4[name]["0.5"], TABLE_4[name]["0.8"])


def test_files_are_whole_and_give_the_same_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = {way: {seed: list(history) for seed, history in r.items()} for way, r in RUNS.items()}
    runs["random"][0][-1] = runs["random"][0][-1] | {
        "spread": torch.tensor([0.5, 1]),
        "loss": math.nan,
    }
    results = report.summarise("table 4", CONFIG, DATA, "difficult", runs)
    report.write(tmp_path / "new", results)
    read = json.loads((tmp_path / "new" / "results.json").read_text())
    assert read == results
    assert report.tables(read) == report.tables(results)
    assert (tmp_path / "new" / "tables.md").read_text().strip() == capsys.readouterr().out.strip()
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["results.json", "tables.md"]
    last = read["cycles"]["random"]["0"][-1]
    assert last["spread"] == [0.5, 1] and last["loss"] is None
    assert last["ap"]["mean"]["0.5"] == 0.5
    assert read["config"] == {"points": 11, "output": "runs", "scale": [0.1, 0.5]}
    assert {"torch", "pycocotools", "compositor"} <= read["versions"].keys()


def test_ways_with_other_seeds_are_refused() -> None:
    runs = {"random": RUNS["random"], "random_hard": {0: RUNS["random_hard"][0]}}
    with pytest.raises(ValueError, match=r"runs: got seeds \[\[0, 1\], \[0\]\]"):
        report.summarise("table 4", CONFIG, DATA, "difficult", runs)
