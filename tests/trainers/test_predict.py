"""``python -m trainers.predict`` as users run it, on models and pictures that the tests make."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detection.tiny_runs import arguments, person
from PIL import Image
from torch import Tensor, nn

from compositor.selection import detector
from tests.data import tiny_data
from tests.trainers.detectors import own
from trainers import predict, train
from trainers.detectors import TrainableDetector, TrainedDetector, build, load, model_file, onnx
from trainers.detectors.model_file import Model

SIZE = (96, 128)
NAME = "ssdlite320_mobilenet_v3_large"
CLASSES = ("__background__", "cup", "mug")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network, path = (
        build(NAME, CLASSES, "none", SIZE, "--w"),
        tmp_path_factory.mktemp("m") / "model.pt",
    )
    for weight in network.parameters():  # torchvision's are so small that all scores are alike
        if weight.dim() > 1:
            nn.init.kaiming_normal_(weight)
    state, frozen = network.weights()
    model_file.write(path, Model(NAME, dict(network.options), CLASSES, SIZE, frozen, {}, state))
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for number, name in enumerate(("a.png", "b/c.jpg", "d.jpg")):
        tiny_data.save(tmp_path / "in" / name, tiny_data.picture(60, 80 + number, number))
    (tmp_path / "in" / "d.jpg").write_bytes(b"broken")
    return tmp_path / "in"


def run(model: Path, output: Path, *more: object) -> list[dict[str, Any]]:
    predict.main([f"--model={model}", f"--output={output}", "--device=cpu", *map(str, more)])
    results: list[dict[str, Any]] = json.loads((output / "detections.json").read_text())
    return results


def test_a_folder(
    model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    results = run(model, out, "--images", pictures, "--threshold", 0.0, "--pictures", 1)
    assert {(one["image_id"], one["file_name"]) for one in results} == {
        (1, "a.png"),
        (2, "b/c.jpg"),
    }
    assert "skipped: d.jpg (" in (printed := capsys.readouterr().out)
    every = len(results)
    assert f": {every} objects with a score of 0 or more in 2 pictures" in printed
    scores = sorted(one["score"] for one in results)
    run(model, tmp_path / "half", "--images", pictures, "--threshold", scores[every // 2])
    sure = every - scores.index(scores[every // 2])
    assert f": {sure} objects with a score of " in (printed := capsys.readouterr().out)
    assert f"detections.json has {every} with any score" in printed
    with Image.open(pictures / "a.png") as picture:
        stretched = np.asarray(picture.resize(SIZE[::-1], Image.Resampling.BILINEAR))
        plain = np.asarray(picture)
    (found,) = load(model).predict(torch.from_numpy(stretched.copy()).permute(2, 0, 1)[None] / 255)
    ours = [one for one in results if one["image_id"] == 1]
    assert [one["category_id"] for one in ours] == found["labels"].tolist()
    x1, y1, x2, y2 = (found["boxes"] * torch.tensor([80 / 128, 60 / 96] * 2)).double().unbind(1)
    boxes = torch.tensor([one["bbox"] for one in ours], dtype=torch.float64)
    wanted = torch.stack((x1, y1, x2 - x1, y2 - y1), 1)
    torch.testing.assert_close(boxes, wanted, rtol=0, atol=0.006)  # rounded to hundredths
    assert [path.name for path in (out / "pictures").iterdir()] == ["a.png.jpg"]
    with Image.open(out / "pictures" / "a.png.jpg") as drawn:
        assert np.abs(np.asarray(drawn).astype(int) - plain).max() > 50


def test_boxes_below_the_threshold_are_not_drawn(
    model: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(model, out, "--images", pictures / "a.png", "--threshold", 1.0)
    with Image.open(pictures / "a.png") as plain, Image.open(out / "pictures/a.png.jpg") as drawn:
        # As far as JPEG goes.
        assert np.abs(np.asarray(drawn).astype(int) - np.asarray(plain)).max() < 12


def test_annotations_give_ids_and_an_ap(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = {"1.jpg": [{"category_id": 7, "bbox": [5, 5, 30, 30], "iscrowd": 0}], "2.jpg": []}
    tiny_data.coco(tmp_path / "coco", objects)
    (file,) = (tmp_path / "coco" / "annotations").iterdir()
    content = json.loads(file.read_text())
    content["categories"] = [{"id": 7, "name": "mug"}, {"id": 9, "name": "plate"}]
    for one, number in zip(content["images"], (31, 32), strict=True):
        one["id"] = number
    for one in content["annotations"]:
        one["image_id"] = 31
    file.write_text(json.dumps(content))
    place = next(path.parent for path in (tmp_path / "coco").rglob("1.jpg"))
    results = run(model, tmp_path / "out", "--images", place, "--annotations", file)
    assert {one["category_id"] for one in results} == {7}
    assert {one["image_id"] for one in results} == {31, 32}
    # So it is where the pictures are in a folder of --images, as COCO's are in that of their split.
    above = run(model, tmp_path / "out", "--images", place.parent, "--annotations", file)
    assert above == results
    with pytest.raises(
        SystemExit, match=r"none of its 2 pictures, such as 1.jpg, is in \S*annotations$"
    ):
        run(model, tmp_path / "out", "--images", file.parent, "--annotations", file)
    printed = capsys.readouterr().out
    assert "Average Precision  (AP) @[ IoU=0.50 " in printed
    assert "Recall at IoU 0.5 of a score of 0.5 or more" in printed
    del content["annotations"][0]["area"], content["annotations"][0]["iscrowd"]  # as some files do
    file.write_text(json.dumps(content))
    given = ("--images", place, "--annotations", file)
    run(model, tmp_path / "both", *given, "--against", model, "--threshold", 0.0)
    told = json.loads((tmp_path / "both" / "misses.json").read_text())
    assert told["objects"]["size"]["small"]["objects"] == 1  # 30 x 30
    found = told["objects"]["all"]["all"]["found"]
    assert found["model"] == found["against"]
    assert "objects    model  against   change" in capsys.readouterr().out
    assert (tmp_path / "both" / "misses.png").is_file()
    content["annotations"][0]["bbox"] = [1]
    file.write_text(json.dumps(content))
    with pytest.raises(SystemExit, match=f"error: {file}: is not in COCO's format"):
        run(model, tmp_path / "out", *given)
    content["annotations"][0]["bbox"] = [5, 5, 30, 30]
    content["categories"] = [{"id": 7, "name": "plate"}]
    file.write_text(json.dumps(content))
    with pytest.raises(SystemExit, match="error: annotations: have plate, none of the model's cup"):
        run(model, tmp_path / "out", "--images", place, "--annotations", file)
    file.write_text("{}")
    with pytest.raises(SystemExit, match=f"error: {file}: is not in COCO's format"):
        run(model, tmp_path / "out", "--images", place, "--annotations", file)


def listing(path: Path, names: Sequence[str], **more: Any) -> Path:
    """A file in COCO's format that lists pictures, with one object on the first."""
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 30, 30]}
    content = {
        "images": [{"id": n, "file_name": name} for n, name in enumerate(names, 1)],
        "annotations": [box],
        "categories": [{"id": 1, "name": "cup"}],
    }
    path.write_text(json.dumps(content | more))
    return path


def test_no_picture_is_overwritten(model: Path, pictures: Path, tmp_path: Path) -> None:
    """Whatever the annotations call them, and wherever the output is."""
    for path in (own := pictures / "own.jpg", beside := tmp_path / "beside.jpg"):
        tiny_data.save(path, tiny_data.picture(60, 80))
    before = own.read_bytes(), beside.read_bytes()
    file = listing(tmp_path / "a.json", [str(own), "../beside.jpg"])
    run(model, tmp_path / "out", "--images", pictures, "--annotations", file)
    assert (own.read_bytes(), beside.read_bytes()) == before
    drawn = [path.name for path in (tmp_path / "out" / "pictures").rglob("*.jpg")]
    assert sorted(drawn) == ["beside.jpg", "own.jpg"]
    (tmp_path / "data").mkdir()
    shown = pictures.rename(tmp_path / "data" / "pictures")
    with pytest.raises(SystemExit, match=r"output: got \S*data, which has the pictures to predict"):
        run(model, tmp_path / "data", "--images", shown)
    assert (shown / "own.jpg").read_bytes() == before[0]


def test_annotated_pictures_that_cannot_be_read_do_not_count(
    model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    box = {"category_id": 1, "area": None, "iscrowd": None}
    found = run(model, tmp_path / "first", "--images", pictures)
    best = next(one for one in found if one["category_id"] == 1 and one["file_name"] == "a.png")
    entries = [box | {"id": n, "image_id": n, "bbox": best["bbox"]} for n in (1, 2)]
    file = listing(tmp_path / "a.json", ["a.png", "d.jpg"], annotations=entries)  # d.jpg is broken
    run(model, tmp_path / "out", "--images", pictures, "--annotations", file)
    printed = capsys.readouterr().out
    assert "skipped: d.jpg" in printed
    # Of both pictures, half of the objects at most could be found.
    assert "(AR) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 1.000" in printed


def test_the_folder_with_most_of_the_names_is_taken(model: Path, tmp_path: Path) -> None:
    for n, name in enumerate(("a/1.jpg", "b/1.jpg", "b/2.jpg")):
        tiny_data.save(tmp_path / "in" / name, tiny_data.picture(60, 80, n))
    file = listing(tmp_path / "a.json", ["1.jpg", "2.jpg"])
    found = run(model, tmp_path / "out", "--images", tmp_path / "in", "--annotations", file)
    assert {one["image_id"] for one in found} == {1, 2}


def test_of_two_folders_with_all_names_neither_is_taken(model: Path, tmp_path: Path) -> None:
    """As of splits whose pictures are numbered; unless the folder above has them, too."""
    for place in ("train", "valid"):
        tiny_data.save(tmp_path / "in" / place / "1.jpg", tiny_data.picture(60, 80))
    given = ("--images", tmp_path / "in", "--annotations", listing(tmp_path / "a.json", ["1.jpg"]))
    with pytest.raises(
        SystemExit, match=r"images: got \S*in, but 1.jpg .* in both \S*in/train and"
    ):
        run(model, tmp_path / "out", *given)
    tiny_data.save(tmp_path / "in" / "1.jpg", tiny_data.picture(60, 80))
    assert {one["image_id"] for one in run(model, tmp_path / "out", *given)} == {1}


def test_what_a_run_left_has_the_ap_that_it_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the pictures that it held out, of several shapes; T finds the objects in their corner."""
    corner = {"category_id": 3, "bbox": [0, 0, 33, 27]}
    corner |= {"segmentation": [[0, 0, 33, 0, 33, 27, 0, 27]]}
    pictures = {f"{n:02}.jpg": [corner if n % 3 else person(40)] for n in range(30)}
    tiny_data.coco(tmp_path / "data", pictures)
    for n in range(0, 30, 2):  # twice as large
        with Image.open(path := tmp_path / "data" / "images" / f"{n:02}.jpg") as picture:
            picture.resize((240, 180)).save(path)
    (file,) = (tmp_path / "data" / "annotations").iterdir()
    content = json.loads(file.read_text())
    for image in content["images"]:
        if not int(image["file_name"][:2]) % 2:
            image |= {"width": 240, "height": 180}
            for one in content["annotations"]:
                if one["image_id"] == image["id"]:
                    one["bbox"] = [2 * side for side in one["bbox"]]
                    one["segmentation"] = [[2 * side for side in one["segmentation"][0]]]
    file.write_text(json.dumps(content))
    line = ("--ways", "baseline", "--target.network", f"{own.__name__}:detector")
    train.main(arguments(tmp_path / "data", tmp_path / "out", *line, "--names", "person"))
    same_ap(tmp_path, tmp_path / "data" / "images", capsys)


def test_so_it_has_on_a_voc_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By COCO's points; where no object is difficult both rules come to the same."""
    root, names = tmp_path / "data" / "VOC2012", [f"2012_{n}" for n in range(12)]
    for n, name in enumerate(names):
        corner, elsewhere = (0.0, 0.0, 33.0, 27.0), (50.0, 20.0, 90.0, 80.0)
        box = elsewhere if n % 4 == 1 else corner
        mask = {1: tiny_data.rectangle(90, 120, [int(side) for side in elsewhere])}
        objects = [("dog", box, 0), ("cat", (60.0, 60.0, 80.0, 80.0), 0)][: 1 + n % 2]
        tiny_data.voc_image(root, name, objects, mask)
    sets = {"Main_train": names[:6], "Segmentation_train": names[:6], "Main_val": names[6:]}
    tiny_data.voc_sets(root, **sets)
    line = ("--ways", "baseline", "--target.network", f"{own.__name__}:detector")
    line += (
        "--split",
        "2012-train",
        "--test-split",
        "2012-val",
        "--names",
        "dog",
        "--points",
        "101",
    )
    train.main(arguments(tmp_path / "data", tmp_path / "out", *line))
    same_ap(tmp_path, tmp_path / "data", capsys)


def test_so_it_has_on_a_set_of_yolo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its splits in folders; of outlines, that of an object whose corner is cut off."""
    corner = "1 0 0 0.275 0 0.275 0.25 0.2 0.3 0 0.3\n"
    elsewhere = "1 0.4 0.2 0.7 0.2 0.7 0.8 0.45 0.9 0.4 0.8\n"
    pictures = {f"images/{split}/{n}.jpg": corner if n % 3 else elsewhere
                for split in ("train", "val") for n in range(6)}  # fmt: skip
    tiny_data.yolo(tmp_path / "data", pictures | {"images/val/empty.jpg": None})
    line = ("--ways", "baseline", "--target.network", f"{own.__name__}:detector")
    line += ("--split", "train", "--test-split", "val")
    train.main(arguments(tmp_path / "data", tmp_path / "out", *line, "--names", "dog"))
    data = json.loads((tmp_path / "out" / "data.json").read_text())
    assert [data[part]["pictures"] for part in ("train", "cutouts", "test")] == [6, 2, 7]
    same_ap(tmp_path, tmp_path / "data", capsys)


def same_ap(folder: Path, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whether ``predict`` prints the AP that the run in out/ reported."""
    results = json.loads((folder / "out" / "results.json").read_text())
    reported = results["cycles"]["baseline"]["0"][1]["ap"]["mean"]["0.5"]
    assert 0.2 < reported < 0.8
    capsys.readouterr()
    model = folder / "out" / "models" / "baseline-seed0" / "model.pt"
    where = ("--images", images, "--annotations", folder / "out" / "test.json")
    run(model, folder / "found", *where)
    printed = capsys.readouterr().out
    assert f"IoU=0.50      | area=   all | maxDets=100 ] = {reported:.3f}" in printed


def test_the_export_gives_the_same_boxes(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict.main([f"--model={model}", f"--output={tmp_path}", "--device=cpu", "--export=onnx"])
    assert "model.onnx: boxes match the model's to within " in capsys.readouterr().out
    ours, theirs = load(model), detector.load(f"onnx:{tmp_path / 'model.onnx'}")
    assert list(theirs.classes or ()) == list(CLASSES)
    image = torch.rand(1, 3, *SIZE)
    (wanted,), (found,) = ours.predict(image), theirs.predict(image)
    for name in ("boxes", "labels", "scores"):
        torch.testing.assert_close(found[name][:10], wanted[name][:10], rtol=0, atol=1e-2)


def test_an_export_that_gives_other_boxes_is_refused(tmp_path: Path) -> None:
    class Constant(TrainableDetector):
        def __init__(self) -> None:
            super().__init__()
            self.any = nn.Parameter(torch.zeros(1))

        def loss(self, images: object, targets: object) -> Tensor:
            raise AssertionError

        def predict(self, images: Sequence[Tensor] | Tensor) -> list[dict[str, Tensor]]:
            # A number that tracing takes for a constant.
            corner = float(images[0].sum())
            boxes = images[0][0, :1, :4] + corner
            labels = torch.ones_like(boxes[:, 0], dtype=torch.int64)
            return [{"boxes": boxes, "labels": labels, "scores": images[0][0, :1, 0]}]

    traced = TrainedDetector(Constant(), Model("constant", {}, CLASSES, SIZE, False, {}, {}))
    with pytest.raises(onnx.ExportError, match="export: a box of the model's best 1 is .* pixels"):
        onnx.export(traced, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_wrong_input_is_one_line(model: Path, pictures: Path, tmp_path: Path) -> None:
    for more, message in (
        (["--model", tmp_path / "none.pt"], "none.pt: No such file"),
        (
            ["--model", pictures / "a.png"],
            "a.png: cannot be read as a model.pt .not a file of tensors",
        ),
        (["--images", tmp_path / "nowhere"], "nowhere"),
        (["--device", "quantum"], "device: got 'quantum'"),
        (["--against", model], "against: got .*model.pt, wanted it only with --images and"),
        (
            ["--annotations", listing(tmp_path / "a.json", ["a.png"], images=[{"id": 1}])],
            "a.json: is not in COCO's format .'file_name'",
        ),
        (
            ["--annotations", listing(tmp_path / "b.json", ["a.png"], categories=[{"id": 1}])],
            "b.json: is not in COCO's format .'name'",
        ),
    ):
        with pytest.raises(SystemExit, match=rf"error: \S*{message}"):
            run(model, tmp_path / "out", "--images", pictures, *more)


def test_nothing_to_do_is_an_error(model: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="error: images: got none, wanted a picture or a folder"):
        run(model, tmp_path)
    with pytest.raises(SystemExit, match="error: annotations: got a.json, wanted it only with"):
        run(model, tmp_path, "--annotations", "a.json", "--export", "onnx")


def test_without_the_exporter(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(SystemExit, match="error: export: needs two packages: pip install onnx"):
        run(model, tmp_path, "--export", "onnx")
