"""COCO files of any origin: ids are matched or refused by name, and nothing is lost silently."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compositor.data import prepared
from compositor.data.prepared import Photographs
from compositor.data.read import coco_file, layouts, listing
from compositor.files import DataError
from tests.data import tiny_data

PERSON, DOG = 3, 6
"""Category ids."""
Content = dict[str, list[dict[str, Any]]]


def entry(category: int = PERSON, **more: Any) -> dict[str, Any]:
    return {"category_id": category, "bbox": [10, 10, 40, 60], **more}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two people and a dog in a.jpg, a dog in b.jpg."""
    images = {"a.jpg": [entry(), entry(), entry(DOG)], "b.jpg": [entry(DOG)]}
    tiny_data.coco(tmp_path, images)
    return tmp_path


def change(folder: Path, edit: Callable[[Content], Any]) -> Path:
    """Edit the annotations in place."""
    path = folder / "annotations" / "instances_tiny.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    return path


def prepare(folder: Path, keep_empty: bool = True) -> Photographs:
    records = listing.photographs(layouts.find(folder), keep_empty=keep_empty)
    return prepared.prepare_photographs(records, folder / "p", (90, 120))


def objects(photographs: Photographs) -> dict[str, list[int]]:
    labels = [target["labels"].tolist() for target in photographs.targets]
    return dict(zip(photographs.names, labels, strict=True))


WHOLE = {"a.jpg": [1, 1, 2], "b.jpg": [2]}


def test_ids_and_numbers_may_be_strings_here_and_there(folder: Path) -> None:
    first = prepare(folder)
    assert objects(first) == WHOLE

    def edit(content: Content) -> None:
        for annotation in content["annotations"]:
            annotation["image_id"] = str(annotation["image_id"])
            annotation["category_id"] = float(annotation["category_id"])
            annotation["bbox"] = [f"{side}.0" for side in annotation["bbox"]]
            annotation["iscrowd"] = "0"
        content["annotations"][0]["iscrowd"] = "1"
        for image in content["images"]:
            image["width"] = str(image["width"])
        content["categories"][0]["id"] = str(PERSON)

    change(folder, edit)
    second = prepare(folder)
    assert objects(second) == WHOLE
    assert second.left_out == {}
    assert second.targets[0]["boxes"].tolist() == first.targets[0]["boxes"].tolist()
    assert second.targets[0]["ignore"].tolist() == [True, False, False]


def test_ids_may_be_names_or_longer_than_a_float(folder: Path) -> None:
    new: dict[int, Any] = {1: "7f3a-01", 2: 2**60 + 1}

    def edit(content: Content) -> None:
        for image in content["images"]:
            image["id"] = new[image["id"]]
        for annotation in content["annotations"]:
            annotation["image_id"] = new[annotation["image_id"]]
        content["images"].append({"id": 2**60, "file_name": "c.jpg", "height": 9, "width": 9})

    change(folder, edit)
    assert objects(prepare(folder)) == WHOLE


def test_categories_of_one_name_are_one_class(folder: Path) -> None:
    def edit(content: Content) -> None:
        content["categories"].append({"id": 12, "name": "person"})
        content["annotations"][0]["category_id"] = 12

    change(folder, edit)
    photographs = prepare(folder)
    assert photographs.classes == ("__background__", "person", "dog")
    assert objects(photographs) == WHOLE
    names = listing.backgrounds(layouts.find(folder)).records
    assert [record.name for record in names] == ["b.jpg"]


@pytest.mark.parametrize(
    ("kind", "field", "both"),
    [
        ("images", "file_name", "image id 1 is both 'a.jpg' and 'other'"),
        ("categories", "name", "category id 3 is both 'person' and 'other'"),
    ],
)
def test_an_id_of_two_is_refused(folder: Path, kind: str, field: str, both: str) -> None:
    path = change(folder, lambda c: c[kind].append(c[kind][0] | {field: "other"}))
    with pytest.raises(DataError) as caught:
        layouts.find(folder)
    assert str(caught.value).startswith(f"{path}: {both}; give each an id of its own")


def test_what_was_merged_twice_is_one_picture_with_all_its_objects(folder: Path) -> None:
    def edit(content: Content) -> None:
        # The same entry again; the same picture under another id; ids of annotations that clash.
        content["images"] += [content["images"][1], content["images"][0] | {"id": 9}]
        content["annotations"] += [entry(DOG) | {"id": 1, "image_id": 9}]
        content["annotations"] += [entry(segmentation=None) | {"image_id": 1}]

    change(folder, edit)
    assert objects(prepare(folder)) == {"a.jpg": [1, 1, 2, 2, 1], "b.jpg": [2]}
    (first, _) = layouts.find(folder).pictures
    ids = ["1", "2", "3", "annotations[4]", "annotations[5]"]
    assert [instance.name for instance in first.instances] == [f"a.jpg/{n}" for n in ids]


def test_what_cannot_be_matched_is_counted(folder: Path) -> None:
    tiny_data.save(folder / "images" / "unlisted.jpg", tiny_data.picture(9, 9))
    (folder / "images" / "notes.txt").write_text("no picture")

    def edit(content: Content) -> None:
        content["images"] += [{"id": 5}, {"file_name": "c.jpg"}, 7]
        content["categories"] += [{"id": 8}]
        content["annotations"] += [
            entry() | {"id": 20, "image_id": 77}, entry() | {"id": 21, "image_id": None},
            entry(8) | {"id": 22, "image_id": 1}, entry() | {"id": 23}, None,
        ]  # fmt: skip

    change(folder, edit)
    photographs = prepare(folder)
    assert objects(photographs) == WHOLE
    assert photographs.left_out == {
        "category without id or name": ["categories[2]"],
        "image without id or file_name": ["images[2]", "images[3]", "images[4]"],
        "annotation of an image that is not listed": [
            "20 of image 77", "21 of image None", "23 of image None"
        ],
        "object of a category that is not listed": ["a.jpg/22"],
        "annotation that is not an object": ["annotations[8]"],
        "picture that is not listed in instances_tiny.json": ["unlisted.jpg"],
    }  # fmt: skip


@pytest.mark.parametrize("sides", [{}, {"width": -1, "height": -1}, {"width": None, "height": 0}])
def test_without_a_size_it_is_the_pictures_own(folder: Path, sides: dict[str, Any]) -> None:
    polygon = [10, 10, 50, 10, 50, 70, 10, 70]

    def edit(content: Content) -> None:
        content["images"] = [
            {"id": i["id"], "file_name": i["file_name"]} | sides for i in content["images"]
        ]
        content["annotations"][0]["segmentation"] = [polygon]

    change(folder, edit)
    assert objects(prepare(folder)) == WHOLE
    objects_cut = listing.cutouts(layouts.find(folder), ["person"])
    (first, *_) = objects_cut.records[0].load()
    assert first.mask.shape == (90, 120)
    assert first.mask.sum() == 40 * 60


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ([10, 10, 0, 5], "box without area in the image"),
        ([10, 10, -5, 5], "box without area in the image"),
        ([500, 10, 20, 20], "box without area in the image"),
        ([1e308, 10, 1e308, 20], "no usable box"),
        ([float("nan"), 10, 20, 20], "no usable box"),
        ([None, 10, 20, 20], "no usable box"),
        ([10, 10, 20], "no usable box"),
        ("10 10 20 20", "no usable box"),
        ({"x": 1}, "no usable box"),
        (None, "no usable box"),
    ],
)
def test_a_bad_box_costs_its_object_and_not_its_picture(
    folder: Path, box: Any, reason: str
) -> None:
    change(folder, lambda c: c["annotations"][1].update(bbox=box, segmentation=[[1] * 6]))
    photographs = prepare(folder)
    assert objects(photographs) == WHOLE | {"a.jpg": [1, 2]}
    assert photographs.left_out == {reason: ["a.jpg/2"]}
    skips = list(listing.cutouts(layouts.find(folder), ["person"]).records[0].load())
    assert [str(skip) for skip in skips] == ["a.jpg/1: no mask", f"a.jpg/2: {reason}"]


def test_only_a_folder_in_which_no_picture_is_found_is_refused(folder: Path) -> None:
    (folder / "images" / "a.jpg").unlink()
    assert prepare(folder).left_out == {"missing .jpg file": ["a.jpg"]}
    long = "x" * 5000 + ".jpg"
    change(folder, lambda c: c["images"].append({"id": 9, "file_name": long}))
    assert prepare(folder).left_out == {"missing .jpg file": ["a.jpg", long]}
    (folder / "images" / "b.jpg").unlink()
    path = folder / "annotations" / "instances_tiny.json"
    with pytest.raises(DataError) as caught:
        coco_file.read(path, [folder / "images", folder / "tiny"])
    places = f"{folder / 'images'} or {folder / 'tiny'}"
    assert str(caught.value) == f"{path}: none of its 3 pictures, such as a.jpg, is in {places}"


def test_names_from_windows_and_a_byte_order_mark(folder: Path) -> None:
    path = change(folder, lambda c: c["images"][0].update(file_name="deep\\a.jpg"))
    (folder / "images" / "deep").mkdir()
    (folder / "images" / "a.jpg").rename(folder / "images" / "deep" / "a.jpg")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert objects(prepare(folder)) == {"deep/a.jpg": [1, 1, 2], "b.jpg": [2]}


def test_the_test_goes_by_the_names_learnt(folder: Path) -> None:
    change(folder, lambda c: c["categories"][1].update(name="cat"))
    learnt = ("car", "cat")
    records = listing.photographs(layouts.find(folder), learnt, keep_empty=True, absent=True)
    assert records.classes == ("__background__", *learnt)
    tested = prepared.prepare_photographs(records, folder / "p", (9, 9))
    assert objects(tested) == {"a.jpg": [2], "b.jpg": [2]}
    assert tested.left_out == {"class that is not learnt": ["person"]}
    with pytest.raises(DataError, match="has no class car, bus, only person, cat"):
        listing.photographs(layouts.find(folder), ("car", "bus"), absent=True)
