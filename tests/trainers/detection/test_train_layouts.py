"""Data sets in COCO's format where other tools leave them, and where a user says they are."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compositor.data.read import layouts
from compositor.files import DataError
from detection.tiny_runs import arguments, person, prepared
from tests.data import tiny_data
from trainers import train
from trainers.config import ConfigError
from trainers.detection import own

HERE = Path(".")


def made(folder: Path, json: str, pictures: str, names: tuple[str, ...], prefix: str = "") -> None:
    """A data set with its file and its pictures where they are named, relative to the folder."""
    other = folder.parent / f"made-{folder.name}-{len(names)}"
    tiny_data.coco(other, {prefix + name: [person()] for name in names})
    (folder / json).parent.mkdir(parents=True, exist_ok=True)
    (other / "annotations" / "instances_tiny.json").rename(folder / json)
    for name in names:
        (folder / pictures).mkdir(parents=True, exist_ok=True)
        (other / "images" / (prefix + name)).rename(folder / pictures / name)


def found(folder: Path, split: str | None = None) -> list[Path]:
    pictures = layouts.find(folder, split).pictures
    assert all(picture.path.is_file() for picture in pictures)
    return [picture.path.relative_to(folder) for picture in pictures]


def test_roboflows_layout(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for split, names in (("train", ("a.jpg", "b.jpg")), ("valid", ("c.jpg",))):
        made(folder, f"{split}/_annotations.coco.json", split, names)
    assert found(folder, "train") == [Path("train/a.jpg"), Path("train/b.jpg")]
    assert found(folder, "valid") == [Path("valid/c.jpg")]
    with pytest.raises(DataError, match="data: has train, valid; name one of these splits"):
        found(folder)


@pytest.mark.parametrize("prefix", ["images/", "images\\", ""])
def test_label_studios_layout(tmp_path: Path, prefix: str) -> None:
    folder = tmp_path / "data"
    made(folder, "result.json", "images", ("a.jpg", "b.jpg"), prefix)
    assert found(folder) == [Path("images/a.jpg"), Path("images/b.jpg")]
    assert found(folder, "result") == found(folder)


def test_the_names_that_are_tried_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        found(tmp_path)
    assert str(caught.value).startswith(
        f"{tmp_path}: has none of annotations/instances_SPLIT.json, "
        "SPLIT/_annotations.coco.json, result.json, data.yaml, VOC's .xml files, and is no "
        "VOCdevkit; "
    )


def test_a_yolo_set_of_one_split_needs_no_option(tmp_path: Path) -> None:
    """As the generator leaves it; the pictures' names lead from the folder, as predict wants."""
    outline = "0 0.2 0.2 0.7 0.2 0.7 0.8 0.3 0.8\n"
    pictures = {f"images/train/{n}.jpg": outline for n in range(10)}
    content = "train: images/train\nval: images/train\nnames: [dog]\n"
    tiny_data.yolo(tmp_path / "data", pictures, content)
    line = arguments(tmp_path / "data", tmp_path / "out")
    data = prepared(train, line)
    assert data.test.names == ["images/train/4.jpg", "images/train/9.jpg"]
    assert (len(data.scenes.real), len(data.scenes.cutouts)) == (8, 8)
    assert "YOLO train instances of" in data.scenes.cutouts.source


def test_labelimgs_layout_needs_cutouts_and_no_option(tmp_path: Path) -> None:
    """Its files have boxes alone; what is difficult is ignored, as in VOC."""
    for split, count in (("train", 3), ("valid", 2)):
        for n in range(count):
            tiny_data.save(tmp_path / "data" / split / f"{n}.jpg", tiny_data.picture(90, 120))
            objects = [("cup", (10.0, 20, 50, 70), int(n == 1)), ("mug", (60.0, 20, 110, 80), 0)]
            tiny_data.voc_xml(tmp_path / "data" / split / f"{n}.xml", objects[: 2 - n], (90, 120))
    line = arguments(tmp_path / "data", tmp_path / "out")
    with pytest.raises(SystemExit, match="no object of cup, mug has a mask .* as --cutouts"):
        train.main(line)
    pixels = tiny_data.picture(90, 120)
    alpha = tiny_data.rectangle(90, 120, (20, 10, 80, 80)).astype(np.uint8) * 255
    for name in ("cup", "mug"):
        tiny_data.save(tmp_path / "objects" / name / "x.png", np.dstack([pixels, alpha]))
    data = prepared(train, [*line, "--cutouts", str(tmp_path / "objects")])
    assert data.scenes.classes == ("__background__", "cup", "mug")
    assert [target["labels"].tolist() for target in data.scenes.real.targets] == [[1, 2], [1], []]
    assert data.test.names == ["0.jpg", "1.jpg"]
    assert [target["ignore"].tolist() for target in data.test.targets] == [[False] * 2, [True]]
    assert data.test.ignored == "difficult"


@pytest.mark.parametrize("where", ["split", "neither", "files", "beside"])
def test_the_trainer_reads_what_a_user_names(tmp_path: Path, where: str) -> None:
    folder = tmp_path / "data"
    made(folder, "train/_annotations.coco.json", "train", ("a.jpg", "b.jpg"))
    made(folder, "test/_annotations.coco.json", "test", ("c.jpg",))
    learnt, test = (folder / split for split in ("train", "test"))
    files = [learnt / "_annotations.coco.json", test / "_annotations.coco.json"]
    line = {
        "split": ["--split", "train", "--test-split", "test"],
        "neither": [],
        "files": ["--annotations", files[0], "--images", learnt, "--test-annotations", files[1],
                  "--test-images", test],
        "beside": ["--annotations", files[0], "--test-annotations", files[1]],
    }[where]  # fmt: skip
    alpha = np.zeros((90, 120), np.uint8)
    alpha[10:80, 20:90] = 255
    pixels = np.dstack([tiny_data.picture(90, 120), alpha])
    tiny_data.save(tmp_path / "objects" / "person" / "x.png", pixels)
    line += ["--names", "person", "--cutouts", tmp_path / "objects"]
    data = prepared(train, arguments(folder, tmp_path / "out", *map(str, line)))
    assert data.scenes.real.names == ["a.jpg", "b.jpg"]
    assert data.test.names == ["c.jpg"]
    assert data.scenes.cutouts.names == ["person/x.png"]
    assert data.scenes.cutouts.classes == data.scenes.real.classes == data.test.classes


@pytest.mark.parametrize(
    ("found", "given", "wanted"),
    [
        ("instances", "", "instances /"),
        ("train2017 val2017", "", "train2017 / val2017"),
        ("test train valid", "", "train / valid"),
        ("test train", "", "train / test"),
        ("2007-test 2007-train 2007-trainval 2007-val", "", "2007-trainval / 2007-test"),
        ("Train Validation extra", "", "Train / Validation"),
        ("train val", "--split train", "train /"),
        ("train val", "--test-split train", "val / train"),
        ("extra test train val", "--test-split test", "train / test"),
        ("a b c", "--split c a", "c a /"),
        ("a b", "--split a --test-split b", "a / b"),
        ("a b", "", "has a, b; name those to learn from with --split, and those to test on with"),
        ("train1 train2 val", "", "has train1, train2, val; name those"),
        ("train val1 val2", "", "has train, val1, val2; name those"),
        ("a b c", "--test-split a", "has a, b, c; name those"),
        ("a b", "--split c", "has no split 'c', only a, b"),
        (" ".join(f"s{n}" for n in range(14)), "", ", s10, s11 and 2 more; name those"),
    ],
)
def test_which_splits_are_which(found: str, given: str, wanted: str) -> None:
    config = train.command.parse("train", "", train.SCALES, given.split())
    try:
        learn, test = own.splits(config, found.split())
    except DataError as error:
        assert str(error).startswith("data: has ") and wanted in str(error)
    else:
        assert f"{' '.join(learn)} / {' '.join(test)}".strip() == wanted


def test_splits_of_listings_are_not_put_together(tmp_path: Path) -> None:
    for split in ("a", "b"):
        made(tmp_path, f"{split}/_annotations.coco.json", split, (f"{split}.jpg",))
    with pytest.raises(SystemExit, match="split: got a b, wanted one, since only VOC's can be put"):
        train.main(arguments(tmp_path, tmp_path / "out", "--split", "a", "b"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ("dog", "dog")}, "names: got ['dog', 'dog'], wanted one or more, none twice"),
        ({"names": ()}, "names: got [], wanted one or more, none twice"),
        ({"images": HERE}, "images: got ., wanted it only together with annotations"),
        (
            {"test_images": HERE},
            "test_images: got ., wanted it only together with test_annotations",
        ),
        (
            {"annotations": HERE, "split": ("x",)},
            "split: got x, wanted this or annotations, not both",
        ),
        (
            {"test_annotations": HERE, "test_split": ("x",)},
            "test_split: got x, wanted this or test_annotations, not both",
        ),
    ],
)
def test_options_that_exclude_each_other(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(train.FULL, **options)
    assert str(caught.value) == message
