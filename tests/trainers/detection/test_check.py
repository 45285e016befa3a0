"""The trainers' checks of settings, data and output folder, and what they report."""

import errno
import json
import os
from copy import deepcopy
from dataclasses import replace
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

from detection.test_train_voc import animals
from detection.tiny_runs import arguments, people, person, prepared
from tests.data import tiny_data
from trainers import gmu_kitchen, train, voc_person, voc_segmentation
from trainers.config import ConfigError, flatten, plain
from trainers.detection import experiment
from trainers.detection.config import Config


def test_data_that_changed_since_is_not_gone_on_with(tmp_path: Path) -> None:
    data, output = tmp_path / "data", tmp_path / "out"
    tiny_data.coco(data, {f"{n:02}.jpg": [person(10 + n)] for n in range(10)})
    line = arguments(data, output, "--ways", "baseline")
    train.main(line)
    # The same at another time is the same.
    os.utime(data / "images" / "03.jpg", (1, 1))
    train.main(line)
    results = (output / "results.json").read_bytes()

    annotations = data / "annotations" / "instances_tiny.json"
    whole = json.loads(annotations.read_text())
    mended, fewer = deepcopy(whole), deepcopy(whole)
    mended["annotations"][0]["bbox"][0] += 5
    del fewer["images"][-1]
    for changed, what in (
        (mended, r"train was 8 items \(\w+\), is 8 items"),
        (fewer, r"test was 2 items \(\w+\), is 1 item "),
    ):
        annotations.write_text(json.dumps(changed))
        message = rf"error: .*baseline.pt: the data has changed since .*{what}.*\(--restart\)"
        with pytest.raises(SystemExit, match=message):
            train.main(line)
        assert (output / "results.json").read_bytes() == results
    for name in ("old-seed0", "mine"):
        (output / "models" / name).mkdir(parents=True)
    train.main([*line, "--restart"])
    assert (output / "results.json").read_bytes() != results
    # An earlier run's detectors go with it; what it did not write stays.
    names = {path.name for path in (output / "models").iterdir()}
    assert "old-seed0" not in names
    assert {"baseline-seed0", "mine"} <= names


def test_a_check_reads_everything_and_trains_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people(tmp_path)
    (tmp_path / "VOCdevkit" / "VOC2007" / "JPEGImages" / "000003.jpg").write_bytes(b"broken")
    images = {f"{n:02}.jpg": [person(10 + n)] for n in range(5)}
    images["00.jpg"].append(person(60) | {"category_id": 6})
    # Roboflow's first category is no object's.
    tiny_data.coco(tmp_path / "own", images, ("person", "dog", "animals"))
    kitchen = tmp_path / "kitchen"
    tiny_data.gmu(kitchen, pictures=1)
    tiny_data.bigbird(kitchen / "bigbird", ("hunts_sauce", "red_bull"))
    tiny_data.uw(kitchen / "rgbd-scenes-v2")
    found = {}
    animals(tmp_path / "two")
    sets = ("--split", "2012-train", "--test-split", "2012-val")
    for name, trainer, data, more in (
        ("voc", voc_person, tmp_path, ()),
        ("own", train, tmp_path / "two" / "VOCdevkit", sets),
        ("coco", train, tmp_path / "own", ()),
        ("gmu", gmu_kitchen, kitchen, ("--classes", "hunts_sauce", "red_bull")),
    ):
        output = tmp_path / name
        # No weights are looked for either.
        more = (*more, "--check", "--target.weights", "absent.pth")
        trainer.main(arguments(data, output, *more))
        assert not (output / "checkpoints").exists()
        assert not (output / "results.json").exists()
        found[name] = json.loads((output / "data.json").read_text())
        assert list(found[name]) == ["train", "backgrounds", "cutouts", "test"]
    broken = {"broken .jpg file": ["VOC2007/000003"]}
    assert found["voc"]["train"] == {"pictures": 3, "objects": {"person": 3}, "left_out": broken}
    assert found["voc"]["cutouts"] == {"pictures": 3, "objects": {"person": 3}, "left_out": broken}
    assert found["voc"]["test"] == {"pictures": 2, "objects": {"person": 2}, "left_out": {}}
    assert found["voc"]["backgrounds"]["pictures"] == 3
    each = {"cat": 3, "dog": 3}
    for part, pictures in (("train", 5), ("backgrounds", 5), ("cutouts", 3)):
        assert found["own"][part] == {"pictures": pictures, "objects": each, "left_out": {}}
    assert found["own"]["test"]["objects"] == {"cat": 2, "dog": 2}
    assert found["coco"]["train"]["objects"] == {"person": 4, "dog": 1}
    assert found["gmu"]["test"]["objects"] == {"hunts_sauce": 3, "red_bull": 3}
    printed = capsys.readouterr().out
    assert "train: 3 pictures; objects: person 3; left out: 1\n" in printed
    assert "left out: 1 broken .jpg file (VOC2007/000003)" in printed
    assert "test: no countable object of dog, so no AP for these classes\n" in printed


def test_the_tests_classes_go_by_name(tmp_path: Path) -> None:
    """Ids swapped, one of the classes learnt missing, one that was not learnt."""
    data = tmp_path / "data"
    dog = person(60) | {"category_id": 6}
    tiny_data.coco(data, {f"{n}.jpg": [person(), dog] for n in range(3)}, split="learnt")
    # Of ids 3, 6 and 9, and so of another order: dog, cat, person.
    swapped = [dog | {"category_id": 3}, person(5) | {"category_id": 6}]
    swapped.append(person() | {"category_id": 9})
    tests = {"swapped": ("dog", "cat", "person"), "fewer": ("dog", "cat")}
    for split, categories in tests.items():
        images = {f"test{n}.jpg": swapped[: len(categories)] for n in range(3)}
        tiny_data.coco(data, images, categories, split=split)
    for split, wanted in (("swapped", [2, 1]), ("fewer", [2])):
        line = arguments(data, tmp_path / "out", "--split", "learnt", "--test-split", split)
        read = prepared(train, line)
        assert read.test.classes == ("__background__", "person", "dog")
        assert [target["labels"].tolist() for target in read.test.targets] == [wanted] * 3
        assert read.test.left_out["class that is not learnt"] == ["cat"]
        assert read._untested() == ["person"] * (split == "fewer")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("file", "File exists"),
        ("long", "File name too long"),
        ("null", "embedded null byte"),
        ("locked", "Permission denied"),
    ],
)
def test_an_output_that_cannot_be_written_to_is_one_line(
    tmp_path: Path, kind: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / {"long": "x" * 300, "null": "a\0b"}.get(kind, kind)
    if kind == "file":
        output.write_text("a file")
    elif kind == "locked":  # for root no folder is

        def refused(*arguments: Any, **options: Any) -> None:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(output))

        monkeypatch.setattr("compositor.files.tempfile.TemporaryFile", refused)
    message = rf"error: .*: is not a folder that can be written to \({reason}\)$"
    with pytest.raises(SystemExit, match=message) as stopped:
        voc_person.main(arguments(tmp_path, output))
    assert "\n" not in str(stopped.value)


def test_processes_have_to_share_batches_evenly(tmp_path: Path) -> None:
    base = Config(output=tmp_path)
    experiment._check_shares(base, 16)
    for player in ("target", "synthesizer"):
        ours = replace(base, **{player: replace(getattr(base, player), batch=33)})
        message = f"{player}.batch: got 33, wanted a multiple of 2, the number of processes"
        with pytest.raises(ConfigError, match=message):
            experiment._check_shares(ours, 2)


def test_d_has_both_kinds_of_pictures_in_every_process(tmp_path: Path) -> None:
    base = Config(output=tmp_path, ways=("synthesizer_discriminator",))
    base = replace(base, target=replace(base.target, batch=4))
    experiment._check_shares(base, 2)
    wanted = "target.batch: got 4, wanted 8 or more: D compares"
    with pytest.raises(ConfigError, match=wanted):
        experiment._check_shares(base, 4)
    with pytest.raises(ConfigError, match=wanted):
        experiment._check_shares(replace(base, ways=("synthesizer",), table2=True), 4)
    experiment._check_shares(replace(base, ways=("synthesizer",)), 4)
    mixed = replace(base, target=replace(base.target, mix="concatenate"))
    experiment._check_shares(mixed, 4)


def test_every_number_has_its_limits() -> None:
    """What cannot be a count, a rate or a part is refused, in every trainer's config."""
    for config in (trainer.SCALES["full"] for trainer in (train, voc_person, gmu_kitchen)):
        for name, value in flatten(plain(config)).items():
            first = (value or [None])[0] if isinstance(value, list) else value
            if isinstance(first, bool) or not isinstance(first, int | float) or name == "points":
                continue
            for bad in (-1e9, nan, inf) if isinstance(first, float) else (-(10**9),):
                given = (bad, *value[1:]) if isinstance(value, list) else bad
                # Told by its last name alone where its own rules refuse it.
                message = f"{name.rpartition('.')[2]}: got .*, wanted"
                with pytest.raises(ValueError, match=message):
                    changed(config, name, given)
                    pytest.fail(f"{name} may be {given}")


def changed(config: Any, name: str, value: Any) -> Any:
    """A config with one field changed, by its dotted name."""
    head, _, rest = name.partition(".")
    return replace(config, **{head: changed(getattr(config, head), rest, value) if rest else value})


@pytest.mark.parametrize("trainer", [train, voc_person, gmu_kitchen, voc_segmentation])
def test_missing_data_is_told_before_faulty_weights(tmp_path: Path, trainer: Any) -> None:
    line = f"--data {tmp_path / 'nowhere'} --output {tmp_path / 'out'}"
    with pytest.raises(SystemExit, match=f"error: {tmp_path / 'nowhere'}") as stopped:
        trainer.main([*line.split(), "--target.weights", "absent.pth"])
    assert "\n" not in str(stopped.value)
