"""YOLO's format where Ultralytics and others leave it, and beside other readers of it."""

from pathlib import Path

import numpy as np
import pytest
import supervision
from labelformat.formats import YOLOv8ObjectDetectionInput
from PIL import Image, ImageOps

from compositor.data.cleanup import CleanUp
from compositor.data.labels import decode
from compositor.data.read import layouts, listing, source, yolo
from compositor.data.write import yolo as writer
from compositor.files import DataError
from tests.data import labelled, tiny_data
from tests.data.tiny_data import items

ANY = CleanUp(min_iou=0, min_side=1, min_piece=0, max_cut=4)
BOX = "1 0.5 0.25 0.25 0.5\n"
"""A dog in (45, 0, 75, 45) of a picture of 90 x 120."""
OUTLINE = "0 0.25 0.2 0.75 0.2 0.75 0.8 0.5 0.8 0.5 0.5 0.25 0.5\n"
"""A person: of (30, 18, 90, 72) all but the lower left quarter."""
NAMES = "names: [person, dog]\n"
ROUNDING = 1e-5
"""Pixels: a share in 8 digits is off by 5e-9 of a side at most, one in float32 by 6e-8."""


def test_boxes_and_outlines_by_hand(tmp_path: Path) -> None:
    pictures = {
        "images/train/a.jpg": OUTLINE + "\n" + BOX,
        "images/train/deep/b.jpg": "",
        "images/val/c.jpg": None,
    }
    for path in (tiny_data.yolo(tmp_path, pictures), tmp_path):
        records = source.photographs(path)
        assert records.classes == ("__background__", "person", "dog")
        assert (records.left_out, records.ids) == ({}, {})
        first, second, third = items(records)
        assert [each.name for each in (first, second, third)] == list(pictures)
        assert first.annotation.labels.tolist() == [1, 2]
        assert first.annotation.boxes.tolist() == [[30, 18, 90, 72], [45, 0, 75, 45]]
        wanted = tiny_data.rectangle(90, 120, (30, 18, 90, 72))
        wanted[45:, :60] = False
        mask, none = first.masks
        assert (mask == wanted).all() and none is None
        assert len(second.annotation) == len(third.annotation) == 0
        cutout, skip = items(source.cutouts(path, ANY))[:2]
        assert (cutout.name, cutout.label) == ("images/train/a.jpg/1", 1)
        assert (cutout.mask == wanted).all()
        assert (skip.name, skip.reason) == ("images/train/a.jpg/3", "no mask")


ROBOFLOW = {"train/images/a.jpg": BOX, "valid/images/b.jpg": BOX}


@pytest.mark.parametrize(
    ("content", "pictures"),
    [
        ("train: images/train\nval: images/val\ntest:\nnames:\n  0: person\n  1: dog\n", None),
        ("path: .\ntrain: [images/train, images/val]\nnames: ['person', 'dog']\n", None),
        ("path: /moved/away\ntrain: images\nnames: [person, dog]\n", None),
        ("train: train.txt\nval: [images/val]\ntest: nowhere\n" + NAMES, None),
        ("path: ..\ntrain: PARENT/train.txt\nval: PARENT/images/val\n" + NAMES, None),
        ("train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 2\n" + NAMES,
         ROBOFLOW),
        ("train: pictures\n" + NAMES, {"pictures/a.jpg": BOX, "pictures/b.jpg": BOX}),
    ],
)  # fmt: skip
def test_layouts(tmp_path: Path, content: str, pictures: dict[str, str] | None) -> None:
    folder = tmp_path / "data"
    pictures = pictures or {"images/train/a.jpg": BOX, "images/val/b.jpg": BOX}
    path = tiny_data.yolo(folder, pictures, content.replace("PARENT", folder.name))
    (folder / "train.txt").write_text("./images/train/a.jpg\n\n")
    found = yolo.read(path)
    assert found.categories == ("person", "dog")
    assert not found.left_out
    assert [each.path for each in found.pictures] == [folder / name for name in pictures]
    for each in found.pictures:
        (instance,) = each.instances
        assert (instance.category, instance.box) == ("dog", (45, 0, 75, 45))
        assert each.annotation.is_file()


def test_splits(tmp_path: Path) -> None:
    """Each is read alone, or all at once and each picture once; a repetition is none."""
    pictures = {"images/train/a.jpg": BOX, "images/val/b.jpg": OUTLINE, "images/val/c.jpg": ""}
    content = "train: images\nval: images/val\ntest: [images]\n" + NAMES
    path = tiny_data.yolo(tmp_path, pictures, content)
    assert list(layouts.splits(tmp_path)) == list(layouts.splits(path)) == ["train", "val"]
    found = {split: layouts.find(tmp_path, split) for split in ("train", "val")}
    assert [len(each.pictures) for each in found.values()] == [3, 2]
    assert len(source.photographs(tmp_path)) == 3
    titles = [listing.photographs(each).source for each in found.values()]
    assert titles == [f"YOLO {s} {path}, without empty images" for s in ("train", "val")]
    with pytest.raises(DataError, match="has train, val; name one of these splits"):
        layouts.find(tmp_path)
    with pytest.raises(DataError, match="has no split 'test', only train, val"):
        layouts.find(path, "test")


def test_what_does_not_match_is_counted(tmp_path: Path) -> None:
    """A label without a picture, lines that repeat others, pictures that are broken or absent."""
    pictures = {"images/a.jpg": BOX + OUTLINE + BOX, "images/b.jpg": BOX, "images/c.jpg": None}
    path = tiny_data.yolo(tmp_path, pictures, "train: all.txt\n" + NAMES)
    (tmp_path / "all.txt").write_text("\n".join([*pictures, "images/d.jpg"]))
    (tmp_path / "images" / "b.jpg").write_bytes(b"broken")
    (tmp_path / "labels" / "z.txt").write_text(BOX)
    records = source.photographs(path)
    assert records.left_out == {
        "file of labels without a picture": ["labels/z.txt"],
        "line that repeats another": ["images/a.jpg/3"],
    }
    a, b, c, d = items(records)
    assert (len(a.annotation), len(c.annotation)) == (2, 0)
    assert (b.reason, d.reason) == ("broken .jpg file", "missing .jpg file")


STORED = dict(zip(range(2, 9), (0, 3, 1, 5, 2, 6, 4), strict=True))
"""Pillow's numbers of the turns from upright to what is stored under each value of the tag."""


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_labels_follow_the_orientation(tmp_path: Path, suffix: str) -> None:
    """As Ultralytics shows pictures to those who label: a dark stripe on top, however stored."""
    upright = np.full((80, 60, 3), 220, np.uint8)
    upright[:20] = 30
    pictures = {f"images/train/{n}.{suffix}": "1 0.5 0.125 1 0.25\n" for n in range(1, 9)}
    tiny_data.yolo(tmp_path, pictures, "train: images/train\n" + NAMES)
    for n, name in enumerate(pictures, 1):
        exif = Image.Exif()
        exif[0x0112] = n
        with Image.fromarray(upright) as stored:
            stored = stored.transpose(STORED[n]) if n > 1 else stored
            stored.save(tmp_path / name, exif=exif)
        with Image.open(tmp_path / name) as stored:
            assert (np.asarray(ImageOps.exif_transpose(stored)) == upright).all()
    for item in items(source.photographs(tmp_path)):
        assert (item.image == upright).all()
        assert item.annotation.boxes.tolist() == [[0, 0, 60, 20]]


def test_four_corners_of_a_box_are_a_box(tmp_path: Path) -> None:
    """Not a mask, with which a cut-out would bring its surroundings along; a leaning one is."""
    corners, leaning = "0.25 0.2 0.75 0.2 0.75 0.8 0.25 0.8", "0.25 0.2 0.75 0.2 0.75 0.8 0.25 0.81"
    text = f"0 {corners}\n1 {corners} 0.25 0.2\n0 {leaning}\n"
    tiny_data.yolo(tmp_path, {"images/train/a.jpg": text}, "train: images/train\n" + NAMES)
    one, two, cutout = items(source.cutouts(tmp_path, ANY))
    assert (one.reason, two.reason) == ("no mask", "no mask")
    assert cutout.mask.sum() == pytest.approx(60 * 54.5, rel=0.01)
    (photograph,) = items(source.photographs(tmp_path))
    assert photograph.annotation.boxes[:2].tolist() == [[30, 18, 90, 72]] * 2
    assert photograph.masks[:2] == (None, None)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.2", "got 3 numbers after the class, wanted 4 of a box, or 2 of each of 3"),
        ("0 0.5 0.5 0.2 0.2 0.9", "got 5 numbers after the class"),
        ("0 0.5 0.5 0.2 0.2 0.9 0.1 0.1", "got 7 numbers after the class"),
        ("2 0.5 0.5 0.2 0.2", "got the class '2', wanted 0 to 1"),
        ("-1 0.5 0.5 0.2 0.2", "got the class '-1', wanted 0 to 1"),
        ("0.5 0.5 0.5 0.2 0.2", "got the class '0.5', wanted 0 to 1"),
        ("dog 0.5 0.5 0.2 0.2", "got the class 'dog', wanted 0 to 1"),
        ("0 0.5 0.5 nan 0.2", "got 'nan', wanted a share of the picture's side, in .0, 1."),
        ("0 0.5 inf 0.2 0.2", "got 'inf', wanted a share"),
        ("0 0.5 1.011 0.2 0.2", "got '1.011', wanted a share"),
        ("0 320 240 50 60", "got '320', wanted a share"),
        ("0 0.1 0.1 0.5 -0.02 0.5 0.5", "got '-0.02', wanted a share"),
        ("0 0.5 0.5 O.2 0.2", "got 'O.2', wanted a share"),
        ("0,0.5,0.5,0.2,0.2", "got the class '0,0.5,0.5,0.2,0.2', wanted 0 to 1"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    pictures = {"images/train/a.jpg": BOX, "images/val/b.jpg": f"{BOX}\n{line}\n"}
    tiny_data.yolo(tmp_path, pictures)
    for read in (source.photographs, source.cutouts):
        with pytest.raises(DataError, match=f"^{tmp_path}/labels/val/b.txt:3: {message}") as caught:
            read(tmp_path)
        assert "\n" not in str(caught.value)


def test_shares_a_little_outside_are_cut_at_the_edges(tmp_path: Path) -> None:
    lines = "0 0.1 0.5 0.21 0.2\n\ufeff1 0.5 -0.01 1.005 -0.01 1.01 1.004\n"
    path = tiny_data.yolo(tmp_path, {"images/a.jpg": ""}, "train: images\n" + NAMES)
    (tmp_path / "labels" / "a.txt").write_text(lines.replace("\ufeff", ""), "utf-8-sig")
    (item,) = items(source.photographs(path))
    wanted = [[0, 36, 24.6, 54], [60, 0, 120, 90]]
    assert np.allclose(item.annotation.boxes, wanted, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "data.yaml: is not YAML .while parsing"),
        ("train: images\n", "data.yaml: has no names, wanted those of the classes"),
        ("train: images\nnames: dog\n", "data.yaml: names: got dog, wanted a list, or names by"),
        ("train: images\nnames: {1: dog}\n", "data.yaml: names: got {'1': 'dog'}, wanted a list"),
        ("train: images\nnames: [[dog]]\n", r"data.yaml: names: got \[\['dog'\]\], wanted"),
        (NAMES, "data.yaml: has none of train, val, test"),
        ("train: no\n" + NAMES, "data.yaml: train: got no, wanted folders of pictures or text f.*"
                                "/no is not there"),
        ("train: [images, x]\n" + NAMES, r"data.yaml: train: got \['images', 'x'\], wanted"),
        ("train: empty.txt\n" + NAMES, "empty.txt: lists no picture"),
        ("train: wrong.txt\n" + NAMES, "wrong.txt: none of its 1 pictures, such as b.jpg, is in"),
        ("train: labels\n" + NAMES, "labels: has no picture"),
        ("kpt_shape: [17, 3]\ntrain: images\n" + NAMES, "data.yaml: has kpt_shape, but labels of"),
        ("train: bare\n" + NAMES, "data.yaml: none of its 1 pictures has a file of labels, such as"
                                  " .*/bare/c.txt of .*/bare/c.jpg"),
    ],
)  # fmt: skip
def test_a_wrong_data_file_is_one_line(tmp_path: Path, content: str, message: str) -> None:
    path = tiny_data.yolo(tmp_path, {"images/a.jpg": BOX, "bare/c.jpg": None}, content)
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "wrong.txt").write_text("b.jpg\n")
    for read in (source.photographs, source.cutouts):
        with pytest.raises(DataError, match=f"^{tmp_path}/{message}") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_labels_that_are_no_text(tmp_path: Path) -> None:
    tiny_data.yolo(tmp_path, {"images/a.jpg": ""}, "train: images\n" + NAMES)
    (tmp_path / "labels" / "a.txt").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DataError, match="labels/a.txt: cannot be read as text"):
        source.photographs(tmp_path)


def test_names_are_text_whatever_yaml_takes_them_for(tmp_path: Path) -> None:
    content = "train: images\nnames: [no, 7, 1.5, null, dog]\n"
    tiny_data.yolo(tmp_path, {"images/a.jpg": "4 0.5 0.5 0.1 0.1"}, content)
    records = source.photographs(tmp_path)
    assert records.classes[1:] == ("no", "7", "1.5", "null", "dog")
    assert items(records)[0].annotation.labels.tolist() == [5]


@pytest.mark.parametrize("segments", [False, True])
@pytest.mark.parametrize("split", ["train", "val"])
def test_our_own_writer_is_read_back(tmp_path: Path, split: str, segments: bool) -> None:
    """Every box; every mask, in several parts or with holes, less the one that is just its box."""
    pictures = labelled.pictures(tmp_path / "shard")
    writer.Writer(labelled.CLASSES, segments).write(tmp_path / "yolo", iter(pictures))
    found = layouts.find(tmp_path / "yolo", split)
    assert found.categories == labelled.CLASSES[1:] and not found.left_out
    records = listing.photographs(found, keep_empty=True, with_masks=True)
    own = [picture for picture in pictures if picture.split == split]
    for item, picture in zip(items(records), own, strict=True):
        wanted = [instance for instance in picture.instances if not instance.ignore]
        boxes = [instance.box for instance in wanted]
        assert np.allclose(item.annotation.boxes, np.reshape(boxes, (-1, 4)), rtol=0, atol=ROUNDING)
        assert item.annotation.labels.tolist() == [instance.label for instance in wanted]
        shown = item.masks or (None,) * len(wanted)
        for mask, instance in zip(shown, wanted, strict=True):
            x1, y1, x2, y2 = instance.box
            if not segments or instance.area == (x2 - x1) * (y2 - y1):
                assert mask is None
            else:
                assert (mask == decode(instance.mask)).all()


def random_labels(folder: Path, segments: bool) -> Path:
    """Labels of eight pictures: boxes, or polygons of five to nine points round a centre."""
    random = np.random.default_rng(3)
    pictures = {}
    for n in range(8):
        lines = []
        for _ in range(random.integers(1, 6)):
            centre, count = random.uniform(0.3, 0.7, 2), random.integers(5, 10)
            shares = np.concatenate((centre, random.uniform(0.05, 0.4, 2)))
            if segments:
                angles = 2 * np.pi * (np.arange(count) + random.uniform(0, 0.5, count)) / count
                points = np.stack((np.cos(angles), np.sin(angles)), 1)
                shares = (centre + random.uniform(0.15, 0.3, (count, 1)) * points).ravel()
            numbers = " ".join(f"{share:.6f}" for share in shares)
            lines.append(f"{random.integers(0, 2)} {numbers}\n")
        pictures[f"images/train/{n}.jpg"] = "".join(lines)
    return tiny_data.yolo(folder, pictures, "train: images/train\nval: images/train\n" + NAMES)


@pytest.mark.parametrize("segments", [False, True])
def test_supervision_reads_the_same(tmp_path: Path, segments: bool) -> None:
    path = random_labels(tmp_path, segments)
    folders = [str(tmp_path / name / "train") for name in ("images", "labels")]
    theirs = supervision.DetectionDataset.from_yolo(*folders, str(path), force_masks=segments)
    for item in items(source.photographs(path)):
        own = theirs.annotations[str(tmp_path / item.name)]
        assert item.annotation.labels.tolist() == (own.class_id + 1).tolist()
        assert np.allclose(item.annotation.boxes, own.xyxy, rtol=0, atol=1e-4)
        for mask, other in zip(item.masks, own.mask if segments else (), strict=True):
            # It cuts the points' fractions off, and OpenCV paints the outline's own pixels too.
            for one, two in ((mask, other), (other, mask)):
                windows = np.lib.stride_tricks.sliding_window_view(np.pad(two, 2), (5, 5))
                assert one.any() and not (one & ~windows.any((2, 3))).any()


def test_labelformat_reads_the_same(tmp_path: Path) -> None:
    path = random_labels(tmp_path, False)
    theirs = {f"images/train/{each.image.filename}": each.objects
              for each in YOLOv8ObjectDetectionInput(path, "train").get_labels()}  # fmt: skip
    for item in items(source.photographs(path)):
        boxes = [[o.box.xmin, o.box.ymin, o.box.xmax, o.box.ymax] for o in theirs[item.name]]
        assert np.allclose(item.annotation.boxes, boxes, rtol=0, atol=1e-4)
