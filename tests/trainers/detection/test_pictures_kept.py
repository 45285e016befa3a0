"""Learning from a few of the real pictures, with cut-outs from these alone."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from compositor.files import DataError
from detection.tiny_runs import arguments, people, person, prepared
from tests.data import tiny_data
from trainers import train, voc_person
from trainers.detection import experiment
from trainers.detection.sources import Data


def voc(folder: Path, count: int = 12) -> Data:
    people(folder, count)
    return prepared(voc_person, arguments(folder, folder / "out"))


def test_a_seeds_pictures_are_the_same_and_grow(tmp_path: Path) -> None:
    whole = voc(tmp_path)
    assert len(whole.scenes.real) == 10
    few, more, other = whole.of(3, 0), whole.of(6, 0), whole.of(3, 1)
    names = {"few": few, "more": more, "again": whole.of(3, 0), "other": other}
    kept = {key: set(data.scenes.real.names) for key, data in names.items()}
    assert len(kept["few"]) == 3 and kept["few"] < kept["more"]
    assert kept["few"] == kept["again"] != kept["other"]
    for data in (few, more, other):
        cut = [name.rpartition("/")[0] for name in data.scenes.cutouts.names]
        assert cut == data.scenes.real.names
        assert len(data.scenes.backgrounds) == 3
        assert data.test is whole.test
    assert few.fingerprints["train"] != other.fingerprints["train"] != whole.fingerprints["train"]
    assert set(whole.of(10, 0).scenes.real.names) == set(whole.scenes.real.names)


def test_what_cannot_be_is_one_line(tmp_path: Path) -> None:
    whole = voc(tmp_path)
    with pytest.raises(DataError, match="pictures: got 11, but VOC 2007 trainval .* has 10"):
        whole.of(11, 0)
    without = Data(whole.scenes, whole.test)
    object.__setattr__(without.scenes, "cutouts", whole.scenes.cutouts.only([0]))
    alone = [seed for seed in range(9) if _of_one(without, seed)]
    assert 0 < len(alone) < 9  # one picture in ten has its cut-out left


def _of_one(data: Data, seed: int) -> bool:
    try:
        return len(data.of(4, seed).scenes.cutouts) == 1
    except DataError as error:
        assert f"pictures: got 4, seed {seed}, but no cut-out of " in str(error)
        return False


def test_backgrounds_show_no_picture_that_is_left_out(tmp_path: Path) -> None:
    """Where objects are pasted on the data's own pictures."""
    images: dict[str, Any] = {f"{n:02}.jpg": [person(10 + n)] for n in range(9)}
    tiny_data.coco(tmp_path / "data", images | {f"empty{n}.jpg": [] for n in range(3)})
    line = arguments(tmp_path / "data", tmp_path / "out")
    data = prepared(train, line).of(9, 0)
    scenes = data.scenes
    assert set(scenes.backgrounds.names) == set(scenes.real.names)
    assert len(scenes.real) == len(scenes.backgrounds) == 9
    shown = [len(target["labels"]) for target in scenes.real.targets]
    assert min(shown) == 0 < sum(shown) == len(scenes.cutouts)


def test_backgrounds_of_the_same_names_stay(tmp_path: Path) -> None:
    tiny_data.coco(tmp_path / "data", {f"{n}.jpg": [person(10 + n)] for n in range(8)})
    (tmp_path / "grounds").mkdir()
    for n in range(8):
        Image.effect_noise((160, 120), 50 + n).save(tmp_path / "grounds" / f"{n}.jpg")
    line = arguments(
        tmp_path / "data", tmp_path / "out", "--backgrounds", str(tmp_path / "grounds")
    )
    assert len(prepared(train, line).of(2, 0).scenes.backgrounds) == 8


def test_a_run_learns_from_these_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people(tmp_path)
    seen: dict[tuple[str, int], tuple[str, ...]] = {}
    leave = experiment.leave

    def watched(run: Any, name: str) -> None:
        seen[name, run.seed] = tuple(run.data.scenes.real.names)
        leave(run, name)

    monkeypatch.setattr(experiment, "leave", watched)
    line = ("--ways", "baseline", "random", "--seeds", "0", "1", "--pictures", "2")
    voc_person.main(arguments(tmp_path, tmp_path / "out", *line))
    assert all(len(names) == 2 for names in seen.values()) and len(seen) == 4
    for seed in (0, 1):
        assert seen["baseline", seed] == seen["random", seed]
    model = tmp_path / "out" / "models" / "random-seed1" / "model.pt"
    assert torch.load(model, weights_only=True)["trained_on"]["pictures"] == 2


def test_too_many_is_said_before_anything_is_learnt(tmp_path: Path) -> None:
    people(tmp_path)
    for more in ((), ("--check",)):
        line = arguments(tmp_path, tmp_path / "out", "--pictures", "5", *more)
        with pytest.raises(SystemExit, match="error: pictures: got 5, but .* has 4"):
            voc_person.main(line)
    assert not (tmp_path / "out" / "checkpoints").exists()
