"""VOC's readers on tiny development kits: boxes, masks matched with boxes, and the clean-up."""

from pathlib import Path

import numpy as np
import pytest

from compositor.data import prepared
from compositor.data.cleanup import CleanUp
from compositor.data.read import image_sets, voc
from compositor.data.records import Cutout, Photograph, Skip
from compositor.files import DataError
from tests.data import tiny_data
from tests.data.tiny_data import items, rectangle

SIZE = (90, 120)
PERSON = (10.0, 10.0, 50.0, 80.0)
SETS = [("2007", "trainval")]


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """VOC 2007 with three images of people, dogs and nothing; VOC 2012 with one."""
    old, new = tmp_path / "VOC2007", tmp_path / "VOC2012"
    dog = (60.0, 5.0, 120.0, 90.0)
    tiny_data.voc_image(old, "000005", [("person", PERSON, 0), ("dog", dog, 0)])
    tiny_data.voc_image(old, "000007", [("dog", dog, 1), ("person", dog, 1)])
    tiny_data.voc_image(old, "000009", [])
    tiny_data.voc_sets(old, Main_trainval=["000005", "000007", "000009"], Main_test=["000005"])
    tiny_data.voc_image(new, "2008_1", [("person", (0.0, 0.0, 119.5, 89.25), 0)])
    tiny_data.voc_sets(new, Main_trainval=["2008_1  1"])
    return tmp_path


def test_boxes_are_0_based_and_exclusive(kit: Path) -> None:
    xml = (kit / "VOC2007" / "Annotations" / "000005.xml").read_text()
    assert "<xmin>11.0</xmin><ymin>11.0</ymin><xmax>50.0</xmax><ymax>80.0</ymax>" in xml
    (first, second, empty) = items(voc.photographs(kit, SETS, ("person", "dog")))
    assert isinstance(first, Photograph)
    assert first.name == "VOC2007/000005"
    assert first.image.shape == (*SIZE, 3)
    assert first.annotation.boxes.tolist() == [[10, 10, 50, 80], [60, 5, 120, 90]]
    assert first.annotation.labels.tolist() == [1, 2]
    assert isinstance(second, Photograph)
    assert second.annotation.labels.tolist() == [2, 1]
    assert second.annotation.ignore.tolist() == [True, True]
    assert isinstance(empty, Skip)
    assert empty.reason == "empty annotation"


def test_classes_not_asked_for_are_background(kit: Path) -> None:
    records = voc.photographs(kit, SETS, ("dog",))
    assert records.classes == ("__background__", "dog")
    first, *_ = items(records)
    assert isinstance(first, Photograph)
    assert first.annotation.boxes.tolist() == [[60, 5, 120, 90]]
    reasons = [str(item) for item in items(voc.photographs(kit, SETS, ("cat",)))]
    assert reasons == [
        "VOC2007/000005: no object of the classes",
        "VOC2007/000007: no object of the classes",
        "VOC2007/000009: empty annotation",
    ]


def test_empty_images_are_kept_where_asked(kit: Path) -> None:
    kept = prepared.prepare_photographs(
        voc.photographs(kit, SETS, keep_empty=True), kit / "c", (9, 9)
    )
    assert kept.names == ["VOC2007/000005", "VOC2007/000007", "VOC2007/000009"]
    assert len(kept.targets[2]["boxes"]) == 0
    left = prepared.prepare_photographs(voc.photographs(kit, SETS), kit / "c", (9, 9))
    assert left.names == ["VOC2007/000005", "VOC2007/000007"]


def test_years_come_one_after_the_other(kit: Path) -> None:
    records = voc.photographs(kit, [("2007", "test"), ("2012", "trainval")])
    assert [record.name for record in records.records] == ["VOC2007/000005", "VOC2012/2008_1"]
    assert records.source == f"VOC 2007 test + 2012 trainval in {kit}, without empty images"
    *_, last = items(records)
    assert isinstance(last, Photograph)
    assert last.annotation.boxes.tolist() == [[0, 0, 119.5, 89.25]]


def test_broken_files_are_skipped_and_counted(kit: Path) -> None:
    root = kit / "VOC2007"
    tiny_data.voc_sets(root, Main_trainval=["000005", "1", "2", "3", "4", "5"])
    for identifier in "12345":
        tiny_data.voc_image(root, identifier, [("person", PERSON, 0)])
    jpg = root / "JPEGImages" / "1.jpg"
    jpg.write_bytes(jpg.read_bytes()[:-200])
    (root / "JPEGImages" / "2.jpg").unlink()
    (root / "Annotations" / "3.xml").write_text("<annotation><object>")
    (root / "Annotations" / "4.xml").unlink()
    tiny_data.voc_xml(root / "Annotations" / "5.xml", [("person", (130.0, 10, 140, 20), 0)], SIZE)
    photographs = prepared.prepare_photographs(voc.photographs(kit, SETS), kit / "c", (9, 9))
    assert photographs.names == ["VOC2007/000005"]
    assert photographs.left_out == {
        "broken .jpg file": ["VOC2007/1"],
        "missing .jpg file": ["VOC2007/2"],
        "broken .xml file": ["VOC2007/3"],
        "missing .xml file": ["VOC2007/4"],
        "box without area in the image": ["VOC2007/5/object 1"],
        "no object with a usable box": ["VOC2007/5"],
    }


@pytest.mark.parametrize("missing", ["JPEGImages", "Annotations", "ImageSets/Main/trainval.txt"])
def test_a_missing_folder_says_what_to_get_and_where(kit: Path, missing: str) -> None:
    (kit / "VOC2007" / missing).rename(kit / "elsewhere")
    with pytest.raises(DataError) as caught:
        voc.photographs(kit, SETS)
    assert str(kit / "VOC2007" / missing) in str(caught.value)
    assert "unpack VOCtrainval and VOCtest there, from host.robots.ox.ac.uk" in str(caught.value)


def test_a_list_without_images_and_a_kit_without_masks_are_errors(kit: Path) -> None:
    tiny_data.voc_sets(kit / "VOC2007", Main_trainval=[], Segmentation_trainval=["000005"])
    with pytest.raises(DataError, match="trainval.txt: lists no image"):
        voc.photographs(kit, SETS)
    with pytest.raises(DataError, match="SegmentationObject: is not a folder"):
        voc.cutouts(kit, SETS)


def cut(tmp_path: Path, objects: list, masks: dict[int, np.ndarray], **rule: float) -> list:
    """The cut-outs of one image."""
    root = tmp_path / "VOC2007"
    tiny_data.voc_image(root, "1", objects, masks, SIZE)
    tiny_data.voc_sets(root, Segmentation_trainval=["1"])
    return items(voc.cutouts(tmp_path, SETS, clean_up=CleanUp(**rule)))


def test_masks_get_the_box_they_agree_with_whatever_their_order(tmp_path: Path) -> None:
    left, right, dog = (5, 5, 40, 85), (45, 10, 75, 80), (80, 20, 118, 60)
    objects = [("person", left, 0), ("dog", dog, 0), ("person", right, 0)]
    # VOC numbers its masks as it numbers the objects in the XML, but other tools do not.
    masks = {4: rectangle(*SIZE, left), 1: rectangle(*SIZE, right), 2: rectangle(*SIZE, dog)}
    found = cut(tmp_path, objects, masks)
    assert [item.name for item in found] == ["VOC2007/1/1", "VOC2007/1/4"]
    assert [item.box for item in found] == [right, left]
    assert [item.label for item in found] == [1, 1]
    assert np.array_equal(found[0].mask, masks[1])
    assert np.array_equal(found[1].mask, masks[4])
    assert found[0].image.shape == (*SIZE, 3)


def test_the_best_pairs_are_made_first(tmp_path: Path) -> None:
    # Both masks overlap the first box most (IoU 0.8 and 0.92); the second mask is its own, and
    # leaves the other box, with an IoU of 0.75, to the first mask.
    objects = [("person", (0, 10, 100, 50), 0), ("dog", (0, 10, 60, 50), 0)]
    masks = {1: rectangle(*SIZE, (0, 10, 80, 50)), 2: rectangle(*SIZE, (8, 10, 100, 50))}
    masks[1] &= ~rectangle(*SIZE, (8, 12, 80, 48))  # masks share no pixel
    masks[2] &= ~masks[1]
    masks[2] |= rectangle(*SIZE, (8, 12, 100, 48))
    (only,) = cut(tmp_path, objects, masks)
    assert (only.name, only.box) == ("VOC2007/1/2", (0, 10, 100, 50))


def test_the_rules_of_the_clean_up(tmp_path: Path) -> None:
    def reason(box: tuple, mask: np.ndarray, **rule: float) -> str:
        (item,) = cut(tmp_path, [("person", box, 0)], {1: mask}, **rule)
        if isinstance(item, Skip):
            assert item.cutout is not None
            assert np.array_equal(item.cutout.mask, mask)
        return item.reason if isinstance(item, Skip) else "kept"

    box = (10, 10, 50, 80)
    assert reason(box, rectangle(*SIZE, box)) == "kept"
    # 40 x 49 of 40 x 70 are an IoU of 0.7 exactly; a row less is below.
    assert reason(box, rectangle(*SIZE, (10, 10, 50, 59))) == "kept"
    assert reason(box, rectangle(*SIZE, (10, 10, 50, 58))) == "mask and box disagree"
    assert reason(box, rectangle(*SIZE, (10, 10, 50, 58)), min_iou=0.6) == "kept"

    small = (10, 10, 20, 42)
    assert reason(small, rectangle(*SIZE, small)) == "kept"
    assert reason((10, 10, 20, 41), rectangle(*SIZE, (10, 10, 20, 41))) == "too small"

    corner = (0, 0, 40, 60)
    assert reason((0, 5, 40, 60), rectangle(*SIZE, (0, 5, 40, 60))) == "kept"
    assert reason(corner, rectangle(*SIZE, corner)) == "cut by the frame"
    assert reason(corner, rectangle(*SIZE, corner), max_cut=2) == "kept"
    assert reason((80, 40, 120, 90), rectangle(*SIZE, (80, 40, 120, 90))) == "cut by the frame"

    torn = rectangle(*SIZE, box) & ~rectangle(*SIZE, (10, 62, 50, 66))
    assert reason(box, torn) == "in pieces"  # 52 of 66 rows
    assert reason(box, torn, min_piece=0.78) == "kept"
    touching = rectangle(*SIZE, (10, 10, 30, 40)) | rectangle(*SIZE, (30, 40, 50, 70))
    assert reason((10, 10, 50, 70), touching) == "kept"  # at a corner


def test_masks_and_boxes_that_have_no_counterpart(tmp_path: Path) -> None:
    box, far = (10, 10, 50, 80), (70, 10, 110, 80)
    found, person = cut(tmp_path, [("person", box, 0)], {1: rectangle(*SIZE, far)})
    assert str(found) == "VOC2007/1/1: mask without a box"
    assert str(person) == "VOC2007/1/object 1: no mask"
    (found,) = cut(tmp_path, [("person", box, 0)], {})
    assert found.reason == "no instance in the mask"
    (found,) = cut(tmp_path, [("dog", box, 0)], {1: rectangle(*SIZE, box)})
    assert found.reason == "no object of the classes"
    (tmp_path / "VOC2007" / "SegmentationObject" / "1.png").unlink()
    (found,) = cut(tmp_path, [("person", box, 0)], None)
    assert found.reason == "missing .png file"
    tiny_data.save(
        tmp_path / "VOC2007" / "SegmentationObject" / "1.png", np.ones((30, 40), np.uint8)
    )
    (found,) = items(voc.cutouts(tmp_path, SETS))
    assert found.reason == "image and mask differ in size"


def test_cutouts_are_prepared_with_a_report(tmp_path: Path) -> None:
    root = tmp_path / "VOC2007"
    box = (10, 10, 50, 80)
    for identifier, mask in {"1": box, "2": (10, 10, 50, 40), "3": box}.items():
        masks = {1: rectangle(*SIZE, mask)}
        tiny_data.voc_image(root, identifier, [("person", box, 0)], masks, SIZE)
    tiny_data.voc_sets(root, Segmentation_trainval=["1", "2", "3"])
    cutouts = prepared.prepare_cutouts(voc.cutouts(tmp_path, SETS), tmp_path / "c", (100, 100))
    assert cutouts.names == ["VOC2007/1/1", "VOC2007/3/1"]
    assert cutouts.left_out == {"mask and box disagree": ["VOC2007/2/1"]}
    image, label = cutouts[1]
    assert label == 1
    rows = np.flatnonzero(image[3].numpy().any(1))
    assert (rows[0], rows[-1]) == (15, 84)  # 70 of 100 rows


def test_a_bad_box_costs_its_object_and_not_its_picture(tmp_path: Path) -> None:
    bad: list[tuple[float, float, float, float]] = [
        (130.0, 10, 140, 20), (50, 10, 20, 20), (10, float("nan"), 20, 20), (1e300, 0, 1e301, 9)
    ]  # fmt: skip
    root = tmp_path / "VOC2007"
    objects = [("person", box, 0) for box in [*bad, PERSON]]
    tiny_data.voc_image(root, "1", objects, {1: rectangle(*SIZE, (10, 10, 50, 80))})
    tiny_data.voc_sets(root, Main_trainval=["1", "1"], Segmentation_trainval=["1"])
    path = root / "Annotations" / "1.xml"
    text = path.read_text().replace(
        "</annotation>", "<object><name>person</name></object></annotation>"
    )
    path.write_text(text)
    reasons = ["box without area in the image"] * 2 + ["no usable box"] * 3
    numbers = (1, 2, 3, 4, 6)
    names = [f"VOC2007/1/object {n}: {r}" for n, r in zip(numbers, reasons, strict=True)]
    for records in (voc.photographs(tmp_path, SETS), voc.cutouts(tmp_path, SETS)):
        *left_out, kept = items(records)
        assert list(map(str, left_out)) == names
        if isinstance(kept, Photograph):
            assert kept.annotation.boxes.tolist() == [[10, 10, 50, 80]]
        else:
            assert isinstance(kept, Cutout)
            assert kept.box == PERSON


def test_an_image_set_that_is_no_text_is_an_error(kit: Path) -> None:
    (kit / "VOC2007" / "ImageSets" / "Main" / "trainval.txt").write_bytes(b"\xff\xfe000005\n")
    with pytest.raises(DataError, match="trainval.txt: cannot be read as text"):
        voc.photographs(kit, SETS)


def test_the_lists_of_a_class_are_no_sets(kit: Path) -> None:
    """As CVAT leaves them beside a set of any name; my_default is a set of one's own."""
    lists = kit / "VOC2007" / "ImageSets" / "Main"
    (lists / "default.txt").write_text("000005\n")
    (lists / "dog_default.txt").write_text("000005  1\n")
    (lists / "my_default.txt").write_text("000005\n")
    _, found = voc.listed(kit / "VOC2007")
    assert [name for _, name in found] == ["test", "trainval", "default", "my_default"]


def test_sets_that_overlap_give_each_picture_once(kit: Path) -> None:
    both = [("2007", "test"), ("2007", "trainval")]
    names = [record.name for record in voc.photographs(kit, both).records]
    assert names == ["VOC2007/000005", "VOC2007/000007", "VOC2007/000009"]


def test_names_with_spaces_are_quoted(kit: Path) -> None:
    """By CVAT; and the pictures may have other suffixes than VOC's."""
    old = kit / "VOC2007"
    (old / "JPEGImages" / "000005.jpg").rename(old / "JPEGImages" / "a photo 1.png")
    (old / "Annotations" / "000005.xml").rename(old / "Annotations" / "a photo 1.xml")
    (old / "ImageSets" / "Main" / "default.txt").write_text('"a photo 1"\n')
    (found,) = items(voc.photographs(kit, [("2007", "default")]))
    assert isinstance(found, Photograph)
    assert found.name == "VOC2007/a photo 1"


def test_a_name_may_end_in_a_number_unless_all_do(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    for text, names in (
        ("my dog 1\nmy dog 2\n\nscan 0\nscan 12\n", ["my dog 1", "my dog 2", "scan 0", "scan 12"]),
        ("000005  1\n000007 -1\n000009  0\n", ["000005", "000007", "000009"]),
        ('"a photo 1" 1\n"b" -1\nc 0\nd\n', ["a photo 1", "b", "c 0", "d"]),
    ):
        path.write_text(text)
        assert image_sets.identifiers(path) == names


def test_a_set_of_such_names_is_not_of_one_class(tmp_path: Path) -> None:
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("my dog 1\nmy dog 2\na\n")
    (lists / "small_train.txt").write_text("my dog 1\nmy dog 2\na\n")
    (lists / "dog_train.txt").write_text("my dog 1 1\nmy dog 2 -1\na  0\n")
    assert image_sets.names(tmp_path, "Main") == ["train", "small_train"]


def test_suffixes_may_be_in_capitals_as_cameras_have_them(kit: Path) -> None:
    pictures = kit / "VOC2007" / "JPEGImages"
    (pictures / "000005.jpg").rename(pictures / "000005.JPG")
    (found,) = items(voc.photographs(kit, [("2007", "test")]))
    assert isinstance(found, Photograph)


@pytest.mark.parametrize("place", ["VOC2007", ""])
def test_a_kit_that_is_the_working_folder(
    kit: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(kit / place)
    root, sets = voc.listed(Path("."))
    assert root == kit
    assert ("2007", "trainval") in sets
    assert len(voc.photographs(root, sets[:1])) == 1
