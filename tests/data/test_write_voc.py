"""Pascal VOC's format, read back by torchvision, supervision, labelformat and our own reader."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import supervision
from labelformat.formats import PascalVOCObjectDetectionInput
from PIL import Image
from torchvision.datasets import VOCDetection, VOCSegmentation

from compositor.data.cleanup import CleanUp
from compositor.data.labels import Instance, LabelledPicture, decode
from compositor.data.read import voc as reader
from compositor.data.read.voc_xml import read_objects
from compositor.data.records import BACKGROUND, Cutout, Skip
from compositor.data.write import voc
from compositor.files import DataError
from tests.data import labelled

SPLITS = ("train", "val")


@pytest.fixture
def pictures(tmp_path: Path) -> list[LabelledPicture]:
    pictures = labelled.pictures(tmp_path / "shard")
    voc.Writer(labelled.CLASSES).write(tmp_path / "voc", iter(pictures))
    return pictures


def root(folder: Path) -> Path:
    return folder / "voc" / "VOCdevkit" / "VOC2012"


def of(pictures: list[LabelledPicture], image_set: str) -> list[LabelledPicture]:
    return [picture for picture in pictures if image_set in (picture.split, "trainval")]


@pytest.mark.parametrize("image_set", [*SPLITS, "trainval"])
def test_boxes_by_torchvision(
    tmp_path: Path, pictures: list[LabelledPicture], image_set: str
) -> None:
    found = VOCDetection(tmp_path / "voc", "2012", image_set)
    assert len(found) == len(of(pictures, image_set))
    for (image, target), picture in zip(found, of(pictures, image_set), strict=True):
        annotation = target["annotation"]
        assert image.size == picture.size[::-1]
        assert annotation["filename"] == picture.file.name
        objects = annotation.get("object", [])
        assert len(objects) == len(picture.instances)
        for entry, instance in zip(objects, picture.instances, strict=True):
            x1, y1, x2, y2 = (
                int(entry["bndbox"][side]) for side in ("xmin", "ymin", "xmax", "ymax")
            )
            assert (x1 - 1, y1 - 1, x2, y2) == instance.box
            assert entry["name"] == labelled.CLASSES[instance.label]
            assert entry["difficult"] == str(int(instance.ignore))
            partly = instance.cutout is not None  # the one that is a quarter hidden, half outside
            assert entry["truncated"] == entry["occluded"] == str(int(partly))


def test_masks_by_torchvision(tmp_path: Path, pictures: list[LabelledPicture]) -> None:
    found = VOCSegmentation(tmp_path / "voc", "2012", "trainval")
    masked = [picture for picture in pictures if picture.number != 7]
    assert [Path(name).stem for name in found.masks] == [each.file.stem for each in masked]
    for (_, classes), picture in zip(found, masked, strict=True):
        numbers = np.asarray(
            Image.open(root(tmp_path) / "SegmentationObject" / f"{picture.file.stem}.png")
        )
        assert classes.mode == "P"
        left = np.ones(picture.size, bool)
        for number, instance in enumerate(picture.instances, 1):
            mask = decode(instance.mask)
            assert ((numbers == number) == mask).all()
            assert (np.asarray(classes)[mask] == instance.label).all()
            left &= ~mask
        assert not numbers[left].any()
        assert not np.asarray(classes)[left].any()


def test_colours_are_vocs(tmp_path: Path, pictures: list[LabelledPicture]) -> None:
    image = Image.open(root(tmp_path) / "SegmentationClass" / "000004.png")
    colours = np.reshape(image.getpalette(), (256, 3)).tolist()
    # As VOC's development kit lists them: background, aeroplane, bicycle, ..., tv monitor, void.
    assert colours[:4] == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    assert colours[15] == [192, 128, 128]
    assert colours[20] == [0, 64, 128]
    assert colours[255] == [224, 224, 192]


def test_boxes_by_supervision(tmp_path: Path, pictures: list[LabelledPicture]) -> None:
    images = root(tmp_path) / "JPEGImages"
    found = supervision.DetectionDataset.from_pascal_voc(
        str(images), str(root(tmp_path) / "Annotations")
    )
    assert sorted(found.classes) == sorted(labelled.CLASSES[1:])
    for picture in pictures:
        own = found.annotations[str(images / picture.file.name)]
        assert own.xyxy.tolist() == [list(map(float, each.box)) for each in picture.instances]
        names = [found.classes[number] for number in own.class_id]
        assert names == [labelled.CLASSES[each.label] for each in picture.instances]


def test_boxes_by_labelformat(tmp_path: Path, pictures: list[LabelledPicture]) -> None:
    names = ",".join(labelled.CLASSES[1:])
    found = PascalVOCObjectDetectionInput(root(tmp_path) / "Annotations", names)
    by_name = {image.image.filename: image.objects for image in found.get_labels()}
    for picture in pictures:
        for entry, instance in zip(by_name[picture.file.name], picture.instances, strict=True):
            box = entry.box  # 1-based and inclusive, as in the file
            assert (box.xmin - 1, box.ymin - 1, box.xmax, box.ymax) == instance.box
            assert entry.category.name == labelled.CLASSES[instance.label]


def test_our_own_reader(tmp_path: Path, pictures: list[LabelledPicture]) -> None:
    folder, sets = tmp_path / "voc" / "VOCdevkit", [("2012", "train"), ("2012", "val")]
    photographs = reader.photographs(folder, sets, labelled.CLASSES[1:], keep_empty=True)
    for record, picture in zip(photographs.records, pictures, strict=True):
        (photograph,) = record.load()
        assert not isinstance(photograph, Skip)
        annotation = photograph.annotation
        assert annotation.boxes.tolist() == [list(each.box) for each in picture.instances]
        assert annotation.labels.tolist() == [each.label for each in picture.instances]
        assert annotation.ignore.tolist() == [each.ignore for each in picture.instances]
    everything = CleanUp(min_iou=0, min_side=0, min_piece=0, max_cut=4)
    cutouts = reader.cutouts(folder, [("2012", "train")], labelled.CLASSES[1:], everything)
    cut = list(cutouts.records[0].load())
    assert len(cut) == len(pictures[0].instances) == 6
    for cutout, instance in zip(cut, pictures[0].instances, strict=True):
        assert isinstance(cutout, Cutout)
        assert (cutout.mask == decode(instance.mask)).all()
        assert (cutout.box, cutout.label) == (instance.box, instance.label)


def test_fractions_grow_to_whole_pixels(tmp_path: Path) -> None:
    first = labelled.pictures(tmp_path / "shard")[0]
    only = dataclasses.replace(first, instances=(Instance(1, (0.25, 3.0, 4.5, 39.5), None, 155),))
    voc.Writer(labelled.CLASSES).write(tmp_path / "voc", [only])
    _, ((_, _, box, _),) = read_objects(root(tmp_path) / "Annotations" / "000004.xml", "it")
    assert box == (0, 3, 5, 40)


def test_what_its_masks_cannot_hold(tmp_path: Path) -> None:
    first, *_ = labelled.pictures(tmp_path / "shard")
    crowd = dataclasses.replace(first, instances=first.instances[:1] * 255)
    with pytest.raises(DataError, match="000004.jpg: has 255 objects; .* at most 254"):
        voc.Writer(labelled.CLASSES).write(tmp_path / "voc", [crowd])
    names = (BACKGROUND, *map(str, range(255)))
    with pytest.raises(ValueError, match="classes: got 255, wanted at most 254"):
        voc.Writer(names)
    drawing = dataclasses.replace(first, file=first.file.rename(tmp_path / "a b.jpg"))
    with pytest.raises(DataError, match=r"a b.jpg: VOC's pictures are named \*.jpg, without"):
        voc.Writer(labelled.CLASSES).write(tmp_path / "voc", [drawing])
    assert not (tmp_path / "voc").exists()
