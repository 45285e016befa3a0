"""``python -m trainers.voc_segmentation`` on tiny data in VOC's layout."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from checkpoints import same, state
from detection.test_train_voc import animals
from detection.tiny_runs import arguments, watch_tests
from PIL import Image

from compositor.files import DataError
from trainers import segmentation, voc_segmentation
from trainers.detectors import load
from trainers.segmentation.networks import MEAN, STD
from trainers.segmentation.pictures import NAMES, VOID, Segmentations

from .test_pixels import palette

NUMBERS = {1: NAMES.index("dog") + 1, 2: NAMES.index("cat") + 1, VOID: VOID}
"""The class of each object in a mask of :func:`animals`."""
NETWORK = "lraspp_mobilenet_v3_large"
WAYS = ("baseline", "random", "random_hard", "synthesizer")


def segmented(folder: Path) -> Path:
    animals(folder)
    root = folder / "VOCdevkit" / "VOC2012"
    for path in (root / "SegmentationObject").glob("*.png"):
        numbers = np.zeros((90, 120), np.uint8)
        for number, label in NUMBERS.items():
            numbers[np.asarray(Image.open(path)) == number] = label
        palette(root / "SegmentationClass" / path.name, numbers)
    listed = root / "ImageSets" / "Segmentation"
    (listed / "val.txt").write_text((root / "ImageSets" / "Main" / "val.txt").read_text())
    return root


def line(tmp_path: Path, *more: str) -> list[str]:
    given = arguments(tmp_path / "VOCdevkit", tmp_path / "out")
    at = given.index("--context.steps")
    network = ("--target.network", NETWORK, "--target.weights", "none")
    del given[at : at + 6]  # T's task has no such way
    return [*given, "--split", "2012-train", "--test-split", "2012-val", *network, *more]


def test_it_leaves_every_file_and_torchvision_tells_what_the_run_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    segmented(tmp_path)
    seen = watch_tests(monkeypatch)
    output = tmp_path / "out"
    voc_segmentation.main(line(tmp_path))
    printed = capsys.readouterr().out
    results = json.loads((output / "results.json").read_text())
    assert list(results["cycles"]) == list(WAYS)
    for way, runs in results["cycles"].items():
        start, end = runs["0"]
        assert start["iou"] == results["cycles"]["baseline"]["0"][0]["iou"]
        assert end["added"] == (0 if way == "baseline" else 3)
        each = end["iou"]["per_class"]
        assert list(each) == ["__background__", "cat", "dog"]
        mean = sum(iou["mean"] for iou in each.values()) / 3
        assert end["iou"]["mean"]["mean"] == pytest.approx(mean)
        told = f"{way}, seed 0, cycle 1/1: mean IoU {100 * mean:.1f} %, {end['added']} composites"
        assert told in printed
        assert results["iou"][way]["mean"]["mean"]["per_seed"] == [pytest.approx(100 * mean)]
    assert results["search"]["random_hard"]["passes"] >= 3
    assert "IoU (%) on VOC 2012 val" in printed and "AP" not in printed
    assert re.search(
        r"^best: \S*/models/(\w+)-seed0/model.pt \(\1, seed 0, [^)]*\), mean IoU ", printed, re.M
    )
    drawn = ["hardness.png", "cutouts.png", *(f"composites_{way}.png" for way in WAYS[1:])]
    drawn += [f"masks_{way}.png" for way in WAYS]
    assert all(min(Image.open(output / name).size) > 60 for name in drawn)

    model = torch.load(output / "models/synthesizer-seed0/model.pt", weights_only=True)
    network = torchvision.models.get_model(
        model["architecture"], weights=None, weights_backbone=None, **model["options"]
    )
    network.load_state_dict(model["state_dict"])
    photographs, wanted = seen[-1]
    assert isinstance(photographs, Segmentations)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    images = torch.stack([photographs.image(n) for n in range(2)]).float() / 255
    with torch.no_grad():
        found = network.eval()((images - mean) / std)["out"].argmax(1)
    assert torch.equal(found, torch.stack([one["classes"] for one in wanted]).long())
    assert model["trained_on"]["iou"] == results["cycles"]["synthesizer"]["0"][1]["iou"]["mean"]
    weights = str(output / "models/synthesizer-seed0/model.pt")
    ours = segmentation.load(weights).predict(images)
    assert torch.equal(torch.stack([one["classes"] for one in ours]).long(), found)
    with pytest.raises(DataError, match=rf"{weights}: holds no detector .* got '{NETWORK}'"):
        load(weights)
    # It is learnt from, too, and by more classes.
    more = ("--target.weights", weights, "--names", "cat", "--ways", "baseline")
    voc_segmentation.main(line(tmp_path, *more, "--output", str(tmp_path / "again")))


def test_a_run_that_was_stopped_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    segmented(tmp_path)
    given = line(tmp_path, "--ways", "synthesizer", "--output")
    for name, cycles in (("whole", "2"), ("parts", "1"), ("parts", "2")):
        voc_segmentation.main([*given, str(tmp_path / name), "--cycles", cycles])
    name = "checkpoints/seed0/synthesizer.pt"
    assert same(state(tmp_path / "whole" / name), state(tmp_path / "parts" / name))


def test_the_light_network_takes_its_own_weights_and_a_fifth_is_held_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = segmented(tmp_path)
    listed = root / "ImageSets" / "Segmentation"
    (listed / "all.txt").write_text(
        (listed / "train.txt").read_text() + (listed / "val.txt").read_text()
    )
    given = line(tmp_path, "--ways", "baseline", "--target.network", "lraspp_efficientnet_lite0")
    at = given.index("--split")
    given[at : at + 4] = ["--split", "2012-all"]
    voc_segmentation.main([*given, "--target.weights", "default", "--check"])
    printed = capsys.readouterr().out
    assert "train: 4 pictures" in printed and "test: 1 pictures" in printed
    assert "cutouts: 4 pictures" in printed
    voc_segmentation.main([*given, "--target.weights", "default"])
    weights = str(tmp_path / "out/models/baseline-seed0/model.pt")
    again = [*given, "--target.weights", weights, "--output", str(tmp_path / "again")]
    voc_segmentation.main([*again, "--target.start-iterations", "0", "--cycles", "1"])
    first, second = (
        json.loads((tmp_path / name / "results.json").read_text())["cycles"]["baseline"]["0"]
        for name in ("out", "again")
    )
    assert second[0]["iou"] == first[1]["iou"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--data nowhere", "nowhere: has no VOC20xx with ImageSets/Segmentation in it"),
        ("--names zebra", "has class 'zebra', wanted VOC's"),
        (
            "--target.network ssd300_vgg16",
            "target.network: got 'ssd300_vgg16', wanted one of lraspp",
        ),
        ("--target.weights no.pth", "--target.weights: got 'no.pth', wanted 'default', 'none'"),
        ("--test-split 2012-none", "has no split '2012-none', only 2012-train, 2012-val"),
    ],
)
def test_what_a_user_can_put_right_is_one_line(tmp_path: Path, more: str, message: str) -> None:
    segmented(tmp_path)
    with pytest.raises(SystemExit, match=re.escape(message)):
        voc_segmentation.main(line(tmp_path, *more.split()))
