"""The best cycle: which it is, and that its T is the one to take away."""

from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import same

from detection.tiny_runs import arguments, people
from trainers import voc_person
from trainers.detection import task
from trainers.detection.best import best_cycle, best_run, best_told, over, score

NONE = "none"


def history(*scores: float | str) -> list[dict[str, Any]]:
    """Records of these scores in percent; NONE: of a class without objects at one IoU."""
    return [
        {"ap": {"mean": {0.5: 0.9, 0.8: None if isinstance(one, str) else 0.02 * one - 0.9}}}
        for one in scores
    ]


def test_a_score_is_the_mean_over_the_ious() -> None:
    known, unknown, untested = history(40, NONE) + [{"ap": None}]
    assert score(known, "ap") == pytest.approx(40)  # of 90 and -10
    assert score(unknown, "ap") is None and score(untested, "ap") is None
    assert over({3: history(40)}, "ap") == ["mean of IoU 0.5 to 0.8"]
    assert over({3: [{"iou": {"mean": {"mean": 0.4}}}]}, "iou") == []


@pytest.mark.parametrize(
    ("way", "scores", "cycle"),
    [
        ("matched", (30, 20, 50, 40), 2),
        ("matched", (60, 20, 50, 40), 2),  # there it has seen no composite
        ("baseline", (60, 20, 50, 40), 0),
        ("baseline", (30, 50, 50, 40), 2),  # of equals the last
        ("matched", (30,), 0),
        ("matched", (30, NONE, 20, NONE), 2),
        ("matched", (30, NONE, NONE), 2),
    ],
)
def test_the_best_cycle(way: str, scores: tuple[float | str, ...], cycle: int) -> None:
    assert best_cycle(history(*scores), "ap", way) == cycle
    run = best_run(history(*scores), "ap", way)
    wanted = scores[cycle]
    assert run["score"] == (None if wanted == NONE else pytest.approx(wanted))
    assert run["cycles"] == len(scores) - 1


def test_in_a_table() -> None:
    runs = [best_run(history(*scores), "ap", "matched") for scores in ((0, 30, 20), (0, 30, 40))]
    assert best_told(runs[:1]) == "30.0 (cycle 1)"
    assert best_told(runs) == "35.0 ±7.1 (cycles 1, 2)"  # the root of 50
    assert best_told([best_run(history(0, NONE), "ap", "matched")]) == "-"


def test_model_pt_is_of_the_best_cycle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people(tmp_path)
    scores = {"once": (0.1, 0.6), "thrice": (0.1, 0.6, 0.3, 0.2), "resumed": (0.1, 0.6, 0.3, 0.2)}
    models = {}
    for name, (*first, last) in scores.items():
        figures = iter([mean(score) for score in (*first, last)])
        monkeypatch.setattr(task, "average_precision", lambda *_, left=figures, **__: next(left))
        line = arguments(tmp_path, tmp_path / name, "--ways", "random", "--cycles")
        if name == "resumed":  # after the best cycle
            voc_person.main([*line, "2"])
        voc_person.main([*line, str(len(first))])
        path = tmp_path / name / "models" / "random-seed0" / "model.pt"
        models[name] = torch.load(path, weights_only=True)
    once = models["once"]
    assert once["trained_on"]["cycles"] == 1 and once["trained_on"]["ap"] == {0.5: 0.6}
    assert same(models["thrice"], once) and same(models["resumed"], once)
    # The model is of all cycles; so are the tables.
    with pytest.raises(SystemExit, match="cycles: got 2, wanted 3 or more: .*pt has done 3"):
        voc_person.main([*line, "2"])
    text = (tmp_path / "thrice" / "tables.md").read_text()
    assert " mean, best cycle |      - | 60.0 (cycle 1) |" in text and " 20.0 (+10.0) |" in text


def mean(value: float) -> dict[str, Any]:
    return {"mean": {0.5: value}, "per_class": {"person": {0.5: value}}}
