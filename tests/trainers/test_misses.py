"""What detectors miss, by detections made by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from torch import Tensor

from compositor.files import DataError
from tests.data import tiny_data
from trainers.misses import FOUND, KINDS, MISSED, SIDE, Misses

SIZE = (200, 300)
OBJECTS = {
    # id: box (x, y, w, h), area, crowd, category
    1: ((0, 50, 30, 30), 800, 0, 7),  # small, at the left edge
    2: ((100, 20, 60, 60), 3000, 0, 7),  # medium, a sixth of it covered by the next
    3: ((150, 20, 120, 120), 14000, 0, 7),  # large
    4: ((20, 100, 40, 40), 1600, 0, 9),  # medium, of another class
    5: ((30, 100, 40, 40), 1600, 0, 7),  # medium, three quarters covered by the last
    6: ((0, 0, 300, 200), 60000, 1, 7),  # a crowd
    7: ((50, 150, 10, 49), 400, 0, 8),  # a class that no detector knows
}


@pytest.fixture
def truth(tmp_path: Path) -> COCO:
    entries = [
        {"id": n, "image_id": 5, "bbox": box, "area": area, "iscrowd": crowd, "category_id": kind}
        for n, (box, area, crowd, kind) in OBJECTS.items()
    ]
    content = {
        "images": [{"id": 5, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1]}],
        "annotations": entries,
        "categories": [{"id": n, "name": name} for n, name in ((7, "mug"), (8, "jug"), (9, "cup"))],
    }
    (tmp_path / "truth.json").write_text(json.dumps(content))
    tiny_data.save(tmp_path / "a.png", tiny_data.picture(*SIZE))
    return COCO(str(tmp_path / "truth.json"))


def detections(scores: dict[int, float], labels: dict[int, int], dx: int = 0) -> dict[str, Tensor]:
    """One on each of these objects, so many pixels aside."""
    boxes = torch.tensor([OBJECTS[n][0] for n in scores], dtype=torch.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    boxes[:, ::2] += dx
    found = torch.tensor([labels[OBJECTS[n][3]] for n in scores], dtype=torch.int64)
    return {"boxes": boxes, "scores": torch.tensor([*scores.values()]), "labels": found}


def shares(misses: Misses) -> dict[tuple[str, str], tuple[int, list[int]]]:
    return {(kind, n): row for kind, rows in misses.recalls().items() for n, row in rows.items()}


def test_recall_by_hand(truth: COCO, tmp_path: Path) -> None:
    misses = Misses(truth, [{1: 7, 2: 9}, {1: 9, 3: 7}], 0.5)
    first = detections({1: 0.9, 2: 0.4, 3: 0.5, 4: 0.8}, {7: 1, 9: 2})
    second = detections({2: 0.6, 5: 0.7, 6: 0.99}, {7: 3, 9: 1})
    misses.add(5, tmp_path / "a.png", SIZE, [first, second])
    assert shares(misses) == {
        ("all", ""): (5, [3, 2]),
        ("size", "small"): (1, [1, 0]),
        ("size", "medium"): (3, [1, 2]),
        ("size", "large"): (1, [1, 0]),
        ("overlap", "none"): (1, [1, 0]),
        ("overlap", "up to a third"): (2, [1, 1]),
        ("overlap", "more"): (2, [1, 1]),
        ("truncation", "inside"): (4, [2, 2]),
        ("truncation", "at the edge"): (1, [1, 0]),
    }
    lines = misses.table(["model", "against"]).splitlines()
    assert lines[0] == "Recall at IoU 0.5 of a score of 0.5 or more"
    assert lines[1].split() == ["objects", "model", "against", "change"]
    assert lines[2].split() == ["all", "5", "0.600", "0.400", "+0.200"]
    assert lines[4].split() == ["size", "medium", "3", "0.333", "0.667", "-0.333"]
    # What lies on the crowd alone finds nothing.
    assert lines[-1].split() == ["detections", "3", "3", "+0"]
    misses.write(tmp_path, ["model", "against"])
    told = json.loads((tmp_path / "misses.json").read_text())
    assert (told["iou"], told["threshold"]) == (0.5, 0.5)
    assert told["detections"] == {"model": 3, "against": 3}
    assert told["objects"]["all"]["all"] == {"objects": 5, "found": {"model": 3, "against": 2}}
    assert told["objects"]["size"]["small"] == {"objects": 1, "found": {"model": 1, "against": 0}}
    assert [one["annotation_id"] for one in told["missed"]] == [2, 5]
    assert told["missed"][0] == {
        "image_id": 5,
        "annotation_id": 2,
        "category": "mug",
        "bbox": [100, 20, 60, 60],
        "size": "medium",
        "overlap": "up to a third",
        "truncation": "inside",
        "confidence": {
            "model": pytest.approx(0.4, abs=1e-6),
            "against": pytest.approx(0.6, abs=1e-6),
        },
    }


def test_bounds(truth: COCO, tmp_path: Path) -> None:
    """A third, a pixel from the edge, and COCO's sizes: what is on a bound counts as less."""
    entries = truth.imgToAnns[5] = [
        {"iscrowd": 0, "category_id": 7, "id": n, "image_id": 5, "bbox": box, "area": area}
        for n, (box, area) in enumerate(
            [
                ([1, 1, 30, 30], 32**2),
                ([21, 1, 30, 30], 96**2),
                ([100, 100, 199, 99], 32**2 + 1),
                ([100, 1, 199.5, 10], 96**2 + 1),
            ]
        )
    ]
    misses = Misses(truth, [{1: 7}], 0.5)
    misses.add(5, tmp_path / "a.png", SIZE, [detections({}, {})])
    misses.write(tmp_path, ["model"])
    told = json.loads((tmp_path / "misses.json").read_text())["missed"]
    assert len(told) == len(entries)
    assert [one["size"] for one in told] == ["small", "medium", "medium", "large"]
    assert [one["overlap"] for one in told] == ["up to a third"] * 2 + ["none"] * 2
    assert [one["truncation"] for one in told] == ["inside"] * 3 + ["at the edge"]


def test_a_detection_aside_or_of_another_class_finds_nothing(truth: COCO, tmp_path: Path) -> None:
    for found in (
        detections({3: 0.9}, {7: 1}, dx=41),  # 79 / 161 of the two boxes together
        detections({3: 0.9}, {7: 2}),
    ):
        misses = Misses(truth, [{1: 7, 2: 9}], 0.5)
        misses.add(5, tmp_path / "a.png", SIZE, [found])
        assert misses.recalls()["all"][""] == (5, [0])
    misses = Misses(truth, [{1: 7, 2: 9}], 0.5)
    misses.add(5, tmp_path / "a.png", SIZE, [detections({3: 0.9}, {7: 1}, dx=39)])  # 81 / 159
    assert misses.recalls()["all"][""] == (5, [1])


def test_what_is_missed_is_shown_where_it_is(truth: COCO, tmp_path: Path) -> None:
    misses = Misses(truth, [{1: 7}], 0.5)
    misses.add(5, tmp_path / "a.png", SIZE, [detections({1: 0.9, 3: 0.5, 5: 0.8}, {7: 1})])
    misses.write(tmp_path, ["model"])
    drawn = np.asarray(Image.open(tmp_path / "misses.png").convert("RGB"), int)
    assert drawn.shape[0] == SIDE
    # Of the object at (100, 20, 160, 80): 75 pixels each way from its middle, from (55, -25) on.
    scale = (SIDE - 2) / 150
    for x, y, colour in ((45, 85, MISSED), (104, 85, MISSED), (95, 115, FOUND)):
        assert (drawn[int(scale * y) + 1, int(scale * x) + 1] == colour).all(), (x, y)
    inside = drawn[int(scale * 85) + 1, int(scale * 75) + 1]
    assert np.abs(inside - tiny_data.picture(*SIZE)[60, 130]).max() <= 4
    assert not drawn[16 : int(scale * 25) - 2, 1 : SIDE - 1].any()  # beyond, below the caption
    assert (drawn[:, SIDE:] == 255).all()


def test_nothing_is_missed_or_annotated(truth: COCO, tmp_path: Path) -> None:
    misses = Misses(truth, [{1: 8}], 0.5)
    assert misses.table(["model"]).splitlines()[2].split() == ["all", "0", "-"]
    misses.add(5, tmp_path / "a.png", SIZE, [detections({7: 0.5}, {8: 1})])
    truth.imgs[6] = {"id": 6}
    misses.add(6, tmp_path / "b.png", SIZE, [detections({}, {})])
    assert misses.recalls()["all"][""] == (1, [1])
    misses.write(tmp_path, ["model"])
    told: dict[str, Any] = json.loads((tmp_path / "misses.json").read_text())
    assert told["missed"] == []
    assert (np.asarray(Image.open(tmp_path / "misses.png")) == 255).all()
    assert set(told["objects"]) == {"all", *KINDS}


def test_detectors_without_a_class_in_common(truth: COCO) -> None:
    with pytest.raises(DataError, match="annotations: have no class that both detectors know"):
        Misses(truth, [{1: 7}, {1: 9}], 0.5)


def test_boxes_thinner_than_a_pixel_or_larger_than_the_picture(truth: COCO, tmp_path: Path) -> None:
    boxes = [
        [10, 10, 0, 5],
        [10.2, 10.2, 0.4, 0.4],
        [-20000, -20000, 60000, 60000],
        [900, 900, 5, 5],
    ]
    truth.imgToAnns[5] = [
        {"iscrowd": 0, "category_id": 7, "id": n, "image_id": 5, "bbox": box, "area": 1}
        for n, box in enumerate(boxes)
    ]
    misses = Misses(truth, [{1: 7}], 0.5)
    thin = {"boxes": torch.tensor([[11.0, 9, 11, 12]]), "scores": torch.tensor([0.9])}
    misses.add(5, tmp_path / "a.png", SIZE, [thin | {"labels": torch.tensor([1])}])
    misses.write(tmp_path, ["model"])
    with Image.open(tmp_path / "misses.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    assert len(json.loads((tmp_path / "misses.json").read_text())["missed"]) == 4
    # The third tile is 150,000 pixels wide, of which the picture has 300: black, and the box.
    assert np.median(pixels[20 : SIDE - 20, 2 * SIDE + 20 : 3 * SIDE - 20]) == 0
