"""``python -m trainers.train`` on tiny data of two classes, in VOC's layout."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import same, state

from detection.tiny_runs import arguments, prepared
from tests.data import tiny_data
from trainers import train
from trainers.detection import own
from trainers.detection.sources import Data


def animals(folder: Path) -> None:
    """Three pictures to learn from and two to test on, each with a cat and a dog, which leave no
    room for others; and two that show nothing."""
    root = folder / "VOCdevkit" / "VOC2012"
    identifiers = [f"2012_{n}" for n in range(5)]
    for n, identifier in enumerate(identifiers):
        objects = [("dog", (10.0 + n, 10.0, 50.0, 75.0), 0), ("cat", (60.0, 20.0, 110.0, 80.0), 0)]
        masks = {
            number: tiny_data.rectangle(90, 120, [int(side) for side in box])
            for number, (_, box, _) in enumerate(objects, 1)
        }
        tiny_data.voc_image(root, identifier, objects, masks)
    nothing = [f"2012_{n}" for n in range(7, 9)]
    for identifier in nothing:
        tiny_data.voc_image(root, identifier, [])
    tiny_data.voc_sets(
        root,
        Main_train=identifiers[:3] + nothing,
        Segmentation_train=identifiers[:3],
        Main_val=identifiers[3:],
    )


def line(tmp_path: Path, *more: str) -> list[str]:
    sets = ("--split", "2012-train", "--test-split", "2012-val")
    return [*arguments(tmp_path / "VOCdevkit", tmp_path / "out", *sets), *more]


def read(tmp_path: Path, *more: str) -> Data:
    return prepared(train, line(tmp_path, *more))


def test_all_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    animals(tmp_path)
    given = line(tmp_path)
    at = given.index("--seeds")
    train.main([*given[:at], *given[at + 2 :]])
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert {way: list(runs) for way, runs in results["cycles"].items()} == {
        "baseline": ["0"],
        "matched": ["0"],
    }
    assert list(results["ap"]["matched"]["per_class"]) == ["cat", "dog"]
    assert results["cycles"]["matched"]["0"][1]["added"] == 3
    model = torch.load(tmp_path / "out/models/matched-seed0/model.pt", weights_only=True)
    assert model["classes"] == ("__background__", "cat", "dog")
    told = r"^best: \S*/(\w+)-seed0/model.pt \(\1, seed 0, [^)]*\), AP "
    assert re.search(told, capsys.readouterr().out, re.M)


def test_a_run_that_was_stopped_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    animals(tmp_path)
    given = line(tmp_path, "--ways", "matched", "--output")
    for name, cycles in (("whole", "2"), ("parts", "1"), ("parts", "2")):
        train.main([*given, str(tmp_path / name), "--cycles", cycles])
    name = "checkpoints/seed0/matched.pt"
    assert same(state(tmp_path / "whole" / name), state(tmp_path / "parts" / name))


def alpha(folder: Path, *names: str) -> Path:
    """Cut-outs with an alpha channel, two of each class."""
    mask = np.zeros((60, 50), np.uint8)
    mask[5:55, 5:45] = 255
    for name in names:
        for number in range(2):
            pixels = np.dstack([tiny_data.picture(60, 50, number), mask])
            tiny_data.save(folder / name / f"{number}.png", pixels)
    return folder


@pytest.mark.parametrize("pictures", [None, 2])
def test_cutouts_from_elsewhere_all_stay(tmp_path: Path, pictures: int | None) -> None:
    """However few of the real pictures are taken: they are out of none of these."""
    animals(tmp_path)
    folder = alpha(tmp_path / "objects", "dog", "cat")
    data = read(tmp_path, "--cutouts", str(folder))
    if pictures is not None:
        data = data.of(pictures, 0)
    assert data.scenes.cutouts.names == ["cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png"]
    assert data.scenes.cutouts.labels.tolist() == [1, 1, 2, 2]
    assert len(data.scenes.real) == len(data.scenes.backgrounds) == (pictures or 5)
    assert data.scenes.classes == ("__background__", "cat", "dog")


def test_a_run_with_cutouts_from_elsewhere(tmp_path: Path) -> None:
    animals(tmp_path)
    folder = alpha(tmp_path / "objects", "dog", "cat")
    more = ("--cutouts", str(folder), "--pictures", "2", "--ways", "random")
    train.main(line(tmp_path, *more))
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["cycles"]["random"]["0"][1]["added"] == 3


def test_what_is_cut_out_has_its_own_label(tmp_path: Path) -> None:
    animals(tmp_path)
    data = read(tmp_path)
    assert data.scenes.classes == ("__background__", "cat", "dog")
    assert sorted(data.scenes.cutouts.labels.tolist()) == [1] * 3 + [2] * 3
    # Cats are 50 pixels wide of 120, dogs 40 at most.
    for index, label in enumerate(data.scenes.cutouts.labels.tolist()):
        rows, columns = (data.scenes.cutouts.image(index)[3] > 0).nonzero(as_tuple=True)
        aspect = float((columns.max() - columns.min()) / (rows.max() - rows.min()))
        assert aspect == pytest.approx(5 / 6 if label == 1 else 0.58, abs=0.08)
    assert [len(target["labels"]) for target in data.scenes.real.targets] == [2, 2, 2, 0, 0]
    assert data.scenes.backgrounds.names == data.scenes.real.names
    assert len(data.test) == 2
    assert [target["labels"].tolist() for target in data.test.targets] == [[2, 1]] * 2


def test_one_class_on_other_backgrounds(tmp_path: Path) -> None:
    animals(tmp_path)
    tiny_data.save(tmp_path / "plain" / "1.jpg", tiny_data.picture(90, 120))
    data = read(tmp_path, "--names", "dog", "--backgrounds", str(tmp_path / "plain"))
    assert data.scenes.classes == ("__background__", "dog")
    assert len(data.scenes.backgrounds) == 1
    assert data.scenes.cutouts.labels.tolist() == [1] * 3


def test_of_a_set_alone_a_fifth_is_held_out(tmp_path: Path) -> None:
    """The set is a user's own; what is held out gives no cut-out."""
    animals(tmp_path)
    sets = tmp_path / "VOCdevkit" / "VOC2012" / "ImageSets"
    for task in ("Main", "Segmentation"):
        (sets / task / "mine.txt").write_text("".join(f"2012_{n}\n" for n in range(5)))
    given = arguments(tmp_path / "VOCdevkit", tmp_path / "out", "--split", "2012-mine")
    data = prepared(train, given)
    assert data.scenes.real.names == [f"VOC2012/2012_{n}" for n in range(4)]
    assert data.test.names == ["VOC2012/2012_4"]
    assert {name.rpartition("/")[0] for name in data.scenes.cutouts.names} == set(
        data.scenes.real.names
    )
    listed = json.loads((tmp_path / "out" / "test.json").read_text())
    assert [image["file_name"] for image in listed["images"]] == ["VOC2012/JPEGImages/2012_4.jpg"]


@pytest.mark.parametrize("place", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_sets_that_are_called_train_and_val_need_not_be_named(tmp_path: Path, place: str) -> None:
    animals(tmp_path)
    data = prepared(train, arguments(tmp_path / place, tmp_path / "out"))
    named = read(tmp_path)
    assert data.scenes.real.names == named.scenes.real.names
    assert data.test.names == named.test.names


def test_what_is_tested_on_is_neither_learnt_from_nor_pasted(tmp_path: Path) -> None:
    """Where sets overlap, and where the backgrounds are the data's own pictures."""
    animals(tmp_path)
    root = tmp_path / "VOCdevkit" / "VOC2012"
    every = [f"2012_{n}" for n in range(5)]
    tiny_data.voc_sets(root, Main_trainval=every, Segmentation_trainval=every)
    sets = ("--split", "2012-train", "2012-trainval", "--test-split", "2012-val")
    more = (*sets, "--backgrounds", str(root / "JPEGImages"))
    given = arguments(tmp_path / "VOCdevkit", tmp_path / "out", *more)
    data = prepared(train, given)
    learnt = ["2012_0", "2012_1", "2012_2", "2012_7", "2012_8"]
    assert data.scenes.real.names == [f"VOC2012/{name}" for name in learnt]
    assert data.test.names == ["VOC2012/2012_3", "VOC2012/2012_4"]
    assert {name.split("/")[1] for name in data.scenes.cutouts.names} == {*learnt[:3]}
    assert data.scenes.backgrounds.names == [f"{name}.jpg" for name in learnt]
    lost = {"picture that is tested on": data.test.names}
    assert data.scenes.real.left_out == data.scenes.cutouts.left_out == lost


def test_the_names_in_test_json_lead_from_the_data(tmp_path: Path) -> None:
    """Or from a folder in it, which predict looks into."""
    animals(tmp_path)
    for place in ("", "VOCdevkit", "VOCdevkit/VOC2012"):
        train.read(train.command.parse("", "", train.SCALES, arguments(tmp_path / place, tmp_path)))
        listed = json.loads((tmp_path / "test.json").read_text())
        (name, _) = (image["file_name"] for image in listed["images"])
        places = [tmp_path / place, *(tmp_path / place).iterdir()]
        assert any((folder / name).is_file() for folder in places), place


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--names dog mug", "VOCdevkit: has no class mug, only cat, dog$"),
        ("--test-annotations x.json", "test_annotations: got x.json, wanted --test-split, since "),
        ("--split 2012-val", r"val.txt: is missing; .*; or name a folder of cut-outs as --cutouts"),
        ("--split 2012-train --test-split 2012-train", "all its pictures are tested on, too"),
        ("--split 2012-few", "has 4 pictures, wanted 5 or more to hold out one in 5"),
    ],
)
def test_what_a_user_can_put_right_is_one_line(tmp_path: Path, more: str, message: str) -> None:
    animals(tmp_path)
    few = [f"2012_{n}" for n in range(4)]
    root = tmp_path / "VOCdevkit" / "VOC2012"
    tiny_data.voc_sets(root, Main_few=few, Segmentation_few=few)
    with pytest.raises(SystemExit, match=message):
        train.main(arguments(tmp_path / "VOCdevkit", tmp_path / "out", *more.split()))
    assert not (tmp_path / "out" / "test.json").exists()


def test_boxes_without_area_are_not_in_test_json(tmp_path: Path) -> None:
    found = [("dog", (50.0, 10.0, 20.0, 75.0), False), ("dog", (5.0, 6.0, 8.0, 10.0), False)]
    own.list_test(tmp_path, ("__background__", "dog"), [("a.jpg", found)])
    listed = json.loads((tmp_path / "test.json").read_text())
    assert [one["bbox"] for one in listed["annotations"]] == [[5, 6, 3, 4]]
