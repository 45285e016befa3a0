"""COCO's format, read back by pycocotools, labelformat, supervision and our own reader."""

import json
from pathlib import Path

import numpy as np
import pytest
import supervision
from labelformat.formats import COCOInstanceSegmentationInput, COCOObjectDetectionInput
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from compositor.data import masks
from compositor.data.labels import LabelledPicture, decode
from compositor.data.read import layouts
from compositor.data.write import coco
from tests.data import labelled

IDS = {"red fox": 18, "Füchslein 狐": 7, "a <b> & 'c': \"d\"": 90, "not here": 1}
SPLITS = {"train": (4, 5), "val": (6, 7)}


@pytest.fixture(params=[False, True], ids=["run lengths", "polygons"])
def polygons(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def written(tmp_path: Path, polygons: bool) -> tuple[Path, list[LabelledPicture]]:
    pictures = labelled.pictures(tmp_path / "shard")
    coco.Writer(labelled.CLASSES, IDS, polygons).write(tmp_path / "coco", iter(pictures))
    return tmp_path / "coco", pictures


def of(pictures: list[LabelledPicture], split: str) -> list[LabelledPicture]:
    return [picture for picture in pictures if picture.split == split]


@pytest.mark.parametrize("split", SPLITS)
def test_pycocotools(written: tuple[Path, list[LabelledPicture]], split: str) -> None:
    folder, pictures = written
    file = COCO(folder / "annotations" / f"instances_{split}.json")
    assert file.getImgIds() == list(SPLITS[split])
    named = {entry["id"]: entry["name"] for entry in file.loadCats(file.getCatIds())}
    assert named == {18: "red fox", 7: "Füchslein 狐", 90: "a <b> & 'c': \"d\""}
    for picture in of(pictures, split):
        (image,) = file.loadImgs(picture.number)
        assert (image["height"], image["width"]) == picture.size
        assert (image["background"], image["seed"]) == ("meadow.jpg", 11)
        found = file.loadAnns(file.getAnnIds(picture.number))
        assert len(found) == len(picture.instances)
        for annotation, instance in zip(found, picture.instances, strict=True):
            x1, y1, x2, y2 = instance.box
            assert annotation["bbox"] == [x1, y1, x2 - x1, y2 - y1]
            assert annotation["area"] == instance.area
            assert annotation["iscrowd"] == instance.ignore
            assert named[annotation["category_id"]] == labelled.CLASSES[instance.label]
            for name in ("visibility", "truncation", "cutout"):
                assert annotation[name] == getattr(instance, name)
            assert annotation.get("confidence") == instance.confidence
            assert (annotation["background"], annotation["seed"]) == ("meadow.jpg", 11)
            if instance.mask is None:
                assert annotation["segmentation"] == []
            else:
                assert (file.annToMask(annotation) == decode(instance.mask)).all()


@pytest.mark.parametrize("split", SPLITS)
def test_evaluation_by_pycocotools(written: tuple[Path, list[LabelledPicture]], split: str) -> None:
    """Every object found is right, the first too; the ignored one, found most surely, no matter."""
    folder, _ = written
    file = COCO(folder / "annotations" / f"instances_{split}.json")
    fields = ("image_id", "category_id", "bbox", "id")
    found = [
        {field: entry[field] for field in fields} | {"score": 0.9 if entry["iscrowd"] else 0.5}
        for entry in file.dataset["annotations"]
    ]
    evaluation = COCOeval(file, file.loadRes(found), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == 1


@pytest.mark.parametrize("split", SPLITS)
def test_supervision(
    written: tuple[Path, list[LabelledPicture]], split: str, polygons: bool
) -> None:
    folder, pictures = written
    found = supervision.DetectionDataset.from_coco(
        str(folder / "images" / split), str(folder / "annotations" / f"instances_{split}.json")
    )
    assert sorted(found.classes) == sorted(labelled.CLASSES[1:])
    assert len(found) == len(of(pictures, split))
    for picture in of(pictures, split):
        own = found.annotations[str((folder / "images" / split / picture.file.name).resolve())]
        assert own.xyxy.tolist() == [list(map(float, each.box)) for each in picture.instances]
        names = [found.classes[number] for number in own.class_id]
        assert names == [labelled.CLASSES[instance.label] for instance in picture.instances]
        for position, instance in enumerate(picture.instances):
            mask = own.mask[position]
            if instance.mask is None:
                assert not mask.any()
            elif polygons and not instance.ignore:
                # It fills by OpenCV, which paints an outline's own pixels too: at most one more.
                assert (mask == with_edges(decode(instance.mask))).all()
            else:
                assert (mask == decode(instance.mask)).all()


def with_edges(mask: np.ndarray) -> np.ndarray:
    """A mask, and the pixels that have their upper left corner on its outline."""
    grown = np.pad(mask, ((1, 0), (1, 0)))
    return grown[1:, 1:] | grown[:-1, 1:] | grown[1:, :-1] | grown[:-1, :-1]


@pytest.mark.parametrize("split", SPLITS)
def test_labelformat(
    written: tuple[Path, list[LabelledPicture]], split: str, polygons: bool
) -> None:
    folder, pictures = written
    path = folder / "annotations" / f"instances_{split}.json"
    boxes = [
        [
            (entry.category.id, entry.box.xmin, entry.box.ymin, entry.box.xmax, entry.box.ymax)
            for entry in image.objects
        ]
        for image in COCOObjectDetectionInput(path).get_labels()
    ]
    assert boxes == [
        [(IDS[labelled.CLASSES[found.label]], *found.box) for found in picture.instances]
        for picture in of(pictures, split)
    ]
    if polygons:  # it reads run lengths of crowds alone
        for image, picture in zip(
            COCOInstanceSegmentationInput(path).get_labels(), of(pictures, split), strict=True
        ):
            for entry, instance in zip(image.objects, picture.instances, strict=True):
                if instance.ignore:
                    mask = entry.segmentation.get_binary_mask()
                    assert (mask == decode(instance.mask)).all()
                elif instance.mask is not None:
                    box = entry.segmentation.bounding_box()
                    assert (box.xmin, box.ymin, box.xmax, box.ymax) == instance.box


@pytest.mark.parametrize("split", SPLITS)
def test_our_own_reader(written: tuple[Path, list[LabelledPicture]], split: str) -> None:
    folder, pictures = written
    file = layouts.find(folder, split)
    assert not file.left_out
    assert set(file.categories) == set(labelled.CLASSES[1:])
    for listed, picture in zip(file.pictures, of(pictures, split), strict=True):
        assert listed.path.samefile(picture.file)
        for found, instance in zip(listed.instances, picture.instances, strict=True):
            assert (found.box, found.crowd) == (instance.box, instance.ignore)
            assert found.category == labelled.CLASSES[instance.label]
            if instance.mask is not None:
                mask, complete = masks.decode(found.segmentation, picture.size, found.name)
                assert complete
                assert (mask == decode(instance.mask)).all()


def test_a_split_without_pictures_has_no_files(tmp_path: Path) -> None:
    pictures = of(labelled.pictures(tmp_path / "shard"), "train")
    coco.Writer(labelled.CLASSES).write(tmp_path / "coco", pictures)
    files = sorted(
        str(path.relative_to(tmp_path / "coco")) for path in (tmp_path / "coco").rglob("*")
    )
    assert files == [
        "annotations",
        "annotations/instances_train.json",
        "images",
        "images/train",
        "images/train/000004.jpg",
        "images/train/000005.jpg",
    ]
    content = json.loads((tmp_path / "coco" / "annotations" / "instances_train.json").read_text())
    assert [category["id"] for category in content["categories"]] == [1, 2, 3]
    assert [annotation["id"] for annotation in content["annotations"]] == [1, 2, 3, 4, 5, 6]


def test_no_picture_at_all(tmp_path: Path) -> None:
    coco.Writer(labelled.CLASSES).write(tmp_path / "coco", [])
    assert [path.name for path in (tmp_path / "coco").rglob("*")] == ["annotations"]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ({"red fox": 1}, "ids: got none for 'Füchslein 狐', wanted one a class"),
        (dict.fromkeys(labelled.CLASSES, 3), "ids: got .*, wanted a number of its own for each"),
    ],
)
def test_ids_that_do_not_fit(ids: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        coco.Writer(labelled.CLASSES, ids)
