import json

from PIL import Image


def test_a_data_set_is_drawn_and_generated(tmp_path, succeed):
    printed = succeed("dataset.py", "--count", 4, "--seed", 1)
    assert printed == "wrote balloons/scenes\n"
    folder = tmp_path / "balloons"
    with Image.open(folder / "cutouts" / "red balloon" / "1.png") as cutout:
        assert cutout.mode == "RGBA"
    labels = folder / "scenes" / "coco" / "annotations" / "instances_train.json"
    content = json.loads(labels.read_text())
    assert len(content["images"]) == 4
    names = [category["name"] for category in content["categories"]]
    assert names == ["blue balloon", "purple balloon", "red balloon"]
    assert len(list((folder / "scenes" / "yolo" / "labels" / "train").iterdir())) == 4


def test_what_cannot_be_generated(refuse):
    assert refuse("dataset.py", "--count", 0).startswith("error: count: got 0, wanted a number")
