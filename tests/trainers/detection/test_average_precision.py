import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from compositor.data.records import Ignored
from trainers.detection.average_precision import IOUS, Points, average_precision

ONE = ("__background__", "person")
Image = dict[str, Tensor]


def target(*rows: tuple[list[float], int] | tuple[list[float], int, bool]) -> Image:
    return {
        "boxes": torch.tensor([row[0] for row in rows]).reshape(-1, 4).float(),
        "labels": torch.tensor([row[1] for row in rows]).long(),
        "ignore": torch.tensor([len(row) > 2 for row in rows]).bool(),
    }


def detection(*rows: tuple[list[float], float, int]) -> Image:
    return {
        "boxes": torch.tensor([row[0] for row in rows]).reshape(-1, 4).float(),
        "scores": torch.tensor([row[1] for row in rows]).float(),
        "labels": torch.tensor([row[2] for row in rows]).long(),
    }


def square(column: float, row: float = 0, side: float = 10) -> list[float]:
    return [20 * column, 20 * row, 20 * column + side, 20 * row + side]


def ap(
    detections: list[Image],
    targets: list[Image],
    points: Points,
    ignored: Ignored,
    iou: float = 0.5,
) -> float:
    result = average_precision(detections, targets, ONE, (iou,), points=points, ignored=ignored)
    value = result["mean"][iou]
    assert value == result["per_class"]["person"][iou] and isinstance(value, float)
    return value


POINTS = pytest.mark.parametrize("points", [101, 11])
IGNORED = pytest.mark.parametrize("ignored", ["difficult", "crowd"])


@POINTS
@IGNORED
def test_all_found_and_none_found(points: Points, ignored: Ignored) -> None:
    targets = [target((square(0), 1), (square(1), 1)), target((square(2), 1))]
    found = [
        detection((square(0), 0.9, 1), (square(1), 0.8, 1)),
        detection((square(2), 0.7, 1)),
    ]
    assert ap(found, targets, points, ignored) == pytest.approx(1)
    assert ap([detection(), detection()], targets, points, ignored) == 0
    # The right boxes in the wrong images.
    assert ap([found[1], found[0]], targets, points, ignored) == 0


@IGNORED
def test_precision_and_recall_by_hand(ignored: Ignored) -> None:
    """4 objects; true, false, true, true, false: precisions 1, 1/2, 2/3, 3/4 at recalls 1/4, 1/4,
    2/4, 3/4. Interpolated, so the best from there on: 1 up to 1/4, 3/4 up to 3/4, then 0."""
    targets = [target(*((square(i), 1) for i in range(4)))]
    boxes = [square(0), square(0, 5), square(1), square(2), square(1, 5)]
    found = [detection(*((box, 0.9 - 0.1 * i, 1) for i, box in enumerate(boxes)))]
    # Recalls 0, .1, .2 | .3, ..., .7 | .8, .9, 1.
    assert ap(found, targets, 11, ignored) == pytest.approx((3 * 1 + 5 * 0.75) / 11)
    # Recalls 0, ..., .25 (26 of them) | .26, ..., .75 (50) | the rest.
    assert ap(found, targets, 101, ignored) == pytest.approx((26 * 1 + 50 * 0.75) / 101)


@IGNORED
@pytest.mark.parametrize(("points", "step"), [(11, 1), (101, 5)])
def test_a_recall_exactly_on_a_point_reaches_it(
    points: Points, step: int, ignored: Ignored
) -> None:
    """As floats, 3/10 is less than np.arange(0, 1.1, 0.1)[3], which would cost a point, and 35/100
    than np.linspace(0, 1, 101)[35]."""
    objects = points - 1
    targets = [target(*((square(i), 1) for i in range(objects)))]
    for found in range(0, objects + 1, step):
        image = detection(*((square(i), 0.5, 1) for i in range(found)))
        expected = (found + 1) / points if found else 0
        assert ap([image], targets, points, ignored) == pytest.approx(expected)


@POINTS
@IGNORED
def test_an_object_is_found_once(points: Points, ignored: Ignored) -> None:
    """The better score takes it, and the second is false: here the first is at another object."""
    targets = [target((square(0), 1))]
    twice = [detection((square(0), 0.8, 1), (square(0), 0.9, 1))]
    assert ap(twice, targets, points, ignored) == pytest.approx(1)
    # The worse overlap has the better score, and so the object: at 0.7 neither order helps it.
    near = [0.0, 0, 10, 6]
    found = [detection((near, 0.9, 1), (square(0), 0.8, 1))]
    assert ap(found, targets, points, ignored) == pytest.approx(1)
    assert ap(found, targets, points, ignored, 0.7) == pytest.approx(0.5)


@IGNORED
def test_iou_exactly_at_the_threshold_counts(ignored: Ignored) -> None:
    targets = [target((square(0), 1))]
    for iou in IOUS:
        on = [detection(([0, 0, 10, 10 * iou], 0.9, 1))]
        below = [detection(([0, 0, 10, 10 * iou - 0.01], 0.9, 1))]
        # float32 holds 6, 7 and 8 exactly, so the IoU is the nearest float64 to 0.6, 0.7, 0.8.
        assert ap(on, targets, 11, ignored, iou) == pytest.approx(1), iou
        assert ap(below, targets, 11, ignored, iou) == 0, iou


@IGNORED
def test_boxes_are_exclusive(ignored: Ignored) -> None:
    """One pixel beside three: IoU 1/3. With VOC's + 1 it would be 4/8."""
    found = [detection(([0, 0, 1, 1], 0.9, 1))]
    assert ap(found, [target(([0, 0, 3, 1], 1))], 11, ignored) == 0
    assert ap(found, [target(([0, 0, 2, 1], 1))], 11, ignored) == pytest.approx(1)


@POINTS
@IGNORED
def test_ignored_objects_neither_help_nor_harm(points: Points, ignored: Ignored) -> None:
    targets = [target((square(0), 1), (square(1), 1, True), (square(2), 1))]
    found = [detection((square(1), 0.9, 1), (square(0), 0.8, 1), (square(2), 0.7, 1))]
    assert ap(found, targets, points, ignored) == pytest.approx(1)
    # Both detections of an ignored object are left out: one object of two is found.
    again = [detection((square(1), 0.95, 1), (square(1), 0.9, 1), (square(0), 0.8, 1))]
    assert ap(again, targets, points, ignored) == pytest.approx((points + 1) / 2 / points)


@POINTS
def test_part_of_a_difficult_object_is_wrong_and_part_of_a_crowd_is_left_out(
    points: Points,
) -> None:
    """A head found on a person, 25 of 100 pixels. VOC asks for the IoU, COCO for the share."""
    targets = [target((square(0), 1), (square(1), 1, True))]
    found = [detection(([22, 2, 27, 7], 0.9, 1), (square(0), 0.8, 1))]
    assert ap(found, targets, points, "difficult") == pytest.approx(0.5)
    assert ap(found, targets, points, "crowd") == pytest.approx(1)
    # Of 100 pixels 40 lie in the crowd: enough at 0.4, too few at 0.5.
    edge = [detection(([14, 0, 24, 10], 0.9, 1), (square(0), 0.8, 1))]
    assert ap(edge, targets, points, "crowd", 0.4) == pytest.approx(1)
    assert ap(edge, targets, points, "crowd", 0.5) == pytest.approx(0.5)


def test_a_detection_prefers_an_object_that_counts_to_a_crowd() -> None:
    """It is right on the object that it overlaps by 0.6, though all of it lies in the crowd."""
    targets = [target(([0, 0, 100, 100], 1, True), ([0, 0, 10, 6], 1))]
    found = [detection((square(0), 0.9, 1))]
    assert ap(found, targets, 11, "crowd") == pytest.approx(1)


@POINTS
def test_a_taken_object_is_passed_over_by_cocos_rules_alone(points: Points) -> None:
    """The second detection overlaps the taken object most, and the free one enough.

    COCO gives it the free one; VOC counts it false.
    """
    targets = [target(([0, 0, 10, 10], 1), ([3, 0, 13, 10], 1))]
    found = [detection(([0, 0, 10, 10], 0.9, 1), ([1, 0, 11, 10], 0.8, 1))]
    assert ap(found, targets, points, "crowd") == pytest.approx(1)
    half = (points + 1) / 2 / points
    assert ap(found, targets, points, "difficult") == pytest.approx(half)


def test_the_hundred_best_of_an_image_count_by_cocos_rules_alone() -> None:
    targets = [target((square(0), 1))]
    found = [detection(*((square(1), 0.9, 1) for _ in range(100)), (square(0), 0.8, 1))]
    assert ap(found, targets, 101, "crowd") == 0
    assert ap(found, targets, 101, "difficult") == pytest.approx(1 / 101)


@IGNORED
def test_classes_are_apart_and_an_absent_one_is_none(ignored: Ignored) -> None:
    classes = ("__background__", "cup", "box", "bag", "hat")
    targets = [target((square(0), 1), (square(1), 2), (square(3), 4, True))]
    found = [detection((square(0), 0.9, 1), (square(1), 0.9, 1), (square(2), 0.9, 3))]
    result = average_precision(found, targets, classes, (0.5, 0.8), points=11, ignored=ignored)
    assert result["per_class"]["cup"][0.5] == pytest.approx(1)
    assert result["per_class"]["box"] == {0.5: 0, 0.8: 0}
    assert result["per_class"]["bag"] == {0.5: None, 0.8: None}  # no object at all
    assert result["per_class"]["hat"] == {0.5: None, 0.8: None}  # only an ignored one
    assert result["mean"][0.8] == pytest.approx(0.5)
    assert set(result["per_class"]) == set(classes[1:])
    for images in ([], [detection()]):
        empty = average_precision(
            images, [target() for _ in images], classes, points=11, ignored=ignored
        )
        assert empty["mean"] == dict.fromkeys(IOUS)


@IGNORED
def test_an_ious_ap_does_not_depend_on_the_others(ignored: Ignored) -> None:
    targets, found = scene(np.random.default_rng(5), overlap=True)
    both = average_precision(found, targets, THREE, (0.5, 0.8), points=11, ignored=ignored)
    for iou in (0.5, 0.8):
        alone = average_precision(found, targets, THREE, (iou,), points=11, ignored=ignored)
        assert alone["mean"][iou] == both["mean"][iou]


def test_inputs_stay_as_they_were() -> None:
    targets, found = scene(np.random.default_rng(6), overlap=True)
    before = [{name: value.clone() for name, value in image.items()} for image in found]
    average_precision(found, targets, THREE, points=101, ignored="crowd")
    for image, copy in zip(found, before, strict=True):
        assert all(torch.equal(image[name], copy[name]) for name in copy)


@pytest.mark.parametrize(
    ("found", "truth", "message"),
    [
        ([], [target()], "detections: got 0 images, wanted 1"),
        ([detection((square(0), 0.9, 2))], [target()], "detections: got labels 2 to 2, wanted 1"),
        ([detection((square(0), 0.9, 0))], [target()], "detections: got labels 0 to 0"),
        ([detection()], [target((square(0), 3))], "targets: got labels 3 to 3"),
        ([detection((square(0), float("nan"), 1))], [target()], "detections: got scores that"),
        ([detection(([0, 0, float("inf"), 1], 1, 1))], [target()], "detections: got boxes that"),
    ],
)
def test_wrong_input_is_named(found: list[Image], truth: list[Image], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        average_precision(found, truth, ONE, points=11, ignored="difficult")


def test_other_rules_are_refused() -> None:
    with pytest.raises(ValueError, match="points: got 10, wanted 11 or 101"):
        average_precision([], [], ONE, points=10, ignored="crowd")
    with pytest.raises(ValueError, match="ignored: got 'small', wanted 'difficult' or 'crowd'"):
        average_precision([], [], ONE, points=11, ignored="small")


# Against others, on random scenes: three classes, objects found, found twice, missed and invented.

THREE = ("__background__", "cup", "box", "bag")


def scene(rng: np.random.Generator, overlap: bool) -> tuple[list[Image], list[Image]]:
    """40 images. Without overlap, objects keep to cells of their own, and none is ignored."""
    targets, detections = [], []
    for _ in range(40):
        cells = rng.permutation(16)[: rng.integers(0, 7)]
        corner = np.stack((cells % 4, cells // 4), 1) * 40.0
        if overlap:
            corner = rng.uniform(0, 60, corner.shape)
        sides = rng.uniform(15, 30, corner.shape)
        boxes = np.concatenate((corner, corner + sides), 1)
        labels = rng.integers(1, 4, len(boxes))
        ignore = rng.random(len(boxes)) < (0.25 if overlap else 0)
        again = rng.permutation(np.repeat(np.arange(len(boxes)), 3))[: 2 * len(boxes)]
        moved = boxes[again] + rng.normal(0, 2, (len(again), 4))
        invented = rng.uniform(0, 130, (rng.integers(0, 4), 2))
        invented = np.concatenate((invented, invented + 20), 1)
        found = np.concatenate((moved, invented))
        named = np.concatenate((labels[again], rng.integers(1, 4, len(invented))))
        targets.append(
            {
                "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
                "labels": torch.tensor(labels),
                "ignore": torch.tensor(ignore),
            }
        )
        detections.append(
            {
                "boxes": torch.tensor(found, dtype=torch.float32),
                # Few values, so that scores tie between images.
                "scores": torch.tensor(rng.integers(1, 30, len(found)) / 30, dtype=torch.float32),
                "labels": torch.tensor(named),
            }
        )
    return targets, detections


def by_pycocotools(
    folder: Path, targets: list[Image], detections: list[Image], points: int
) -> np.ndarray:
    """(IoUs, classes), the way its own demo goes: from files."""
    annotations, results = [], []
    for number, (truth, found) in enumerate(zip(targets, detections, strict=True)):
        for (x1, y1, x2, y2), label, ignore in zip(
            *map(Tensor.tolist, truth.values()), strict=True
        ):
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": label}
                | {"bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": int(ignore)}
                | {"area": (x2 - x1) * (y2 - y1)}
            )
        for (x1, y1, x2, y2), score, label in zip(*map(Tensor.tolist, found.values()), strict=True):
            results.append(
                {"image_id": number, "category_id": label, "score": score}
                | {"bbox": [x1, y1, x2 - x1, y2 - y1]}
            )
    content = {
        "info": {},
        "images": [{"id": number} for number in range(len(targets))],
        "categories": [{"id": label} for label in (1, 2, 3)],
        "annotations": annotations,
    }
    (folder / "truth.json").write_text(json.dumps(content))
    (folder / "found.json").write_text(json.dumps(results))
    truth = COCO(str(folder / "truth.json"))
    judge = COCOeval(truth, truth.loadRes(str(folder / "found.json")), "bbox")
    judge.params.iouThrs = np.array(IOUS)
    # Less a hair, for recalls such as 3/10 and 35/100, which it compares as floats.
    judge.params.recThrs = np.linspace(0, 1, points) - 1e-9
    judge.evaluate()
    judge.accumulate()
    # All areas, 100 detections.
    return judge.eval["precision"][..., 0, 2].mean(1)


def table(result: dict[str, dict[str, dict[float, float]]]) -> np.ndarray:
    return np.array([[result["per_class"][name][iou] for name in THREE[1:]] for iou in IOUS])


@POINTS
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_crowds_against_pycocotools_from_files(tmp_path: Path, seed: int, points: Points) -> None:
    targets, found = scene(np.random.default_rng(seed), overlap=True)
    ours = table(average_precision(found, targets, THREE, points=points, ignored="crowd"))
    # It adds eps to what it divides by.
    theirs = by_pycocotools(tmp_path, targets, found, points)
    np.testing.assert_allclose(ours, theirs, atol=1e-12, rtol=0)
    assert ours[0].min() > 0.2 and ours[-1].min() < ours[0].min() < 1


@POINTS
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_vocs_rules_against_pycocotools_where_the_two_agree(
    tmp_path: Path, seed: int, points: Points
) -> None:
    """Objects apart and none ignored."""
    targets, found = scene(np.random.default_rng(seed), overlap=False)
    ours = table(average_precision(found, targets, THREE, points=points, ignored="difficult"))
    theirs = by_pycocotools(tmp_path, targets, found, points)
    np.testing.assert_allclose(ours, theirs, atol=1e-12, rtol=0)


def by_the_kit(
    targets: list[Image], detections: list[Image], label: int, least: float, points: int
) -> float:
    """VOCevaldet and VOCap of the 2007 kit, a detection at a time, without the + 1."""
    rows = sorted(
        (
            (-float(score), number, box)
            for number, image in enumerate(detections)
            for box, score, named in zip(*map(Tensor.tolist, image.values()), strict=True)
            if named == label
        ),
        key=lambda row: row[0],
    )
    taken: set[tuple[int, int]] = set()
    right = wrong = 0
    positives = sum(int(((t["labels"] == label) & ~t["ignore"]).sum()) for t in targets)
    curve = []
    for _, number, (x1, y1, x2, y2) in rows:
        best, at = -1.0, -1
        for index, (truth, named) in enumerate(
            zip(targets[number]["boxes"].tolist(), targets[number]["labels"].tolist(), strict=True)
        ):
            width = min(x2, truth[2]) - max(x1, truth[0])
            height = min(y2, truth[3]) - max(y1, truth[1])
            if named != label or width <= 0 or height <= 0:
                continue
            union = (x2 - x1) * (y2 - y1) + (truth[2] - truth[0]) * (truth[3] - truth[1])
            overlap = width * height / (union - width * height)
            if overlap > best:
                best, at = overlap, index
        if best >= least:
            if bool(targets[number]["ignore"][at]):
                continue
            if (number, at) in taken:
                wrong += 1
            else:
                right += 1
                taken.add((number, at))
        else:
            wrong += 1
        curve.append((right, right / (right + wrong)))
    total = 0.0
    for point in range(points):
        total += max((p for r, p in curve if (points - 1) * r >= point * positives), default=0.0)
    return total / points


@POINTS
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_difficult_objects_against_the_kits_loops(seed: int, points: Points) -> None:
    targets, found = scene(np.random.default_rng(seed), overlap=True)
    ours = average_precision(found, targets, THREE, points=points, ignored="difficult")["per_class"]
    for label, name in enumerate(THREE[1:], 1):
        for iou in IOUS:
            kits = by_the_kit(targets, found, label, iou, points)
            assert ours[name][iou] == pytest.approx(kits), name
