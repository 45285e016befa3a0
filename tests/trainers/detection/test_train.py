"""One's own data in COCO's format, tiny."""

import json
from pathlib import Path
from typing import Any

import pytest

from detection.tiny_runs import arguments, person, prepared
from tests.data import tiny_data
from trainers import train
from trainers.detection.drawn import observed
from trainers.detection.scenes import Scenes


def test_pictures_without_objects_are_learnt_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of ten, the fifth and the last of which are held out, 1 and 6 show nothing, 2 a dog."""
    images: dict[str, list[Any]] = {f"{n:02}.jpg": [person(10 + n)] for n in range(10)}
    images |= {"01.jpg": [], "06.jpg": [], "09.jpg": [], "02.jpg": [person() | {"category_id": 6}]}
    tiny_data.coco(tmp_path / "data", images)
    line = arguments(tmp_path / "data", tmp_path / "out", "--names", "person")
    line += ["--ways", "matched", "context"]
    data = prepared(train, line)
    shown = [len(target["labels"]) for target in data.scenes.real.targets]
    assert shown == [1, 0, 0, 1, 1, 0, 1, 1]
    assert data.test.names == ["04.jpg", "09.jpg"]
    assert [len(target["labels"]) for target in data.test.targets] == [1, 0]
    # The law is of those that show an object.
    rows = [index for index, count in enumerate(shown) if count]
    scenes = data.scenes
    alone = Scenes(scenes.real.only(rows), scenes.backgrounds, scenes.cutouts, scenes.artefacts)
    seen, wanted = vars(observed(scenes)), vars(observed(alone))
    assert all(seen[name].tolist() == wanted[name].tolist() for name in seen)

    train.main(line)
    printed = capsys.readouterr().out
    assert "train: 8 pictures; objects: person 5; left out: 0\n" in printed
    assert "train: 3 of the pictures show no object\n" in printed
    assert "test: 2 pictures; objects: person 1; left out: 0\n" in printed
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [results["cycles"][way]["0"][1]["added"] for way in ("matched", "context")] == [3, 3]


@pytest.mark.parametrize("own", [True, False])
def test_coco(tmp_path: Path, own: bool) -> None:
    """Pasted on its own pictures, or on a folder's; every fifth picture held out."""
    dog = person(60) | {"category_id": 6}
    images = {f"{n:02}.jpg": [person(10 + n), dog] for n in range(10)}
    tiny_data.coco(tmp_path / "data", images)
    tiny_data.coco(tmp_path / "other", {f"{n}.jpg": [] for n in range(2)})
    more = () if own else ("--backgrounds", str(tmp_path / "other" / "images"))
    line = ("--ways", "random_hard", "--names", "dog", "person", *more)
    train.main(arguments(tmp_path / "data", tmp_path / "out", *line))
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(results["ap"]["random_hard"]["per_class"]) == ["dog", "person"]
    assert (results["config"]["points"], results["ignored"]) == (101, "crowd")
    data = prepared(train, arguments(tmp_path / "data", tmp_path / "out", *line))
    assert data.test.names == ["04.jpg", "09.jpg"]
    assert len(data.scenes.real) == 8
    assert not {name.split("/")[0] for name in data.scenes.cutouts.names} & set(data.test.names)
    assert len(data.scenes.backgrounds) == (8 if own else 2)
    assert data.scenes.classes == ("__background__", "dog", "person")
