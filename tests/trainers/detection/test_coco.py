"""One's own data in COCO's format, tiny."""

import json
from pathlib import Path

import pytest

from detection.tiny_runs import arguments, person
from tests.data import tiny_data
from trainers import coco


@pytest.mark.parametrize("own", [True, False])
def test_coco(tmp_path: Path, own: bool) -> None:
    """Pasted on its own pictures, or on a folder's; every fifth picture held out."""
    dog = person(60) | {"category_id": 6}
    images = {f"{n:02}.jpg": [person(10 + n), dog] for n in range(10)}
    tiny_data.coco(tmp_path / "data", images)
    tiny_data.coco(tmp_path / "other", {f"{n}.jpg": [] for n in range(2)})
    more = () if own else ("--backgrounds", str(tmp_path / "other" / "images"))
    line = ("--ways", "random_hard", "--names", "dog", "person", *more)
    coco.main(arguments(tmp_path / "data", tmp_path / "out", *line))
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(results["ap"]["random_hard"]["per_class"]) == ["dog", "person"]
    assert (results["config"]["points"], results["ignored"]) == (101, "crowd")
    config = coco.command.parse("coco", "", coco.SCALES, arguments(
        tmp_path / "data", tmp_path / "out", *line))  # fmt: skip
    data = coco.read(config)
    assert data.test.names == ["04.jpg", "09.jpg"]
    assert len(data.scenes.real) == 8
    assert not {name.split("/")[0] for name in data.scenes.cutouts.names} & set(data.test.names)
    assert len(data.scenes.backgrounds) == (8 if own else 2)
    assert data.scenes.classes == ("__background__", "dog", "person")
