"""GMU Kitchen and its stand-in, on tiny data in the layouts on disk."""

import json
from pathlib import Path

import pytest
import torch

from compositor.data.read import bigbird, folder
from compositor.scenes.placement import Range, Visibility
from compositor.scenes.random_placement import PlacementRules
from detection.tiny_runs import arguments, prepared
from tests.data import tiny_data
from trainers import gmu_kitchen


def test_gmu_kitchen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    classes = ("hunts_sauce", "red_bull")
    tiny_data.gmu(tmp_path, pictures=1)
    tiny_data.bigbird(tmp_path / "bigbird", classes)
    tiny_data.uw(tmp_path / "rgbd-scenes-v2")
    line = ("--classes", *classes, "--ways", "random", "synthesizer")
    gmu_kitchen.main(arguments(tmp_path, tmp_path / "out", *line))
    assert "the paper's table 3" in capsys.readouterr().out
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(results["ap"]["synthesizer"]["per_class"]) == list(classes)
    assert results["cycles"]["synthesizer"]["0"][1]["added"] == 3


def test_gmu_kitchens_stand_in_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gmu_kitchen.stand_in, "PICTURES", 4)
    tiny_data.bigbird(tmp_path / "objects", ("cup", "pear"), views=5, own=False)
    for n in range(4):
        tiny_data.save(tmp_path / "grounds" / f"{n}.jpg", tiny_data.picture(60, 80, n))
    where = f"--objects {tmp_path / 'objects'} --backgrounds {tmp_path / 'grounds'} --stand-in"
    line = arguments(tmp_path, tmp_path / "out", *where.split(), "--plain-backgrounds")
    data = prepared(gmu_kitchen, line)
    assert data.sources["test"].startswith("stand-in for GMU Kitchen: ")
    assert data.test.classes == ("__background__", "cup", "pear")
    assert (len(data.scenes.real), len(data.test)) == (6 * 4, 3 * 4)
    assert data.scenes.cutouts.names == [
        "cup/NP2_3", "cup/NP3_6", "cup/NP4_9", "pear/NP1_0", "pear/NP2_3", "pear/NP3_6",
        "pear/NP5_12",
    ]  # fmt: skip
    assert data.scenes.backgrounds.names == ["0.jpg", "2.jpg"]
    boxes = torch.cat([target["boxes"] for target in data.test.targets])
    assert len(boxes) > 12
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    # Made once.
    again = prepared(gmu_kitchen, line)
    assert again.test.folder == data.test.folder
    # Another photograph makes other scenes.
    tiny_data.save(tmp_path / "grounds" / "1.jpg", tiny_data.picture(60, 80, 9))
    changed = prepared(gmu_kitchen, line)
    assert changed.test.folder != data.test.folder
    assert changed.fingerprints["test"] != data.fingerprints["test"]


def test_the_stand_in_is_made_anew_by_other_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, stand_in = tmp_path / "made", gmu_kitchen.stand_in
    # A scene to learn from and one to test on.
    monkeypatch.setattr(stand_in.gmu, "SCENES", stand_in.gmu.SCENES[:2])
    monkeypatch.setattr(stand_in, "PICTURES", 1)
    tiny_data.bigbird(tmp_path / "objects", ("cup",), views=5, own=False)
    for n in range(2):
        tiny_data.save(tmp_path / "grounds" / f"{n}.jpg", tiny_data.picture(60, 80, n))
    objects = bigbird.cutouts(tmp_path / "objects")
    sources = made, objects, folder.backgrounds(tmp_path / "grounds")
    folders = [stand_in.make(*sources)]
    for name, other in {
        "VERSION": stand_in.VERSION + 1,
        "SIZE": (120, 160),
        "PICTURES": 2,
        "OBJECTS": (1, 2),
        "TEST_VIEWS": 3,
        "LIMITS": Range(scale=(0.3, 0.6)),
        "RULES": PlacementRules(overlap=0.2),
        "VISIBILITY": Visibility(covered=0.5),
        "LIGHT": (1.0, 1.0),
        "FILL": 0.6,
        "SEED": 1,
    }.items():
        with monkeypatch.context() as changed:
            changed.setattr(stand_in, name, other)
            folders.append(stand_in.make(*sources))
    assert len(set(folders)) == 12
    assert stand_in.make(*sources) == folders[0]
    pictures = [
        (root / "gmu_scene_001/Images/rgb_1.png").read_bytes() for root in (folders[0], folders[-1])
    ]
    assert pictures[0] != pictures[1]
