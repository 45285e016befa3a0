"""COCO's reader on tiny data sets: boxes, masks in each of the three forms, backgrounds."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from compositor.data import prepared
from compositor.data.read import layouts, listing
from compositor.data.records import Cutout, Photograph
from compositor.files import DataError
from tests.data import tiny_data
from tests.data.tiny_data import items, rectangle

SIZE = (90, 120)
PERSON, DOG = 3, 6
"""Category ids."""
BOX = (10, 10, 50, 80)


def entry(category: int, box: tuple[int, ...] = BOX, **more: Any) -> dict[str, Any]:
    x1, y1, x2, y2 = box
    return {"category_id": category, "bbox": [x1, y1, x2 - x1, y2 - y1], **more}


def polygon(box: tuple[int, ...] = BOX) -> list[list[int]]:
    x1, y1, x2, y2 = box
    return [[x1, y1, x2, y1, x2, y2, x1, y2]]


def run_lengths(mask: np.ndarray) -> list[int]:
    """COCO's uncompressed form: lengths of runs down the columns, of zeros first."""
    flat = np.concatenate([[0], mask.T.ravel(), [0]]).astype(int)
    (changes,) = np.nonzero(np.diff(flat))
    return np.diff(np.concatenate([[0], changes, [mask.size]])).tolist()


def compressed(mask: np.ndarray) -> dict[str, Any]:
    found = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": found["size"], "counts": found["counts"].decode()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    crowd = {"size": list(SIZE), "counts": run_lengths(rectangle(*SIZE, (60, 0, 120, 90)))}
    tiny_data.coco(
        tmp_path,
        {
            "a.jpg": [
                entry(DOG, (60, 5, 110, 85), segmentation=polygon((60, 5, 110, 85))),
                entry(PERSON, segmentation=polygon()),
            ],
            "b.jpg": [entry(PERSON, (60, 0, 120, 90), iscrowd=1, segmentation=crowd)],
            "c.jpg": [],
            "d.jpg": [entry(DOG, segmentation=polygon())],
        },
    )
    return tmp_path


def test_photographs_of_all_classes(folder: Path) -> None:
    records = listing.photographs(layouts.find(folder))
    assert records.classes == ("__background__", "person", "dog")
    first, crowd, empty, last = items(records)
    assert isinstance(first, Photograph)
    assert first.name == "a.jpg"
    assert first.image.shape == (*SIZE, 3)
    assert first.annotation.boxes.tolist() == [[60, 5, 110, 85], [10, 10, 50, 80]]
    assert first.annotation.labels.tolist() == [2, 1]
    assert first.annotation.ignore.tolist() == [False, False]
    assert crowd.annotation.ignore.tolist() == [True]
    assert str(empty) == "c.jpg: empty annotation"
    assert last.annotation.labels.tolist() == [2]


def test_photographs_of_some_classes(folder: Path) -> None:
    records = listing.photographs(layouts.find(folder), names=["dog"])
    assert records.classes == ("__background__", "dog")
    first, crowd, empty, last = items(records)
    assert first.annotation.boxes.tolist() == [[60, 5, 110, 85]]
    assert first.annotation.labels.tolist() == [1]
    assert str(crowd) == "b.jpg: no object of the classes"
    assert (
        items(listing.photographs(layouts.find(folder), names=["dog"], keep_empty=True))[1].name
        == "b.jpg"
    )


def test_backgrounds_show_nobody_not_even_a_crowd(folder: Path) -> None:
    backgrounds = prepared.prepare_photographs(
        listing.backgrounds(layouts.find(folder)), folder / "p", (9, 9)
    )
    assert backgrounds.names == ["c.jpg", "d.jpg"]
    assert backgrounds.classes == ("__background__",)
    assert [len(target["boxes"]) for target in backgrounds.targets] == [0, 0]
    with pytest.raises(DataError, match="has no image without person, dog"):
        path = folder / "annotations" / "instances_tiny.json"
        content = json.loads(path.read_text())
        content["images"] = [i for i in content["images"] if i["file_name"] != "c.jpg"]
        path.write_text(json.dumps(content))
        listing.backgrounds(layouts.find(folder), without=("person", "dog"))


def test_instances_are_cut_out_but_crowds_are_not(folder: Path) -> None:
    records = listing.cutouts(layouts.find(folder))
    dog, person, crowd, empty, other = items(records)
    assert str(crowd) == "b.jpg/3: crowd"
    assert str(empty) == "c.jpg: empty annotation"
    assert (dog.name, dog.label, dog.box) == ("a.jpg/1", 2, (60, 5, 110, 85))
    assert (person.name, person.label, person.box) == ("a.jpg/2", 1, BOX)
    assert np.array_equal(person.mask, rectangle(*SIZE, BOX))
    assert other.name == "d.jpg/4"
    dog, nobody, empty, other = items(listing.cutouts(layouts.find(folder), names=["dog"]))
    assert [dog.label, other.label] == [1, 1]
    assert str(nobody) == "b.jpg: no object of the classes"


def test_masks_come_as_polygons_and_as_run_lengths(tmp_path: Path) -> None:
    mask = rectangle(*SIZE, BOX) & ~rectangle(*SIZE, (30, 10, 50, 20))
    shape = [[10, 10, 30, 10, 30, 20, 50, 20, 50, 80, 10, 80]]
    forms = [shape, {"size": list(SIZE), "counts": run_lengths(mask)}, compressed(mask)]
    tiny_data.coco(tmp_path, {"a.jpg": [entry(PERSON, segmentation=form) for form in forms]})
    for item in items(listing.cutouts(layouts.find(tmp_path))):
        assert isinstance(item, Cutout)
        assert np.array_equal(item.mask, mask)


def test_objects_without_a_usable_mask_are_skipped_and_counted(tmp_path: Path) -> None:
    found = [
        entry(PERSON, segmentation=polygon()),
        entry(PERSON),
        entry(PERSON, segmentation=[]),
        entry(PERSON, segmentation={"size": list(SIZE)}),
        entry(PERSON, segmentation=polygon((60, 10, 110, 80))),
        entry(PERSON, segmentation=[[10, 10, 10, 10, 10, 10]]),
    ]
    tiny_data.coco(tmp_path, {"a.jpg": found})
    cutouts = prepared.prepare_cutouts(
        listing.cutouts(layouts.find(tmp_path)), tmp_path / "p", (50, 50)
    )
    assert cutouts.names == ["a.jpg/1"]
    assert cutouts.left_out == {
        "no mask": ["a.jpg/2", "a.jpg/3"],
        "broken mask": ["a.jpg/4"],
        "mask and box disagree": ["a.jpg/5"],
        "empty mask": ["a.jpg/6"],
    }


def test_without_any_mask_there_is_nothing_to_paste(tmp_path: Path) -> None:
    tiny_data.coco(tmp_path, {"a.jpg": [entry(PERSON), entry(DOG, segmentation=polygon())]})
    assert len(listing.cutouts(layouts.find(tmp_path))) == 1
    with pytest.raises(DataError, match=r"no object of person has a mask \(segmentation\)"):
        listing.cutouts(layouts.find(tmp_path), names=["person"])


@pytest.mark.parametrize("place", ["images/tiny", "images", "tiny"])
def test_images_are_found_where_people_keep_them(tmp_path: Path, place: str) -> None:
    tiny_data.coco(tmp_path, {"a.jpg": [entry(PERSON)]}, subfolder=place)
    (found,) = items(listing.photographs(layouts.find(tmp_path)))
    assert found.image.shape == (*SIZE, 3)


def test_of_several_splits_one_is_named(folder: Path) -> None:
    tiny_data.coco(folder, {"z.jpg": [entry(PERSON)]}, split="val2017", subfolder="val2017")
    assert [r.name for r in listing.photographs(layouts.find(folder, "val2017")).records] == [
        "z.jpg"
    ]
    with pytest.raises(DataError, match="has tiny, val2017; name one of these splits"):
        listing.photographs(layouts.find(folder))
    with pytest.raises(DataError, match="has no split 'train2017', only tiny, val2017"):
        listing.photographs(layouts.find(folder, "train2017"))


def test_broken_and_missing_images_are_skipped_and_counted(folder: Path) -> None:
    tiny_data.save(folder / "images" / "d.jpg", tiny_data.picture(30, 40))
    path = folder / "images" / "b.jpg"
    path.write_bytes(path.read_bytes()[:100])
    (folder / "images" / "c.jpg").unlink()
    photographs = prepared.prepare_photographs(
        listing.photographs(layouts.find(folder), keep_empty=True), folder / "p", (9, 9)
    )
    assert photographs.names == ["a.jpg"]
    assert photographs.left_out == {
        "broken .jpg file": ["b.jpg"],
        "missing .jpg file": ["c.jpg"],
        "image and annotation differ in size": ["d.jpg"],
    }


def test_what_is_no_coco_data_set_is_an_error(folder: Path, tmp_path_factory: Any) -> None:
    nothing = tmp_path_factory.mktemp("nothing")
    with pytest.raises(DataError, match=r"has none of annotations/instances_SPLIT.json, SPLIT/_"):
        listing.photographs(layouts.find(nothing))
    with pytest.raises(DataError, match="has no class cat, only person, dog"):
        listing.photographs(layouts.find(folder), names=["person", "cat"])
    path = folder / "annotations" / "instances_tiny.json"
    whole = json.loads(path.read_text())
    contents = [
        ("{", "is not a COCO annotation file"),
        ("[]", "is not a COCO annotation file"),
        ("[" * 100_000, "is not a COCO annotation file"),
        (json.dumps(whole | {"annotations": {}}), "which has lists images, annotations, categ"),
        (json.dumps(whole | {"annotations": []}), "its annotations are empty"),
        (json.dumps(whole | {"images": []}), "its images are empty"),
        (json.dumps(whole | {"images": [7, {}]}), "its images or categories have neither ids nor"),
        (json.dumps({k: v for k, v in whole.items() if k != "categories"}), "which has lists"),
    ]
    for content, message in contents:
        path.write_text(content)
        with pytest.raises(DataError, match=message):
            listing.photographs(layouts.find(folder))
    path.write_text(json.dumps(whole))
    (folder / "images").rename(folder / "elsewhere")
    with pytest.raises(
        DataError, match="none of its 4 pictures, such as a.jpg, is in .*/images/tiny or "
    ):
        listing.photographs(layouts.find(folder))
