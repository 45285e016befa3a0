"""Scenes that are hard for a detector: which are kept, and what is told of the others."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from compositor.data.records import Box
from compositor.files import DataError
from compositor.generate import finish, generate, material, processes
from compositor.generate.judge import Judge
from compositor.generate.scenes import Made, Maker
from compositor.generate.shards import Shards
from compositor.scenes.compose import Scene
from compositor.scenes.law import Law, Placement
from compositor.selection.detector import DetectorError
from tests.generate.tiny import config, content

DETECTOR = """
import torch

class Middle:
    classes = ("background", "Ball", "box")

    def predict(self, images):
        box = torch.tensor([[16.0, 8.0, 48.0, 40.0]]).repeat(2, 1)
        found = {"boxes": box, "labels": torch.tensor([1, 2]), "scores": torch.tensor([0.9, 0.9])}
        return [found for _ in images]

def make(weights=None):
    return Middle()
"""


def overlap(box: Box) -> float:
    """IoU with what the detector finds, whatever is there."""
    x1, y1, x2, y2 = box
    inter = max(min(x2, 48) - max(x1, 16), 0) * max(min(y2, 40) - max(y1, 8), 0)
    return inter / ((x2 - x1) * (y2 - y1) + 32 * 32 - inter)


def test_a_detector_keeps_what_is_hard_for_it(tmp_path: Path) -> None:
    (tmp_path / "middle.py").write_text(DETECTOR)
    # Large objects, which are often where it finds them.
    law = Law(Placement(objects=(1, 1), scale=(0.7, 0.9), truncation=0.0))
    judged = {"detector": f"{tmp_path}/middle.py:make", "count": 40, "law": law, "tries": 2}
    generate(config(tmp_path, "hard", **judged))
    report = json.loads((tmp_path / "hard" / "report.json").read_text())
    tally, easy = report["tally"], report["left_out"]["too easy at every try"]["count"]
    assert easy > 0
    assert tally["scenes"] + easy == 40
    # Every scene had a try, and each that was not hard another.
    assert 40 + easy <= tally["passes"] == tally["composed"] <= 80
    hard = [i for p in Shards(tmp_path / "hard", 40).pictures() for i in p.instances]
    assert len(hard) == tally["scenes"] > 0
    assert all(i.confidence == 0 and overlap(i.box) < 0.5 for i in hard)
    assert list(report["by_confidence"].values()) == [len(hard)] + [0] * 9
    assert list(report["by_confidence"])[0] == "0 to 10 %"
    assert report["by_cutout"] == Counter(i.cutout for i in hard)  # one object a picture
    assert len(report["by_cutout"]) == 6
    told = f"{tally['scenes']} of 40 scenes kept, {tally['passes']} passes of the detector."
    assert told in (tmp_path / "hard" / "report.html").read_text()
    assert finish.line(tmp_path / "hard").endswith(
        f"; {easy} of 40 scenes gave no picture, being too easy: for more, raise --count; to "
        "reject fewer, raise --tries and write to another folder"
    )
    generate(config(tmp_path, "again", workers=2, **judged))
    assert content(tmp_path / "again") == content(tmp_path / "hard")
    generate(config(tmp_path, "all", keep="all", **judged))
    every = [i for p in Shards(tmp_path / "all", 40).pictures() for i in p.instances]
    assert [i.confidence for i in every] == [
        pytest.approx(0.9) if overlap(i.box) >= 0.5 else 0 for i in every
    ]
    assert len({i.confidence for i in every}) == 2
    report = json.loads((tmp_path / "all" / "report.json").read_text())
    sure = sum(overlap(i.box) >= 0.5 for i in every)
    # 0.9 is less in float32.
    assert list(report["by_confidence"].values()) == [40 - sure] + [0] * 7 + [sure, 0]
    assert finish.line(tmp_path / "all") == f"wrote {tmp_path}/all: 40 pictures, 40 objects"


def test_what_too_easy_tries_lost_is_not_told(tmp_path: Path) -> None:
    """The report counts the objects that the pictures lack, whatever was tried before."""
    (tmp_path / "middle.py").write_text(DETECTOR)
    # Large objects, often where it finds them, of which two seldom fit beside each other.
    law = Law(Placement(objects=(2, 2), scale=(0.7, 0.9), truncation=0.0, overlap=0.0))
    judged = {"detector": f"{tmp_path}/middle.py:make", "count": 20, "law": law}
    generate(config(tmp_path, "out", **judged))
    tally = json.loads((tmp_path / "out" / "report.json").read_text())["tally"]
    kept = list(Shards(tmp_path / "out", 20).pictures())
    assert tally["composed"] > tally["scenes"] == len(kept) > 0
    assert tally["hidden"] == 0
    assert tally["unplaced"] == sum(2 - len(picture.instances) for picture in kept) > 0


def test_a_detector_that_fails_is_told_and_can_be_mended(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(DETECTOR.replace("return [found", "raise KeyError('x') #"))
    with pytest.raises(DetectorError, match=r"predict: raised KeyError: 'x'"):
        generate(config(tmp_path, "out", count=3, detector=f"{tmp_path}/broken.py:make"))
    # Nothing was made with it, so that the folder is free for another.
    generate(config(tmp_path, "out", count=3))


def always(confidence: dict[int, float]) -> Judge:
    """A detector that is as sure of every object of a label."""

    def judged(scenes: list[Scene]) -> list[Scene]:
        return [
            replace(
                scene,
                instances=tuple(
                    replace(i, confidence=confidence[i.label]) for i in scene.instances
                ),
            )
            for scene in scenes
        ]

    return judged


def test_every_cut_out_is_tried_equally_often(tmp_path: Path) -> None:
    """However easy it is: the easy ones are rare among what is kept, not among what is tried."""
    one = Law(Placement(objects=(1, 1), scale=(0.3, 0.6)))
    options = config(tmp_path, "out", law=one, detector="any", tries=3)
    judge, tries = always({1: 0.9, 2: 0.1}), []

    def noted(scenes: list[Scene]) -> list[Scene]:
        tries.append([i.cutout for scene in scenes for i in scene.instances])
        return judge(scenes)

    made = list(Maker(options, material.read(options), noted).make(range(300)))
    first, *again = tries
    easy = [name for name in first if name and name.startswith("ball")]
    assert again == [easy, easy]  # the same ones, in the same scenes
    # 50 of 300 scenes have each of the six, within four standard deviations.
    assert len(first) == 300 and len(set(first)) == 6
    assert all(abs(times - 50) < 4 * (300 / 6 * 5 / 6) ** 0.5 for times in Counter(first).values())
    kept = Counter(i.cutout for one in made if isinstance(one, Made) for i in one.scene.instances)
    assert kept == Counter(name for name in first if name not in easy)


def test_a_folder_without_a_hard_scene_is_told_and_free_for_other_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "judge", lambda *_: always({1: 0.7, 2: 0.7}))
    options = config(tmp_path, "out", detector="any", count=60)
    wanted = (
        "out: none of 60 scenes is hard: in no try .8 each. did 50% of the objects get a "
        "confidence below 0.5; raise --hard or --tries, or lower --share"
    )
    for _ in range(2):
        with pytest.raises(DataError, match=wanted):
            generate(options)
    generate(replace(options, hard=0.8))
    assert len(list(Shards(options.output, 60).pictures())) == 60
