"""Sources by their layout: what each is taken for, its classes, and its masks."""

from pathlib import Path

import numpy as np
import pytest

from compositor.data.cleanup import CleanUp
from compositor.data.read import masked, source
from compositor.data.records import Cutout, Photograph, Records
from compositor.files import DataError
from tests.data import tiny_data
from tests.data.tiny_data import rectangle

ANY = CleanUp(min_iou=0, min_side=1, min_piece=0, max_cut=4)


def loaded(records: Records) -> tuple[dict[str, Cutout | Photograph], dict[str, str]]:
    """Items by name, and the reasons for which others were left out."""
    found = [record.loaded() for record in records.records]
    items = {item.name: item for each, _ in found for item in each}
    skips = {skip.name: skip.reason for _, each in found for skip in each}
    return items, skips


def rgba(path: Path, box: tuple[int, int, int, int]) -> None:
    alpha = rectangle(40, 50, box).astype(np.uint8) * 255
    tiny_data.save(path, np.dstack((tiny_data.picture(40, 50), alpha)))


def test_sub_folders_of_rgba_pictures_are_classes(tmp_path: Path) -> None:
    rgba(tmp_path / "cup" / "deep" / "a.png", (5, 5, 20, 30))
    rgba(tmp_path / "pear" / "b.webp", (5, 5, 20, 30))
    rgba(tmp_path / "stray.png", (5, 5, 20, 30))
    records = source.cutouts(tmp_path, ANY)
    assert records.classes == ("__background__", "cup", "pear")
    assert records.left_out == {"in no sub-folder of a class": ["stray.png"]}
    items, _ = loaded(records)
    assert {name: item.label for name, item in items.items()} == {
        "cup/deep/a.png": 1,
        "pear/b.webp": 2,
    }


def test_a_folder_of_rgba_pictures_alone_is_one_class(tmp_path: Path) -> None:
    rgba(tmp_path / "mug" / "a.png", (5, 5, 20, 30))
    records = source.cutouts(tmp_path / "mug", ANY)
    assert records.classes == ("__background__", "mug")
    assert len(loaded(records)[0]) == 1


@pytest.mark.parametrize("mask", ["a.png", "a_mask.png", "masks/a.png", "masks/a_mask.pbm"])
def test_masks_beside_pictures_are_found(tmp_path: Path, mask: str) -> None:
    box = (5, 6, 20, 30)
    tiny_data.save(tmp_path / "cup" / "a.jpg", tiny_data.picture(40, 50))
    tiny_data.save(tmp_path / "cup" / "other.jpg", tiny_data.picture(40, 50))
    tiny_data.save(tmp_path / "cup" / mask, rectangle(40, 50, box))
    found = masked.pairs(tmp_path)
    assert found == [(tmp_path / "cup" / "a.jpg", tmp_path / "cup" / mask)]
    # BigBIRD's masks, and none else, are inverted.
    inverted = mask.endswith("_mask.pbm")
    items, skips = loaded(source.cutouts(tmp_path, ANY))
    if inverted:
        assert skips["cup/a"] == "mask is not inverted"
        return
    (item,) = items.values()
    assert isinstance(item, Cutout)
    assert (item.mask == rectangle(40, 50, box)).all()
    assert source.cutouts(tmp_path, ANY).classes == ("__background__", "cup")


def test_sources_are_joined_by_the_names_of_their_classes(tmp_path: Path) -> None:
    for folder, kinds in (("a", ("cup", "pear")), ("b", ("ant", "cup"))):
        for kind in kinds:
            rgba(tmp_path / folder / kind / f"{folder}.png", (5, 5, 20, 30))
    joined = source.joined([source.cutouts(tmp_path / name, ANY) for name in ("a", "b")])
    assert joined.classes == ("__background__", "cup", "pear", "ant")
    labels = {name: item.label for name, item in loaded(joined)[0].items()}
    assert labels == {"cup/a.png": 1, "pear/a.png": 2, "ant/b.png": 3, "cup/b.png": 1}


def test_voc_has_all_its_classes_and_the_masks_there_are(tmp_path: Path) -> None:
    root = tmp_path / "VOCdevkit" / "VOC2007"
    person, dog = (20.0, 10.0, 60.0, 80.0), (70.0, 20.0, 100.0, 60.0)
    masks = {1: rectangle(90, 120, (21, 11, 59, 79)), 2: rectangle(90, 120, (71, 21, 99, 59))}
    tiny_data.voc_image(root, "1", [("person", person, 0), ("dog", dog, 0)], masks)
    tiny_data.voc_image(root, "2", [("cat", dog, 0)])
    tiny_data.voc_sets(root, Main_trainval=["1", "2"], Segmentation_trainval=["1"])
    for place in (tmp_path, tmp_path / "VOCdevkit", root):
        photographs = source.photographs(place)
        assert photographs.classes == ("__background__", "cat", "dog", "person")
        items, _ = loaded(photographs)
        first, second = items["VOC2007/1"], items["VOC2007/2"]
        assert isinstance(first, Photograph)
        assert isinstance(second, Photograph)
        assert first.annotation.labels.tolist() == [3, 2]
        for found, mask in zip(first.masks, masks.values(), strict=True):
            assert found is not None
            # VOC's masks have a border of their own.
            assert not (found & ~mask).any() and found.sum() > 0.7 * mask.sum()
        assert second.masks == ()
        cutouts = source.cutouts(place, ANY)
        assert {item.label for item in loaded(cutouts)[0].values()} == {
            cutouts.classes.index("dog"),
            cutouts.classes.index("person"),
        }


def test_coco_gives_backgrounds_with_masks(tmp_path: Path) -> None:
    ring = [[20, 20, 80, 20, 80, 70, 20, 70]]
    shaped = {"bbox": [20, 20, 60, 50], "segmentation": ring, "category_id": 3}
    boxed = {"bbox": [5, 5, 10, 10], "category_id": 6}
    tiny_data.coco(tmp_path, {"a.jpg": [shaped, boxed], "b.jpg": []})
    for place in (tmp_path, tmp_path / "annotations" / "instances_tiny.json"):
        records = source.photographs(place)
        assert records.ids == {"person": 3, "dog": 6}
        items, _ = loaded(records)
        first = items["a.jpg"]
        assert isinstance(first, Photograph)
        mask, none = first.masks
        assert mask is not None and none is None
        assert mask.sum() == pytest.approx(60 * 50, rel=0.05)
        assert len(items) == 2


def test_all_splits_of_a_coco_folder_are_read(tmp_path: Path) -> None:
    entry = {"bbox": [20, 20, 60, 50], "category_id": 3}
    tiny_data.coco(tmp_path, {"a.jpg": [entry]}, split="train", subfolder="train")
    tiny_data.coco(tmp_path, {"b.jpg": [entry]}, split="val", subfolder="val")
    assert set(loaded(source.photographs(tmp_path))[0]) == {"a.jpg", "b.jpg"}


@pytest.mark.parametrize("name", ["nowhere", "file.txt", "empty"])
def test_what_is_no_source_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    for read in (lambda path: source.cutouts(path, ANY), source.photographs):
        with pytest.raises(DataError, match=name) as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)
