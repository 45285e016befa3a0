"""YOLO's format, read back by labelformat and supervision, and by what Ultralytics does."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import supervision
import yaml
from labelformat.formats import YOLOv8InstanceSegmentationInput, YOLOv8ObjectDetectionInput
from labelformat.model.instance_segmentation import ImageInstanceSegmentation
from labelformat.model.object_detection import ImageObjectDetection
from pycocotools import mask as coco_mask

from compositor.data.labels import Instance, LabelledPicture, decode
from compositor.data.write import yolo
from compositor.files import DataError
from tests.data import labelled

SPLITS = ("train", "val")
ROUNDING = 1e-5
"""Pixels: a share in 8 digits is off by 5e-9 of a side at most, one in float32 by 6e-8."""


def write(folder: Path, segments: bool) -> list[LabelledPicture]:
    pictures = labelled.pictures(folder / "shard")
    yolo.Writer(labelled.CLASSES, segments).write(folder / "yolo", iter(pictures))
    return pictures


def expected(picture: LabelledPicture) -> list[Instance]:
    return [instance for instance in picture.instances if not instance.ignore]


def paired(
    pictures: list[LabelledPicture],
    read: list[ImageObjectDetection] | list[ImageInstanceSegmentation],
    split: str,
) -> Iterator[tuple[LabelledPicture, ImageObjectDetection | ImageInstanceSegmentation]]:
    by_name = {image.image.filename: image for image in read}
    own = [picture for picture in pictures if picture.split == split]
    assert sorted(by_name) == [picture.file.name for picture in own]
    for picture in own:
        yield picture, by_name[picture.file.name]


@pytest.mark.parametrize("split", SPLITS)
def test_boxes_by_labelformat(tmp_path: Path, split: str) -> None:
    pictures = write(tmp_path, False)
    reader = YOLOv8ObjectDetectionInput(tmp_path / "yolo" / "data.yaml", split)
    assert [entry.name for entry in reader.get_categories()] == list(labelled.CLASSES[1:])
    for picture, image in paired(pictures, list(reader.get_labels()), split):
        assert len(image.objects) == len(expected(picture))
        for entry, instance in zip(image.objects, expected(picture), strict=True):
            box = entry.box
            found = (box.xmin, box.ymin, box.xmax, box.ymax)
            assert np.allclose(found, instance.box, rtol=0, atol=ROUNDING)
            assert entry.category.name == labelled.CLASSES[instance.label]


@pytest.mark.parametrize("split", SPLITS)
def test_polygons_by_labelformat(tmp_path: Path, split: str) -> None:
    pictures = write(tmp_path, True)
    reader = YOLOv8InstanceSegmentationInput(tmp_path / "yolo" / "data.yaml", split)
    for picture, image in paired(pictures, list(reader.get_labels()), split):
        assert len(image.objects) == len(expected(picture))
        for entry, instance in zip(image.objects, expected(picture), strict=True):
            (polygon,) = entry.segmentation.polygons
            box = entry.segmentation.bounding_box()
            found = (box.xmin, box.ymin, box.xmax, box.ymax)
            assert np.allclose(found, instance.box, rtol=0, atol=ROUNDING)
            assert entry.category.name == labelled.CLASSES[instance.label]
            filled = coco_mask.frPyObjects([np.ravel(polygon).tolist()], *picture.size)
            assert (coco_mask.decode(filled)[..., 0] == region(instance, picture.size)).all()


def region(instance: Instance, size: tuple[int, int]) -> np.ndarray:
    """An instance's mask, or its box if it has none."""
    if instance.mask is not None:
        return decode(instance.mask)
    x1, y1, x2, y2 = map(int, instance.box)
    mask = np.zeros(size, bool)
    mask[y1:y2, x1:x2] = True
    return mask


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("segments", [False, True])
def test_supervision(tmp_path: Path, split: str, segments: bool) -> None:
    pictures = write(tmp_path, segments)
    folder = tmp_path / "yolo"
    found = supervision.DetectionDataset.from_yolo(
        str(folder / "images" / split),
        str(folder / "labels" / split),
        str(folder / "data.yaml"),
    )
    assert found.classes == list(labelled.CLASSES[1:])
    for picture in pictures:
        if picture.split != split:
            continue
        own = found.annotations[str(folder / "images" / split / picture.file.name)]
        wanted = expected(picture)
        assert len(own) == len(wanted)
        if wanted:
            boxes = [instance.box for instance in wanted]
            assert np.allclose(own.xyxy, boxes, rtol=0, atol=ROUNDING)
            assert own.class_id.tolist() == [instance.label - 1 for instance in wanted]
        if segments:
            for mask, instance in zip(own.mask if wanted else (), wanted, strict=True):
                # OpenCV paints outlines and bridges too: at most a pixel round the mask's box.
                inside = region(instance, picture.size)
                assert (mask >= inside).all()
                x1, y1, x2, y2 = map(int, instance.box)
                mask[y1 : y2 + 1, x1 : x2 + 1] = False
                assert not mask.any()


def test_data_file_and_empty_labels(tmp_path: Path) -> None:
    write(tmp_path, True)
    folder = tmp_path / "yolo"
    content = yaml.safe_load((folder / "data.yaml").read_text(encoding="utf-8"))
    assert content == {
        "train": "images/train",
        "val": "images/val",
        "names": dict(enumerate(labelled.CLASSES[1:])),
    }
    assert (folder / "labels" / "train" / "000005.txt").read_text() == ""
    assert len((folder / "labels" / "train" / "000004.txt").read_text().splitlines()) == 6


def test_without_pictures_for_validation_those_for_training_serve(tmp_path: Path) -> None:
    pictures = [each for each in labelled.pictures(tmp_path / "s") if each.split == "train"]
    yolo.Writer(labelled.CLASSES).write(tmp_path / "yolo", pictures)
    paths = yaml.safe_load((tmp_path / "yolo" / "data.yaml").read_text("utf-8"))
    assert paths["val"] == paths["train"] == "images/train"
    assert not (tmp_path / "yolo" / "images" / "val").exists()


def test_pictures_that_would_share_their_labels(tmp_path: Path) -> None:
    first, second, *_ = labelled.pictures(tmp_path / "shard")
    other = second.file.with_name(f"{first.file.stem}.png")
    second.file.rename(other)
    values = second.to_json() | {"file": other.name}
    clash = LabelledPicture.from_json(values, tmp_path / "shard")
    with pytest.raises(DataError, match="000004.png: shares its labels' name with another"):
        yolo.Writer(labelled.CLASSES).write(tmp_path / "yolo", [first, clash])
    assert not (tmp_path / "yolo").exists()
