import contextlib
import io

import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from compositor.selection.judge import confidences, is_hard, presence

BOX = torch.tensor([0.0, 0, 10, 10])


def detections(*rows: tuple[list[float], float, int]) -> dict[str, Tensor]:
    boxes, scores, labels = zip(*rows, strict=True) if rows else ([], [], [])
    return {
        "boxes": torch.tensor(boxes).reshape(-1, 4).float(),
        "scores": torch.tensor(scores).float(),
        "labels": torch.tensor(labels).long(),
    }


def confidence(found: dict[str, Tensor], box: Tensor, label: int) -> float:
    return float(confidences(found, box[None], torch.tensor([label])))


def test_one_object_by_hand() -> None:
    half = [0, 0, 10, 5]  # IoU 50/100, exactly the least
    less = [0, 0, 10, 4.9]
    assert confidence(detections((half, 0.3, 1)), BOX, 1) == pytest.approx(0.3)
    assert confidence(detections((less, 0.9, 1)), BOX, 1) == 0
    assert confidence(detections((half, 0.9, 2)), BOX, 1) == 0
    # The best of those on it, not the one that overlaps most; neither of another class.
    several = detections((BOX.tolist(), 0.2, 1), (half, 0.4, 1), (BOX.tolist(), 0.9, 2))
    assert confidence(several, BOX, 1) == pytest.approx(0.4)
    assert confidence(detections(), BOX, 1) == 0
    # A box twice as long covers the object but overlaps it by 100/200.
    assert confidence(detections(([0, 0, 20, 10], 0.7, 1)), BOX, 1) == pytest.approx(0.7)
    assert confidence(detections(([0, 0, 21, 10], 0.7, 1)), BOX, 1) == 0


def test_a_detection_finds_one_object() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 8], [50, 50, 60, 60]])
    labels = torch.tensor([1, 1, 1])

    def judged(*rows: tuple[list[float], float, int]) -> list[float]:
        return [round(score, 4) for score in confidences(detections(*rows), boxes, labels).tolist()]

    # One detection on two objects finds the one it overlaps most; a second one finds the other.
    assert judged(([0, 0, 10, 8], 0.9, 1)) == [0, 0.9, 0]
    assert judged(([0, 0, 10, 8], 0.9, 1), ([0, 0, 10, 8], 0.6, 1)) == [0.6, 0.9, 0]
    assert judged(([0, 0, 10, 8], 0.6, 1), ([0, 0, 10, 9], 0.9, 1)) == [0.9, 0.6, 0]
    # A third one on them finds nothing, not even what it does not overlap.
    assert judged(*[([0.0, 0, 10, 8], score, 1) for score in (0.5, 0.9, 0.7)]) == [0.7, 0.9, 0]
    assert judged(([50, 50, 60, 60], 0.9, 2), ([50, 50, 60, 60], 0.4, 1)) == [0, 0, 0.4]
    assert confidences(detections((BOX.tolist(), 1, 1)), boxes[:0], labels[:0]).shape == (0,)


def test_agrees_with_cocos_matching() -> None:
    """pycocotools matches in the same order; what it matches to each object is the truth."""
    random = torch.Generator().manual_seed(3)

    def draw(count: int) -> Tensor:
        corner = torch.randint(0, 24, (count, 2), generator=random).float()
        return torch.cat((corner, corner + torch.randint(8, 30, (count, 2), generator=random)), 1)

    matched = 0
    for _ in range(40):
        boxes, labels = draw(6), torch.randint(1, 3, (6,), generator=random)
        found = {
            "boxes": draw(40),
            "labels": torch.randint(1, 3, (40,), generator=random),
            "scores": torch.rand(40, generator=random),
        }
        truth = coco_scores(found, boxes, labels)
        assert confidences(found, boxes, labels).tolist() == truth
        matched += sum(score > 0 for score in truth)
    assert 60 < matched < 180  # of 240


def coco_scores(found: dict[str, Tensor], boxes: Tensor, labels: Tensor) -> list[float]:
    def annotation(index: int, box: Tensor, label: Tensor) -> dict:
        x1, y1, x2, y2 = box.tolist()
        size = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
        return {"id": index + 1, "image_id": 1, "category_id": int(label), **size}

    truth, results = COCO(), COCO()
    shared = {"images": [{"id": 1}], "categories": [{"id": 1}, {"id": 2}]}
    pairs = enumerate(zip(boxes, labels, strict=True))
    truth.dataset = {**shared, "annotations": [annotation(i, *pair) for i, pair in pairs]}
    pairs = enumerate(zip(found["boxes"], found["labels"], strict=True))
    results.dataset = {
        **shared,
        "annotations": [
            annotation(i, *pair) | {"score": float(found["scores"][i])} for i, pair in pairs
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        results.createIndex()
        evaluation = COCOeval(truth, results, "bbox")
        evaluation.params.iouThrs = evaluation.params.iouThrs[:1]
        evaluation.evaluate()
    scores = [0.0] * len(boxes)
    everything = 1e5**2
    for image in evaluation.evalImgs:
        if image and image["aRng"] == [0, everything]:
            for one, detection in zip(image["gtIds"], image["gtMatches"][0], strict=True):
                if detection:
                    scores[one - 1] = float(found["scores"][int(detection) - 1])
    return scores


def test_presence_by_hand() -> None:
    """The paper's p is of the picture: where in it the class is seen does not matter."""
    far = [50.0, 50, 60, 60]
    several = detections((BOX.tolist(), 0.2, 1), (far, 0.7, 1), (far, 0.9, 2))
    assert presence(several, 1) == pytest.approx(0.7)
    assert presence(several, 2) == pytest.approx(0.9)
    assert presence(several, 3) == presence(detections(), 1) == 0
    assert confidence(several, BOX, 1) == pytest.approx(0.2)


def test_a_scene_is_hard_by_the_share_of_its_hard_objects() -> None:
    judged = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.49, 0.499, 0.0, 0.5, 0.6, 1.0])  # 7 below 0.5
    for share, hard in ((0.01, True), (0.7, True), (0.71, False), (1, False)):
        assert is_hard(judged, 0.5, share) is hard
    # As decimals in float 0.7 * 10 > 7 and 0.1 * 3 > 0.3.
    for count in range(1, 30):
        for low in range(1, count + 1):
            scene = torch.tensor([0.0] * low + [1.0] * (count - low))
            assert is_hard(scene, 0.5, low / count)
            assert not is_hard(scene, 0.5, min((low + 0.01) / count, 1)) or low == count
    assert not is_hard(torch.ones(3), 1, 0.01)
    assert not is_hard(torch.zeros(0), 0.5, 0.5)


@pytest.mark.parametrize("value", [0, -1, 1.1, float("nan"), "half", True])
def test_shares_out_of_range(value: object) -> None:
    line = " wanted a number above 0, at most 1$"
    with pytest.raises(ValueError, match=f"below: got .*,{line}"):
        is_hard(torch.zeros(1), value, 0.5)
    with pytest.raises(ValueError, match=f"share: got .*,{line}"):
        is_hard(torch.zeros(1), 0.5, value)
    with pytest.raises(ValueError, match=f"iou: got .*,{line}"):
        confidences(detections(), BOX[None], torch.ones(1), value)


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"^boxes: got .* shape \(4,\), wanted shape \(n, 4\)$"):
        confidences(detections(), BOX, torch.ones(1))
    with pytest.raises(ValueError, match=r"^labels: got .* \(1,\), wanted shape \(2,\), one for"):
        confidences(detections(), torch.zeros(2, 4), torch.ones(1))
