import json

import pytest
from PIL import Image

DETECTOR = """
import torch
class Mugs:
    classes = ["background", "cup", "mug"]
    def predict(self, images):
        assert images.shape == (1, 3, 40, 60) and images.dtype == torch.float32
        shade = float(images.mean())  # 0.2 in one picture, 0.6 in the other
        boxes = torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10]])
        labels, scores = torch.tensor([2, 2]), torch.tensor([shade, 0.9])
        return [{"boxes": boxes, "labels": labels, "scores": scores}]
"""


@pytest.fixture
def folder(tmp_path):
    """Three pictures in COCO's layout: one of two mugs and a crowd, one of a mug, one of none."""
    (tmp_path / "detectors_of_mugs.py").write_text(DETECTOR)
    (tmp_path / "coco").mkdir()
    images, annotations = [], []
    for number, (level, boxes) in enumerate(
        [(51, [[0, 0, 10, 10], [0, 20, 10, 10], [20, 0, 10, 10]]), (153, [[0, 0, 10, 10]]), (0, [])]
    ):
        Image.new("RGB", (60, 40), (level,) * 3).save(tmp_path / "coco" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 60, "height": 40})
        for place, box in enumerate(boxes):
            labels = {"category_id": 7, "image_id": number, "iscrowd": int(place == 2)}
            annotations.append(
                {"id": 10 * number + place, "bbox": box, "area": 100, "segmentation": []} | labels
            )
    content = {"images": images, "annotations": annotations}
    content["categories"] = [{"id": 7, "name": "mug"}]
    (tmp_path / "coco" / "instances.json").write_text(json.dumps(content))
    return tmp_path


def test_objects_are_judged(folder, succeed):
    """The crowd's detection counts for nothing, and the second mug is not found."""
    options = ("--pictures", "coco/instances.json", "--detector", "detectors_of_mugs.py:Mugs")
    assert succeed("judge.py", *options).splitlines() == [
        "0.png hard: 0.20 0.00",
        "1.png easy: 0.60",
        "1 of 2 pictures are hard",
    ]
    lines = succeed("judge.py", *options, "--below", 0.1, "--share", 1).splitlines()
    assert lines[0] == "0.png easy: 0.20 0.00" and lines[-1] == "0 of 2 pictures are hard"


def test_a_picture_that_is_broken_costs_no_other(folder, succeed):
    (folder / "coco" / "0.png").write_bytes(b"no picture")
    (folder / "coco" / "2.png").unlink()
    options = ("--pictures", "coco/instances.json", "--detector", "detectors_of_mugs.py:Mugs")
    lines = succeed("judge.py", *options).splitlines()
    assert lines == ["1.png easy: 0.60", "0 of 1 pictures are hard"]


def test_what_cannot_be_judged(folder, refuse):
    detector = ("--detector", "detectors_of_mugs.py:Mugs")
    assert "none" in refuse("judge.py", "--pictures", "none", *detector)
    pictures = ("--pictures", "coco/instances.json")
    line = refuse("judge.py", *pictures, "--detector", "mugs")
    assert line.startswith("error: detector: got 'mugs', wanted torchvision:NAME")
    line = refuse("judge.py", *pictures, *detector, "--below", 2)
    assert line == "error: below: got 2.0, wanted a number above 0, at most 1"
