"""Pictures brought to one size: boxes, masks and colours stay where they belong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile
from torchvision.ops import box_iou

from compositor.data import frames, images
from compositor.data.records import Annotation, Cutout, Found, Photograph, Skip
from tests.data import tiny_data


def test_box_of_a_mask_is_tight_and_exclusive() -> None:
    mask = np.zeros((5, 7), bool)
    mask[4, 6] = True
    assert images.box_of(mask) == (6, 4, 7, 5)
    mask[1, 2] = True
    assert images.box_of(mask) == (2, 1, 7, 5)
    with pytest.raises(ValueError, match="mask: has no pixel"):
        images.box_of(np.zeros((5, 7), bool))


def test_sizes_are_read_without_a_pixel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.png", "a.jpg", "a.webp", "a.tif", "a.bmp"):
        tiny_data.save(tmp_path / name, tiny_data.picture(40, 50))
        decoded = images.read(tmp_path / name, name)
        with monkeypatch.context() as patch:
            patch.setattr(ImageFile.ImageFile, "load", None)
            assert images.size(tmp_path / name, name) == decoded.shape[:2] == (40, 50)


def test_ious_are_torchvisions() -> None:
    boxes = np.random.default_rng(0).uniform(0, 50, (20, 4)).astype(np.float32)
    boxes[:, 2:] += boxes[:, :2]
    boxes[1] = boxes[0] + 200  # apart
    boxes[2] = boxes[0]
    truth = box_iou(torch.from_numpy(boxes[:1]), torch.from_numpy(boxes))[0]
    np.testing.assert_allclose(images.ious(boxes[0], boxes), truth, rtol=1e-6)


def test_stretching_takes_the_boxes_along() -> None:
    pixels = tiny_data.picture(90, 120)
    annotation = Annotation.of([((0, 0, 120, 90), 1, False), ((60, 30, 90, 45), 2, True)])
    image, stretched = frames.stretch(Photograph("a", pixels, annotation), (30, 60))
    assert image.shape == (30, 60, 3)
    assert stretched.boxes.tolist() == [[0, 0, 60, 30], [30, 10, 45, 15]]
    assert stretched.boxes.dtype == np.float32
    assert stretched.labels.tolist() == [1, 2]
    assert stretched.ignore.tolist() == [False, True]


BAD_BOXES: list[tuple[float, ...]] = [
    (120, 0, 130, 9), (5, 5, 5, 9), (9, 5, 5, 9), (1000, 5, 1e308, 9), (7, 7, 7 + 1e-9, 9),
]  # fmt: skip


def test_boxes_are_cut_at_the_edges_and_bad_ones_cost_their_object() -> None:
    pixels = np.zeros((90, 120, 3), np.uint8)
    good = [("a/1", (-3, -2, 125, 95), 1, False), ("a/2", (5, 5, 1e308, 9), 2, True)]
    bad = [(f"a/bad {n}", box, 1, False) for n, box in enumerate(BAD_BOXES)]
    found = [Found(*entry) for entry in [*bad, *good, ("a/none", None, 1, False)]]
    *left_out, photograph = images.with_objects("a", pixels, found)
    assert isinstance(photograph, Photograph)
    assert photograph.annotation.boxes.tolist() == [[0, 0, 120, 90], [5, 5, 120, 9]]
    assert photograph.annotation.labels.tolist() == [1, 2]
    assert photograph.annotation.ignore.tolist() == [False, True]
    reason = "box without area in the image"
    assert list(map(str, left_out)) == [
        *(f"a/bad {n}: {reason}" for n in range(len(BAD_BOXES))), "a/none: no usable box"
    ]  # fmt: skip


def test_a_photograph_all_of_whose_boxes_are_bad() -> None:
    pixels, bad = np.zeros((90, 120, 3), np.uint8), [Found("a/1", None, 1, False)]
    _, kept = images.with_objects("a", pixels, bad)
    assert isinstance(kept, Photograph)
    assert len(kept.annotation) == 0
    _, left_out = images.with_objects("a", pixels, bad, keep_empty=False)
    assert str(left_out) == "a: no object with a usable box"


@pytest.mark.parametrize(
    "box", [(40, 30, 70, 80), (0, 0, 25, 10), (95, 5, 120, 90), (0, 0, 120, 90), (60, 44, 61, 46)]
)
@pytest.mark.parametrize("size", [(64, 64), (50, 90), (300, 300)])
def test_objects_are_centred_and_fill_the_frame(
    box: tuple[int, int, int, int], size: tuple[int, int]
) -> None:
    pixels = tiny_data.picture(90, 120)
    framed = frames.centre(
        Cutout("a", pixels, tiny_data.rectangle(90, 120, box), 1), size, fill=0.7
    )
    assert framed.shape == (*size, 4)
    assert set(np.unique(framed[..., 3])) == {0, 255}
    x1, y1, x2, y2 = images.box_of(framed[..., 3] > 0)
    width, height = box[2] - box[0], box[3] - box[1]
    scale = 0.7 * min(size[1] / width, size[0] / height)
    # The sides fall between pixels: a pixel more or less over both.
    assert abs((x2 - x1) - scale * width) <= 1
    assert abs((y2 - y1) - scale * height) <= 1
    assert abs((x1 + x2) - size[1]) <= 1
    assert abs((y1 + y2) - size[0]) <= 1


def test_colours_go_with_the_mask() -> None:
    y, x = np.mgrid[:90, :120]
    pixels = np.stack([x * 2, y * 2, np.zeros_like(x)], -1).astype(np.uint8)
    box = (40, 30, 70, 70)
    framed = frames.centre(Cutout("a", pixels, tiny_data.rectangle(90, 120, box), 1), (120, 100), 1)
    # The side of 40 fills 120: frame pixel (i, j)'s centre lies at 3 times the photograph's scale.
    i, j = np.mgrid[:120, :100]
    truth_x = ((j + 0.5) - 50) / 3 + 55 - 0.5
    truth_y = ((i + 0.5) - 60) / 3 + 50 - 0.5
    # Colours are linear in the position, so interpolating them is exact up to rounding to bytes;
    # but Pillow looks at nothing outside its box, which changes the frame's outermost pixels.
    inner = np.s_[3:-3, 3:-3]
    np.testing.assert_allclose(framed[..., 0][inner], 2 * truth_x[inner], atol=0.51)
    np.testing.assert_allclose(framed[..., 1][inner], 2 * truth_y[inner], atol=0.51)


def test_beyond_the_photograph_is_its_edge_and_no_object() -> None:
    pixels = tiny_data.picture(90, 120)
    framed = frames.centre(
        Cutout("a", pixels, tiny_data.rectangle(90, 120, (0, 0, 20, 20)), 1), (100, 100), 0.5
    )
    assert not framed[:25, :, 3].any()
    assert not framed[:, :25, 3].any()
    # From 1 pixel beyond the corner on, 2.5 to a pixel, only the corner's colour is there.
    assert (framed[:22, :22, :3] == pixels[0, 0]).all()


def test_pictures_are_read_as_rgb_whatever_they_are(tmp_path: Path) -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(grey).save(tmp_path / "a.png")
    read = images.read(tmp_path / "a.png", "a")
    assert np.array_equal(read, np.repeat(grey[..., None], 3, 2))
    assert read.dtype == np.uint8


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty", "missing"])
def test_a_broken_picture_is_skipped_by_name(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.jpg"
    tiny_data.save(path, tiny_data.picture(90, 120))
    content = path.read_bytes()
    contents = {"cut": content[: len(content) // 2], "garbage": b"<html>", "empty": b""}
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(contents[damage])
    with pytest.raises(Skip) as caught:
        images.read(path, "photo 7")
    assert caught.value.name == "photo 7"
    assert caught.value.reason == ("missing" if damage == "missing" else "broken") + " .jpg file"


@pytest.mark.parametrize("planar", [True, False])
def test_pillow_s_picture_has_the_same_pixels(planar: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    given = np.ascontiguousarray(pixels.transpose(2, 0, 1)).transpose(1, 2, 0) if planar else pixels
    assert given.flags.c_contiguous != planar
    assert (np.asarray(frames.pillow(given)) == pixels).all()
