"""``python -m trainers.voc`` on tiny data of two classes, in VOC's layout."""

import json
from pathlib import Path

import pytest
import torch

from detection.tiny_runs import arguments
from tests.data import tiny_data
from trainers import voc
from trainers.config import ConfigError


def animals(folder: Path) -> None:
    """Three pictures to learn from and two to test on, each with a cat and a dog."""
    root = folder / "VOCdevkit" / "VOC2012"
    identifiers = [f"2012_{n}" for n in range(5)]
    for n, identifier in enumerate(identifiers):
        objects = [("dog", (10.0 + n, 10.0, 50.0, 75.0), 0), ("cat", (60.0, 20.0, 110.0, 80.0), 0)]
        masks = {
            number: tiny_data.rectangle(90, 120, [int(side) for side in box])
            for number, (_, box, _) in enumerate(objects, 1)
        }
        tiny_data.voc_image(root, identifier, objects, masks)
    tiny_data.voc_sets(
        root,
        Main_train=identifiers[:3],
        Segmentation_train=identifiers[:3],
        Main_val=identifiers[3:],
    )


def line(tmp_path: Path, *more: str) -> list[str]:
    sets = ("--learn", "2012-train", "--test", "2012-val")
    return [*arguments(tmp_path / "VOCdevkit", tmp_path / "out", *sets), *more]


def read(tmp_path: Path, *more: str) -> voc.Data:
    return voc.read(voc.command.parse("voc", "", voc.SCALES, line(tmp_path, *more)))


def test_all_classes(tmp_path: Path) -> None:
    animals(tmp_path)
    voc.main(line(tmp_path, "--ways", "matched", "random_hard"))
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(results["ap"]["matched"]["per_class"]) == ["cat", "dog"]
    assert results["cycles"]["matched"]["0"][1]["added"] == 3
    model = torch.load(tmp_path / "out/models/matched-seed0/model.pt", weights_only=True)
    assert model["classes"] == ("__background__", "cat", "dog")


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
    assert len(data.test) == 2
    assert [target["labels"].tolist() for target in data.test.targets] == [[2, 1]] * 2


def test_one_class_on_other_backgrounds(tmp_path: Path) -> None:
    animals(tmp_path)
    tiny_data.save(tmp_path / "plain" / "1.jpg", tiny_data.picture(90, 120))
    data = read(tmp_path, "--names", "dog", "--backgrounds", str(tmp_path / "plain"))
    assert data.scenes.classes == ("__background__", "dog")
    assert len(data.scenes.backgrounds) == 1
    assert data.scenes.cutouts.labels.tolist() == [1] * 3


@pytest.mark.parametrize(("field", "given"), [("learn", "trainval"), ("test", "-val")])
def test_sets_are_named_by_year_and_list(field: str, given: str) -> None:
    with pytest.raises(
        ConfigError, match=f"{field}: got '{given}', wanted a set such as 2007-trainval"
    ):
        voc.VOCConfig(**{field: (given,)})
