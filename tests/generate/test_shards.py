"""The same bytes for a seed, however they are made."""

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compositor import files
from compositor.data.labels import decode
from compositor.data.write import coco, voc, yolo
from compositor.files import DataError
from compositor.generate import Config, generate
from compositor.generate.shards import SCENES, Shards
from compositor.scenes.law import PLAIN
from tests.data import tiny_data
from tests.generate.tiny import LAW, config, content


def test_shards_hold_what_their_records_say(made: Path) -> None:
    shards = Shards(made, 120)
    assert [len(shards.numbers(n)) for n in range(len(shards))] == [SCENES, SCENES, 20]
    pictures = list(shards.pictures())
    assert [picture.number for picture in pictures] == list(range(120))
    for picture in pictures:
        assert Image.open(picture.file).size == picture.size[::-1] == (64, 48)
        for found in picture.instances:
            assert found.mask is not None
            rows, columns = np.nonzero(decode(found.mask))
            assert found.area == len(rows)
            assert found.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert found.visibility * (1 - found.truncation) >= LAW.placement.visible
    assert {found.label for picture in pictures for found in picture.instances} == {1, 2}
    report = json.loads((made / "report.json").read_text())
    assert report["pictures"] == 120
    assert report["objects"] == sum(len(picture.instances) for picture in pictures)
    assert report["classes"] == ["ball", "box"]


def test_workers_and_launches_change_no_byte(made: Path, tmp_path: Path) -> None:
    generate(config(tmp_path, "workers", workers=3))
    assert content(tmp_path / "workers") == content(made)
    for part in ("1/2", "0/2"):
        generate(config(tmp_path, "parts", shard=part))
        assert (tmp_path / "parts" / "report.json").exists() == (part == "0/2")
    assert content(tmp_path / "parts") == content(made)


def test_workers_share_the_work_of_the_formats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    formats = ("coco", "coco-polygons", "yolo", "yolo-seg", "voc")
    alone = generate(config(tmp_path, "alone", formats=formats))
    link = files.link

    def noted(file: Path, folder: Path) -> None:
        (tmp_path / f"process {os.getpid()}").touch()
        link(file, folder)

    for writer in (coco, yolo, voc):
        monkeypatch.setattr(writer, "link", noted)
    shared = generate(config(tmp_path, "shared", formats=formats, workers=2))
    processes = {path.name for path in tmp_path.glob("process *")}
    assert len(processes) == 2 and f"process {os.getpid()}" not in processes
    for name in formats:
        assert content(shared, name) == content(alone, name), name


def test_launches_of_other_numbers_meet_without_harm(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if another launch had made a shard while this one was at it.
    options = config(tmp_path, "out")
    publish = Shards._publish

    def too_late(self: Shards, shard: int, hidden: Path) -> None:
        shutil.copytree(made / "shards" / f"{shard:05}", self.path(shard))
        publish(self, shard, hidden)

    monkeypatch.setattr(Shards, "_publish", too_late)
    generate(options)
    assert content(tmp_path / "out") == content(made)


@pytest.mark.parametrize("damage", ["", "[]", '{"seed": ', None])
def test_settings_that_are_lost_are_told(made: Path, tmp_path: Path, damage: str | None) -> None:
    shutil.copytree(made, tmp_path / "made")
    path = tmp_path / "made" / "settings.json"
    path.unlink() if damage is None else path.write_text(damage)
    with pytest.raises(DataError, match=r"settings.json: is missing or damaged .*; write to"):
        generate(config(tmp_path, "made"))


def test_another_seed_makes_other_pictures(made: Path, tmp_path: Path) -> None:
    other = content(generate(config(tmp_path, "out", seed=4)))
    assert other.keys() == content(made).keys()
    same = [name for name, value in content(made).items() if other[name] == value]
    assert not same


def test_a_longer_set_begins_with_the_shorter(made: Path, tmp_path: Path) -> None:
    generate(config(tmp_path, "out", count=70))
    before = (tmp_path / "out" / "shards" / "00000" / "summary.json").stat().st_mtime_ns
    generate(config(tmp_path, "out"))
    assert content(tmp_path / "out") == content(made)
    assert (tmp_path / "out" / "shards" / "00000" / "summary.json").stat().st_mtime_ns == before


def test_a_folder_of_something_else_is_refused(made: Path, tmp_path: Path) -> None:
    options = config(tmp_path, "out", count=3)
    generate(options)
    before = content(tmp_path, "out")
    for change, name in (
        ({"seed": 5}, "seed 3, not 5"),
        ({"law": PLAIN}, r"law.placement.objects \(1, 3\), not \(1, 6\); write to"),
        ({"size": (64, 64)}, r"size \(48, 64\), not \(64, 64\)"),
    ):
        with pytest.raises(DataError, match=f"holds pictures with {name}"):
            generate(replace(options, **change))
    (tmp_path / "cutouts" / "box" / "0.png").unlink()
    with pytest.raises(
        DataError, match="holds pictures made before the content of the sources changed; "
    ):
        generate(options)
    assert content(tmp_path, "out") == before


def test_what_no_run_has_left_is_not_replaced(made: Path, tmp_path: Path) -> None:
    names = {path.name for path in made.iterdir() if not path.name.startswith(".")} | {"voc"}
    assert {"shards", "coco", "settings.json", "report.html"} < names
    for name in names:
        options = config(tmp_path / f"of {name}", "out", count=1)
        path = options.output / name
        path = path if "." in name else path / "mine.txt"
        path.parent.mkdir(parents=True)
        path.write_text('{"mine": 1}')
        with pytest.raises(
            DataError, match=f"out: holds {name}, which no run has written; write to another folder"
        ):
            generate(options)
        assert path.read_text() == '{"mine": 1}'
        assert [each.name for each in options.output.iterdir()] == [name]


def test_a_run_may_begin_in_a_folder_with_other_things(tmp_path: Path) -> None:
    options = config(tmp_path, "out", count=1)
    (options.output / "coco").mkdir(parents=True)  # empty
    (options.output / "objects").mkdir()
    (options.output / "objects" / "mine.txt").write_text("years of work")
    generate(options)
    assert (options.output / "objects" / "mine.txt").read_text() == "years of work"
    # As killed before its first picture, and called with other options.
    shutil.rmtree(options.output / "shards")
    generate(replace(options, seed=5))


def test_what_cannot_be_used_is_counted_wherever_it_is_met(tmp_path: Path) -> None:
    options = config(tmp_path, "out", workers=2)
    (tmp_path / "grounds" / "2.jpg").write_bytes(b"no picture")
    (tmp_path / "cutouts" / "box" / "0.png").write_bytes(b"neither")
    (tmp_path / "cutouts" / "box" / "notes.txt").write_text("hello")
    tiny = tmp_path / "cutouts" / "box" / "1.png"
    Image.open(tiny).convert("RGB").save(tiny)
    generate(options)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["left_out"] == {
        "no picture by its name": {"count": 1, "first": ["box/notes.txt"]},
        "broken .png file": {"count": 1, "first": ["box/0.png"]},
        "no alpha channel": {"count": 1, "first": ["box/1.png"]},
        "broken .jpg file": {"count": 1, "first": ["2.jpg"]},
    }
    used = {picture.background for picture in Shards(tmp_path / "out", 120).pictures()}
    assert used == {"0.jpg", "1.jpg", "3.jpg"}


def test_nothing_that_can_be_used_is_an_error(tmp_path: Path) -> None:
    options = config(tmp_path, "out")
    for path in (tmp_path / "grounds").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"none of 4 can be used \(broken .jpg file: 4\)"):
        generate(options)
    for path in (tmp_path / "cutouts").rglob("*.png"):
        Image.open(path).convert("RGB").save(path)
    with pytest.raises(DataError, match=r"none of its 6 pictures has an alpha channel or a mask"):
        generate(options)


def test_no_file_serves_both_splits_whatever_it_is_used_for(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    ring = [[20, 20, 80, 20, 80, 70, 20, 70]]
    other = [[5, 5, 60, 5, 60, 60, 5, 60]]
    entries = [
        {"bbox": [20, 20, 60, 50], "segmentation": ring, "category_id": 3},
        {"bbox": [5, 5, 55, 55], "segmentation": other, "category_id": 6},
    ]
    tiny_data.coco(folder, {f"{n}.jpg": entries for n in range(6)})
    out = tmp_path / "out"
    generate(Config((folder, folder), (folder,), out, count=60, size=(64, 64), val=0.34))
    files: dict[str, set[str]] = {"train": set(), "val": set()}
    for picture in Shards(out, 60).pictures():
        names = [picture.background, *(found.cutout or "" for found in picture.instances)]
        files[picture.split] |= set(re.findall(r"\d+\.jpg", " ".join(names)))
    assert not files["train"] & files["val"]
    assert len(files["val"]) == 2


def test_every_class_is_in_both_splits(tmp_path: Path) -> None:
    generate(config(tmp_path, "out", val=0.34))
    labels: dict[str, set[int]] = {"train": set(), "val": set()}
    for picture in Shards(tmp_path / "out", 120).pictures():
        labels[picture.split] |= {found.label for found in picture.instances}
    assert labels == {"train": {1, 2}, "val": {1, 2}}


def test_validation_shares_no_source(tmp_path: Path) -> None:
    generate(config(tmp_path, "out", val=0.34))
    used: dict[str, set[str]] = {"train": set(), "val": set()}
    numbers = {"train": 0, "val": 0}
    for picture in Shards(tmp_path / "out", 120).pictures():
        numbers[picture.split] += 1
        used[picture.split] |= {picture.background}
        used[picture.split] |= {str(found.cutout) for found in picture.instances}
    assert not used["train"] & used["val"]
    assert len(used["train"] | used["val"]) == 10
    assert numbers["val"] == pytest.approx(0.34 * 120, abs=1)
