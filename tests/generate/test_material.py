"""What scenes are made of: names, reasons, and backgrounds that are of no use."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from compositor.files import DataError
from compositor.generate import generate, material, scenes
from compositor.generate.shards import Shards
from compositor.scenes import backgrounds, canvas, drawn
from compositor.scenes.compose import Scene, compose
from compositor.scenes.law import MATCHED, Look
from tests.data import tiny_data
from tests.generate.tiny import LAW, config


def test_a_file_that_is_both_sources_is_reported_once(tmp_path: Path) -> None:
    ring = [[20, 20, 80, 20, 80, 70, 20, 70]]
    entry = {"bbox": [20, 20, 60, 50], "segmentation": ring, "category_id": 3}
    tiny_data.coco(tmp_path / "coco", {"a.jpg": [entry], "b.jpg": []})
    tiny_data.save(tmp_path / "coco" / "images" / "other.jpg", tiny_data.picture(40, 50))
    both = (tmp_path / "coco",)
    sources = material.read(replace(config(tmp_path, "out"), cutouts=both, backgrounds=both))
    assert sources.left_out == {
        "picture that is not listed in instances_tiny.json": ["other.jpg"],
    }


def test_yolo_that_was_generated_serves_as_every_source(tmp_path: Path) -> None:
    options = config(tmp_path, "one", count=12, formats=("yolo-seg",))
    made = (generate(options) / "yolo-seg",)
    pictures = list(Shards(tmp_path / "one", 12).pictures())
    options = replace(options, cutouts=made, backgrounds=made, output=tmp_path / "two")
    sources = material.read(options)
    assert sources.classes == ("__background__", "ball", "box")
    train, real = sources.splits["train"], sources.real
    assert real is not None
    assert real.pictures == sum(bool(picture.instances) for picture in pictures)
    assert real.objects == sum(len(picture.instances) for picture in pictures)
    assert {cutout.label for cutout in train.bank} >= {1}
    assert len(train.backgrounds) == 12
    generate(replace(options, formats=("coco",), match=made))
    shown = [i for each in Shards(tmp_path / "two", 12).pictures() for i in each.instances]
    assert {i.cutout is None for i in shown} == {True, False}


def test_cut_outs_and_backgrounds_of_one_name_say_their_source(tmp_path: Path) -> None:
    options = config(tmp_path / "one", "out")
    other = config(tmp_path / "two", "out")
    pairs = options.cutouts + other.cutouts, options.backgrounds + other.backgrounds
    sources = material.read(replace(options, cutouts=pairs[0], backgrounds=pairs[1]))
    names = [cutout.name for cutout in sources.splits["train"].bank]
    assert len(set(names)) == len(names) == 12
    assert "two/cutouts/box/1.png" in names
    grounds = sources.splits["train"].backgrounds
    assert grounds.load(7).name == "two/grounds/3.jpg"


def test_backgrounds_that_would_be_enlarged_too_much_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = config(tmp_path, "out", size=(48, 64))
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / "grounds" / "1.jpg")
    Image.fromarray(np.zeros((5, 8000, 3), np.uint8)).save(tmp_path / "grounds" / "2.jpg")
    stretched = []

    def stretch(photograph, size):
        stretched.append(size)
        return original(photograph, size)

    original = canvas.stretch
    monkeypatch.setattr(canvas, "stretch", stretch)
    grounds = material.read(options).splits["train"].backgrounds
    assert [grounds.load(n).name for n in range(4)] == ["0.jpg", "1.jpg", "3.jpg", "3.jpg"]
    assert grounds.left_out == {"enlarged more than 8 times": ["2.jpg"]}
    assert max(max(size) for size in stretched) < 8 * 64
    for n in (0, 1, 3):
        Image.fromarray(np.zeros((5, 8, 3), np.uint8)).save(tmp_path / "grounds" / f"{n}.jpg")
    grounds = material.read(options).splits["train"].backgrounds
    with pytest.raises(DataError, match=r"can be used \(enlarged more than 8 times: 4\)"):
        grounds.load(0)


def test_backgrounds_longer_than_a_jpeg_do_not_keep_their_size(tmp_path: Path) -> None:
    options = config(tmp_path, "out", size="native")
    for n, long in enumerate((65_500, 65_501)):
        (tmp_path / "grounds" / f"{n}.jpg").unlink()
        Image.fromarray(np.zeros((20, long, 3), np.uint8)).save(tmp_path / "grounds" / f"{n}.png")
    grounds = material.read(options).splits["train"].backgrounds
    assert [grounds.load(n).name for n in range(4)] == ["0.png", "2.jpg", "2.jpg", "3.jpg"]
    assert grounds.left_out == {"side longer than a JPEG's 65,500 pixels": ["1.png"]}
    Image.fromarray(grounds.load(0).image).save(tmp_path / "long.jpg")
    grounds = material.read(replace(options, size=(48, 64))).splits["train"].backgrounds
    assert grounds.load(1).name == "1.png"


def test_a_cut_out_is_searched_for_its_nearest_colours_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # After decoding, it is what a first run's first picture waits for most.
    searches = []
    search = scipy.ndimage.distance_transform_edt

    def noted(*given: object, **options: object) -> object:
        searches.append(given)
        return search(*given, **options)

    monkeypatch.setattr(scipy.ndimage, "distance_transform_edt", noted)
    bank = material.read(config(tmp_path, "out")).splits["train"].bank
    assert len(searches) == len(bank) == 6


def test_an_object_of_a_background_that_cannot_be_used_is_reported(tmp_path: Path) -> None:
    ring = [[20, 20, 80, 20, 80, 70, 20, 70]]
    good = {"bbox": [20, 20, 60, 50], "segmentation": ring, "category_id": 3}
    bad = {"bbox": [20, 20, 0, 0], "segmentation": [], "category_id": 3}
    tiny_data.coco(tmp_path / "coco", {"a.jpg": [good, bad]}, ("ball", "cube"))
    both = (tmp_path / "coco",)
    options = replace(config(tmp_path, "out"), backgrounds=both)
    grounds = material.read(options).splits["train"].backgrounds
    for _ in range(2):  # decoded, and held from then on
        grounds.left_out = {}
        assert len(grounds.load(0).annotation) == 1
        assert grounds.left_out == {"box without area in the image": ["a.jpg/2"]}
    matched = replace(options, match=both, law=replace(options.law, placement=MATCHED.placement))
    assert material.read(matched).left_out == {"box without area in the image": ["a.jpg/2"]}


def test_what_loading_leaves_out_is_noted_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noting goes over the names there: picture by picture, a large data set would take minutes."""
    options = config(tmp_path, "out")
    for kind, lost in (("ball", "0.png"), ("ball", "1.png"), ("box", "2.png")):
        (tmp_path / "cutouts" / kind / lost).write_bytes(b"")
    bad = {"bbox": [20, 20, 0, 0], "category_id": 3}
    tiny_data.coco(tmp_path / "coco", {"a.jpg": [bad], "b.jpg": [bad, bad]}, ("ball",))
    noted = Mock(side_effect=material.note)
    monkeypatch.setattr(material, "note", noted)
    sources = material.read(replace(options, match=(tmp_path / "coco",)))
    assert sources.left_out == {"broken .png file": ["ball/0.png", "ball/1.png", "box/2.png"]}
    assert (sources.real is not None, noted.call_count) == (True, 2)
    assert sources.left_out["box without area in the image"] == ["a.jpg/1", "b.jpg/2", "b.jpg/3"]


def test_of_pictures_that_are_only_measured_no_mask_is_decoded(tmp_path: Path) -> None:
    box = (20.0, 20.0, 80.0, 70.0)
    entry = {"bbox": [20, 20, 60, 50], "segmentation": [[20, 20, 80, 20, 80, 70]], "category_id": 3}
    tiny_data.coco(tmp_path / "coco", {"a.jpg": [entry]}, ("ball",))
    root, mask = tmp_path / "VOCdevkit" / "VOC2007", tiny_data.rectangle(90, 120, (21, 21, 79, 69))
    tiny_data.voc_image(root, "1", [("ball", box, 0)], {1: mask})
    tiny_data.voc_sets(root, Main_trainval=["1"])
    options = replace(config(tmp_path, "out"), match=(tmp_path / "coco", tmp_path / "VOCdevkit"))
    found = [item for record in material.read(options).annotated for item in record.loaded()[0]]
    assert [item.annotation.boxes.tolist() for item in found] == [[list(box)]] * 2
    assert [item.masks for item in found] == [(), ()]


def test_what_validation_needs_is_told(tmp_path: Path) -> None:
    options = config(tmp_path, "out", val=0.3)
    wanted = (
        "val: got 0.3, which gives val 0 cut-outs, of 6 files, and 1 of 4 backgrounds, wanted at "
        "least 1 of each; 4 files of a class and 4 backgrounds are enough"
    )
    with pytest.raises(DataError, match=wanted):
        material.read(options)
    ball = tmp_path / "cutouts" / "ball"
    (ball / "3.png").write_bytes((ball / "0.png").read_bytes())
    assert len(material.read(options).splits["val"].bank) == 1


def test_a_law_cannot_match_pictures_that_annotate_other_classes(tmp_path: Path) -> None:
    ring = {"bbox": [20, 20, 60, 50], "segmentation": [[20, 20, 80, 20, 80, 70, 20, 70]]}
    others = [f"kind {n}" for n in range(7)]
    tiny_data.coco(tmp_path / "coco", {"a.jpg": [ring | {"category_id": 3}]}, ["dog"])
    for name in others:
        (tmp_path / "cutouts" / name).mkdir(parents=True)
    options = config(tmp_path, "out", law=MATCHED)
    for name in others:
        path = tmp_path / "cutouts" / name / "0.png"
        path.write_bytes((tmp_path / "cutouts" / "ball" / "0.png").read_bytes())
    with pytest.raises(
        DataError,
        match=(
            "law.placement.matched: no object of ball, box, kind 0, kind 1, kind 2 and 4 more is "
            f"annotated in the 1 pictures of {tmp_path}/coco; name some with --match"
        ),
    ):
        material.read(replace(options, match=(tmp_path / "coco",)))


def test_masks_count_in_what_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two photographs of 90 x 120, of three bytes a pixel and one for each of three masks."""
    ring = {"bbox": [20, 20, 60, 50], "segmentation": [[20, 20, 80, 20, 80, 70, 20, 70]]}
    entries = [ring | {"category_id": 3}] * 3
    tiny_data.coco(tmp_path / "coco", {"a.jpg": entries, "b.jpg": entries}, ("ball", "cube"))
    options = replace(config(tmp_path, "out", size="native"), backgrounds=(tmp_path / "coco",))
    for most, held in ((2 * 6 * 90 * 120, True), (2 * 6 * 90 * 120 - 1, False)):
        monkeypatch.setattr(backgrounds, "HELD", most)
        grounds = material.read(options).splits["train"].backgrounds
        first = grounds.load(0)
        grounds.load(1)
        assert (grounds.load(0) is first) == held


def test_no_artefact_is_of_the_background_that_it_is_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes in the place of a background that cannot be used may be the picture's own."""
    options = config(tmp_path, "out", law=replace(LAW, look=Look(artefacts=1.0)))
    cut_out_of = []

    def noted(*given: Any) -> Scene:
        cut_out_of.append(given[4])
        return compose(*given)

    monkeypatch.setattr(drawn, "compose", noted)
    list(scenes.Maker(options, material.read(options)).make(range(5)))
    assert len(cut_out_of) == 5 and None not in cut_out_of
    for number in (1, 2, 3):
        (tmp_path / "grounds" / f"{number}.jpg").write_bytes(b"no picture")
    list(scenes.Maker(options, material.read(options)).make(range(5)))
    assert cut_out_of[5:] == [None] * 5
