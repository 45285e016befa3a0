"""``python -m trainers.predict`` with a segmentation network."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn
from torch.nn.functional import interpolate

from compositor.files import DataError
from tests.data import tiny_data
from trainers import predict, segmentation
from trainers.detectors import model_file
from trainers.detectors.model_file import Model
from trainers.segmentation import networks
from trainers.segmentation.colours import COLOURS, legend, tinted
from trainers.segmentation.networks import MEAN, STD

NAME, SIZE = "lraspp_mobilenet_v3_large", (96, 128)
CLASSES = ("__background__", "cup", "mug", "plate")
VOC = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 4: (0, 0, 128)}
VOC |= {8: (64, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192)}
"""Some of the colours that VOC's development kit documents."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(2)
    network = networks.build(NAME, len(CLASSES), "none", "--w")
    for weight in network.parameters():  # so that several classes are told
        if weight.dim() > 1:
            nn.init.kaiming_normal_(weight)
    state, frozen = network.weights()
    path = tmp_path_factory.mktemp("m") / "model.pt"
    model_file.write(path, Model(NAME, dict(network.options), CLASSES, SIZE, frozen, {}, state))
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for number, name in enumerate(("a.png", "a.jpg", "b/c.jpg", "d.jpg")):
        tiny_data.save(tmp_path / "in" / name, tiny_data.picture(150, 200 + number, number))
    (tmp_path / "in" / "d.jpg").write_bytes(b"broken")
    return tmp_path / "in"


def run(model: Path, output: Path, *more: object) -> None:
    predict.main([f"--model={model}", f"--output={output}", "--device=cpu", *map(str, more)])


def told(model: Path, path: Path) -> np.ndarray:
    """What torchvision tells of a picture's pixels."""
    content = torch.load(model, weights_only=True)
    network = torchvision.models.get_model(NAME, weights=None, weights_backbone=None, num_classes=4)
    network.load_state_dict(content["state_dict"])
    with Image.open(path) as picture:
        size = picture.size[::-1]
        small = np.asarray(picture.convert("RGB").resize(SIZE[::-1], Image.Resampling.BILINEAR))
    image = torch.from_numpy(small.copy()).permute(2, 0, 1) / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    with torch.no_grad():
        logits = network.eval()(((image - mean) / std)[None])["out"]
    return interpolate(logits, size, mode="bilinear")[0].argmax(0).numpy()


def test_masks_are_what_torchvision_tells(
    model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    run(model, out, "--images", pictures, "--pictures", 2)
    printed = capsys.readouterr().out
    masks = {str(path.relative_to(out / "masks")) for path in (out / "masks").rglob("*.png")}
    assert masks == {"a.png.png", "a.jpg.png", "b/c.png"}
    shares = np.zeros(4)
    for source, mask in (("a.png", "a.png"), ("a.jpg", "a.jpg"), ("b/c.jpg", "b/c")):
        wanted = told(model, pictures / source)
        with Image.open(out / "masks" / f"{mask}.png") as picture:
            assert picture.mode == "P"
            assert np.array_equal(np.asarray(picture), wanted)
            colours = np.asarray(picture.convert("RGB"))
        for label in np.unique(wanted):
            assert (colours[wanted == label] == VOC[label]).all()
        shares += [(wanted == label).mean() / 3 for label in range(4)]
    assert (shares > 0).sum() > 1
    assert "skipped: d.jpg (" in printed and "masks of 3 pictures; mean share" in printed
    for label, share in enumerate(shares):
        assert (f" {CLASSES[label]} {100 * share:.1f} %" in printed) == (share > 0)
    assert tuple(json.loads((out / "classes.json").read_text())) == CLASSES
    drawn = sorted(path.name for path in (out / "pictures").rglob("*.jpg"))
    assert drawn == ["a.jpg", "a.png.jpg"]
    with Image.open(out / "pictures" / "a.png.jpg") as picture:
        assert picture.width == 200 and picture.height > 150  # names below


def test_a_picture_as_it_is_and_one_of_no_picture_at_all(
    model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In Python any size will do; of nothing that can be read there is no share."""
    (found,) = segmentation.load(model).predict(torch.rand(1, 3, 50, 70))
    assert found["classes"].shape == (50, 70) and found["classes"].dtype == torch.uint8
    run(model, tmp_path / "out", "--images", pictures / "d.jpg")
    assert "masks of 0 pictures" in capsys.readouterr().out


def test_tints_are_vocs_colours_in_white_borders() -> None:
    assert all(tuple(COLOURS[number]) == colour for number, colour in VOC.items())
    classes = np.zeros((3, 6), np.uint8)
    classes[:, 3:] = 15
    drawn = tinted(np.full((3, 6, 3), 100, np.uint8), classes)
    wanted = [[100] * 3] * 3 + [[255] * 3] + [[146, 114, 114]] * 2
    assert drawn.tolist() == [wanted] * 3


def test_a_legend_takes_the_lines_that_it_needs() -> None:
    one, none = legend(CLASSES, [1], 200), legend(CLASSES, [], 200)
    assert none.size == (200, 0) and one.width == 200
    three = legend(CLASSES, [1, 2, 3], 70)
    assert three.height > 2 * one.height
    for label in (1, 2, 3):
        assert (np.asarray(three) == COLOURS[label]).all(-1).sum() > 50


@pytest.mark.parametrize("more", ["--annotations a.json", "--export onnx"])
def test_what_is_for_detectors_is_refused(model: Path, tmp_path: Path, more: str) -> None:
    option, value = more.split()
    message = f"error: {option[2:]}: got {value}, wanted none: {model} holds a segmentation network"
    with pytest.raises(SystemExit, match=re.escape(message)):
        run(model, tmp_path / "out", "--images", tmp_path, *more.split())
    assert not (tmp_path / "out").exists()


def test_no_picture_is_overwritten(model: Path, tmp_path: Path) -> None:
    tiny_data.save(own := tmp_path / "masks" / "a.png", tiny_data.picture(60, 80))
    before = own.read_bytes()
    with pytest.raises(SystemExit, match=r"output: got \S*, which has the pictures to predict on"):
        run(model, tmp_path, "--images", tmp_path / "masks")
    assert own.read_bytes() == before


def test_a_detector_is_none(model: Path, tmp_path: Path) -> None:
    content = model_file.read(model)
    path = tmp_path / "model.pt"
    model_file.write(path, Model(**vars(content) | {"architecture": "ssd300_vgg16"}))
    with pytest.raises(
        DataError, match=rf"{path}: holds no segmentation network: .*'ssd300_vgg16'"
    ):
        segmentation.load(path)
