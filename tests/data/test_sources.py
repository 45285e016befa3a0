"""Sources by their layout: what each is taken for, its classes, and its masks."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compositor.data.cleanup import CleanUp
from compositor.data.read import joining, masked, source
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
        assert skips["cup/a"] == "mask is not inverted: wanted the object black"
        return
    (item,) = items.values()
    assert isinstance(item, Cutout)
    assert (item.mask == rectangle(40, 50, box)).all()
    assert source.cutouts(tmp_path, ANY).classes == ("__background__", "cup")


def test_sources_are_joined_by_the_names_of_their_classes(tmp_path: Path) -> None:
    for folder, kinds in (("a", ("cup", "pear")), ("b", ("ant", "cup"))):
        for kind in kinds:
            rgba(tmp_path / folder / kind / f"{folder}.png", (5, 5, 20, 30))
    joined = joining.joined([source.cutouts(tmp_path / name, ANY) for name in ("a", "b")])
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


def test_pictures_with_alpha_and_with_masks_are_read_from_one_folder(tmp_path: Path) -> None:
    box = (5, 6, 20, 30)
    rgba(tmp_path / "antR" / "a.png", box)
    rgba(tmp_path / "dogR" / "a.png", box)
    rgba(tmp_path / "logo.png", box)
    tiny_data.save(tmp_path / "cupM" / "b.jpg", tiny_data.picture(40, 50))
    tiny_data.save(tmp_path / "cupM" / "b.bmp", rectangle(40, 50, box))
    tiny_data.save(tmp_path / "cupM" / "c.jpg", tiny_data.picture(40, 50))
    tiny_data.save(tmp_path / "other" / "d.jpg", tiny_data.picture(40, 50))
    (tmp_path / "other" / "e.png").write_bytes(b"broken")
    (tmp_path / "notes.txt").write_text("x")
    records = source.cutouts(tmp_path, ANY)
    assert records.classes == ("__background__", "antR", "cupM", "dogR")
    assert records.left_out == {
        "no picture by its name": ["notes.txt"],
        "no mask and no alpha channel": ["cupM/c.jpg", "other/d.jpg"],
        "broken .png file": ["other/e.png"],
        "in no sub-folder of a class": ["logo.png"],
    }
    items, skips = loaded(records)
    labels = {name: item.label for name, item in items.items()}
    assert labels == {"antR/a.png": 1, "cupM/b.jpg": 2, "dogR/a.png": 3}
    assert not skips
    for item in items.values():
        assert isinstance(item, Cutout)
        assert (item.mask == rectangle(40, 50, box)).all()
    for kind in ("antR", "dogR"):
        (tmp_path / kind / "a.png").unlink()
    records = source.cutouts(tmp_path, ANY)
    assert records.classes == ("__background__", "cupM")  # the logo makes no class
    assert records.left_out["in no sub-folder of a class"] == ["logo.png"]


@pytest.mark.parametrize(
    ("picture", "mask", "kind"),
    [
        ("images/cup/a.jpg", "masks/cup/a.png", "cup"),
        ("images/a.jpg", "masks/a.png", None),
        ("cup/a.jpg", "cup/a_mask.jpg", "cup"),
        ("cup/a.jpg", "cup/masks/a.jpg", "cup"),
        ("cup/A.JPG", "cup/A_MASK.PNG", "cup"),
        ("cup/a.jpg", "cup/a_Mask.Png", "cup"),
    ],
)
def test_namings_of_masks(tmp_path: Path, picture: str, mask: str, kind: str | None) -> None:
    shape = rectangle(40, 50, (8, 8, 40, 32))
    tiny_data.save(tmp_path / picture, tiny_data.picture(40, 50))
    tiny_data.save(tmp_path / mask, shape.astype(np.uint8) * 255)
    records = source.cutouts(tmp_path, ANY)
    assert records.classes == ("__background__", kind or tmp_path.name)
    assert records.left_out == {}
    (item,) = loaded(records)[0].values()
    assert isinstance(item, Cutout)
    assert (item.mask == shape).all()  # 8 x 8 blocks of one colour survive JPEG


def test_soft_masks_are_cut_at_half_and_colours_are_none(tmp_path: Path) -> None:
    levels = rectangle(40, 50, (8, 8, 40, 32)).astype(np.uint8) * 255
    levels[8, 8:40], levels[31, 8:40] = 127, 128
    for name in ("soft", "colours"):
        tiny_data.save(tmp_path / "cup" / f"{name}.jpg", tiny_data.picture(40, 50))
    tiny_data.save(tmp_path / "cup" / "soft.png", levels)
    tiny_data.save(tmp_path / "cup" / "colours.png", tiny_data.picture(40, 50))
    items, skips = loaded(source.cutouts(tmp_path, ANY))
    (item,) = items.values()
    assert isinstance(item, Cutout)
    assert (item.mask == (levels >= 128)).all()
    assert skips == {"cup/colours.jpg": "mask of colours"}


def test_of_a_transparent_mask_the_alpha_counts(tmp_path: Path) -> None:
    """A cut-out beside the picture that it is of, and masks of one colour."""
    shape = rectangle(40, 50, (8, 8, 40, 32))
    alpha = shape.astype(np.uint8) * 255
    for name in "abc":
        tiny_data.save(tmp_path / "cup" / f"{name}.jpg", tiny_data.picture(40, 50))
    tiny_data.save(tmp_path / "cup" / "a.png", np.dstack((tiny_data.picture(40, 50), alpha)))
    white = np.dstack((np.full((40, 50), 255, np.uint8), alpha))
    Image.fromarray(white, "LA").save(tmp_path / "cup" / "b_mask.png")
    opaque = np.dstack((alpha, alpha, alpha, np.full_like(alpha, 255)))
    tiny_data.save(tmp_path / "cup" / "c_mask.png", opaque)  # its alpha says nothing
    items, skips = loaded(source.cutouts(tmp_path, ANY))
    assert (sorted(items), skips) == (["cup/a.jpg", "cup/b.jpg", "cup/c.jpg"], {})
    assert all((item.mask == shape).all() for item in items.values())


def test_without_any_mask_the_namings_are_told(tmp_path: Path) -> None:
    tiny_data.save(tmp_path / "cup" / "a.jpg", tiny_data.picture(40, 50))
    with pytest.raises(DataError, match=r"none of its 1 pictures has .* a_mask.png, .* masks/"):
        source.cutouts(tmp_path, ANY)


def test_objects_a_folder_below_are_told(tmp_path: Path) -> None:
    tiny_data.bigbird(tmp_path / "objects", ["a", "b"], own=False)
    tiny_data.save(tmp_path / "backgrounds" / "c.png", tiny_data.picture(40, 50))
    with pytest.raises(DataError, match=f"name {tmp_path / 'objects'}$"):
        source.cutouts(tmp_path, ANY)
    assert len(source.cutouts(tmp_path / "objects", ANY)) == 6


def test_data_sets_that_are_not_read_are_refused(tmp_path: Path) -> None:
    tiny_data.save(tmp_path / "yolo" / "images" / "train" / "a.jpg", tiny_data.picture(40, 50))
    (tmp_path / "yolo" / "labels" / "train").mkdir(parents=True)
    (tmp_path / "yolo" / "labels" / "train" / "a.txt").write_text("0 0.5 0.5 0.5 0.5")
    tiny_data.save(tmp_path / "out" / "preview.png", tiny_data.picture(40, 50))
    (tmp_path / "out" / "settings.json").write_text("{}")
    (tmp_path / "out" / "shards").mkdir()
    for read in (lambda path: source.cutouts(path, ANY), source.photographs):
        with pytest.raises(DataError, match="yolo: has images/ and labels/ of YOLO, but no data"):
            read(tmp_path / "yolo")
        with pytest.raises(DataError, match=f"name its {tmp_path / 'out' / 'coco'} instead"):
            read(tmp_path / "out")


def test_pictures_without_an_object_to_cut_out_are_no_fault(tmp_path: Path) -> None:
    ring = {"bbox": [20, 20, 60, 50], "segmentation": [[20, 20, 80, 20, 80, 70, 20, 70]]}
    tiny_data.coco(tmp_path / "coco", {"a.jpg": [ring | {"category_id": 3}], "b.jpg": []})
    root = tmp_path / "voc" / "VOC2007"
    box, mask = (20.0, 10.0, 60.0, 80.0), {1: rectangle(90, 120, (21, 11, 59, 79))}
    tiny_data.voc_image(root, "1", [("person", box, 0)], mask)
    tiny_data.voc_image(root, "2", [("dog", box, 0)], mask)
    tiny_data.voc_sets(root, Segmentation_trainval=["1", "2"])
    for name, count in (("coco", 1), ("voc", 2)):
        items, skips = loaded(source.cutouts(tmp_path / name, ANY))
        assert (len(items), skips) == (count, {})


def test_names_that_two_sources_have_follow_their_folders(tmp_path: Path) -> None:
    paths = [tmp_path / "x" / "set", tmp_path / "y" / "set", tmp_path / "z"]
    for path in paths:
        rgba(path / "cup" / "a.png", (5, 5, 20, 30))
        rgba(path / "cup" / f"{path.parent.name}.png", (5, 5, 20, 30))
    tiny_data.save(paths[2] / "cup" / "a.png", tiny_data.picture(40, 50))
    sources = [source.cutouts(path, ANY) for path in paths]
    items, skips = loaded(joining.joined(joining.distinct(sources, paths)))
    other = f"cup/{tmp_path.name}.png"
    assert set(items) == {"x/set/cup/a.png", "y/set/cup/a.png", "cup/x.png", "cup/y.png", other}
    assert skips == {f"{tmp_path.name}/z/cup/a.png": "no alpha channel"}
    items, _ = loaded(joining.joined(joining.distinct(sources[1:], paths[1:])))
    assert set(items) == {"set/cup/a.png", "cup/y.png", other}
    twice = joining.distinct([sources[0], sources[0]], [paths[0], paths[0]])
    assert [record.name for record in twice[1].records] == ["cup/a.png", "cup/x.png"]


def test_names_that_two_splits_have_follow_their_files(tmp_path: Path) -> None:
    ring = {"bbox": [20, 20, 60, 50], "segmentation": [[20, 20, 80, 20, 80, 70, 20, 70]]}
    for split in ("train", "val"):
        images = {"a.jpg": [ring | {"category_id": 3}], f"{split}.jpg": []}
        tiny_data.coco(tmp_path, images, split=split, subfolder=split)
    one, two = (f"instances_{split}.json/a.jpg" for split in ("train", "val"))
    photographs, _ = loaded(source.photographs(tmp_path))
    assert set(photographs) == {one, two, "train.jpg", "val.jpg"}
    assert set(loaded(source.cutouts(tmp_path, ANY))[0]) == {f"{one}/1", f"{two}/1"}


def test_classes_that_no_format_can_name_are_refused_with_their_source(tmp_path: Path) -> None:
    rgba(tmp_path / "new\nline" / "a.png", (5, 5, 20, 30))
    with pytest.raises(DataError, match=r"classes: got 'new\\nline', wanted a name") as caught:
        source.cutouts(tmp_path, ANY)
    assert str(caught.value).startswith(f"{tmp_path}: ") and "\n" not in str(caught.value)


def test_paths_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = {"bbox": [20, 20, 60, 50], "segmentation": [[20, 20, 80, 20, 80, 70, 20, 70]]}
    tiny_data.coco(tmp_path, {"a.jpg": [ring | {"category_id": 3}]})
    monkeypatch.chdir(tmp_path / "annotations")
    for read in (lambda path: source.cutouts(path, ANY), source.photographs):
        assert len(loaded(read(Path("instances_tiny.json")))[0]) == 1
        with pytest.raises(DataError, match="^nowhere: is not there"):
            read(Path("nowhere"))
    cups = tmp_path / "images" / "cup"
    tiny_data.save(cups / "a.jpg", tiny_data.picture(40, 50))
    tiny_data.save(tmp_path / "images" / "masks" / "a.png", rectangle(40, 50, (5, 5, 20, 30)))
    monkeypatch.chdir(cups)
    records = source.cutouts(Path(), ANY)
    assert records.classes == ("__background__", "cup") and len(loaded(records)[0]) == 1
    assert masked.pairs(Path()) == []
    root = tmp_path / "VOC2007"
    box = (20.0, 10.0, 60.0, 80.0)
    tiny_data.voc_image(root, "1", [("dog", box, 0)], {1: rectangle(90, 120, (21, 11, 59, 79))})
    tiny_data.voc_sets(root, Main_train=["1"], Segmentation_train=["1"])
    monkeypatch.chdir(root)
    for read in (lambda path: source.cutouts(path, ANY), source.photographs):
        assert read(Path()).classes == ("__background__", "dog")


def test_an_object_of_voc_without_a_name_costs_no_other(tmp_path: Path) -> None:
    box, mask = (20.0, 10.0, 60.0, 80.0), {1: rectangle(90, 120, (21, 11, 59, 79))}
    tiny_data.voc_image(tmp_path / "VOC2007", "1", [("dog", box, 0), (" ", box, 0)], mask)
    tiny_data.voc_sets(tmp_path / "VOC2007", Main_train=["1"], Segmentation_train=["1"])
    for records in (source.cutouts(tmp_path, ANY), source.photographs(tmp_path)):
        assert records.classes == ("__background__", "dog") and len(loaded(records)[0]) == 1
    tiny_data.voc_image(tmp_path / "VOC2007", "1", [("", box, 0)], mask)
    with pytest.raises(DataError, match="annotates no object of a class"):
        source.photographs(tmp_path)
