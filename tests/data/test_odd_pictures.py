"""Pictures as strangers store them: depths, modes, EXIF orientations, masks of any two levels."""

import struct
import warnings
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngImageFile

from compositor.data import images, masks
from compositor.data.read import bigbird, folder, layouts, listing, voc
from compositor.data.records import Cutout, Photograph, Record, Skip
from tests.data import tiny_data
from tests.data.tiny_data import rectangle

SIZE = (90, 120)
BOX = (10, 10, 50, 80)
SETS = [("2007", "trainval")]
UNDECIDED = "EXIF orientation that the annotation may follow or not"
DIFFERENT = "image and annotation differ in size, EXIF orientation or not"


def load(record: Record[Any]) -> list[Any]:
    try:
        return list(record.load())
    except Skip as skip:
        return [skip]


def turned(path: Path, orientation: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Save a picture with an EXIF orientation; what Pillow would show of it, upright."""
    exif = Image.Exif()
    exif[images.ORIENTATION] = orientation
    tiny_data.save(path, tiny_data.picture(*size), exif=exif, quality=95)
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def stored(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize("suffix", ["png", "tiff", "pgm"])
def test_16_bits_are_scaled_and_not_clipped(tmp_path: Path, suffix: str) -> None:
    levels = np.array([[0, 1, 128, 129], [255, 256, 32768, 40000], [65279, 65535, 9, 0]])
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(levels.astype(np.uint16)).save(path)
    # By hand: 65535 / 255 = 257 levels to one; 128 is just below a half of it, 129 above.
    truth = [[0, 0, 0, 1], [1, 1, 128, 156], [254, 255, 0, 0]]
    assert images.read(path, "a")[..., 0].tolist() == truth
    assert (np.ptp(images.read(path, "a"), axis=2) == 0).all()


def test_numbers_that_are_no_levels_are_skipped(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 5), 0.5, np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(Skip, match="a: picture of floating-point numbers"):
        images.read(tmp_path / "a.tiff", "a")
    Image.fromarray(np.full((4, 5), 70_000, np.int32)).save(tmp_path / "b.tiff")
    with pytest.raises(Skip, match="b: picture of more than 16 bits"):
        images.read(tmp_path / "b.tiff", "b")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "CMYK", "YCbCr"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    """White stays white and red red, or as grey as it is; what is transparent keeps its colour."""
    pixels = np.full((8, 16, 3), 255, np.uint8)
    pixels[:, 8:] = (255, 0, 0)
    image = Image.fromarray(pixels).convert("L" if mode in ("1", "LA") else "RGB")
    image = image.convert("P").convert("PA") if mode == "PA" else image.convert(mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(0)
    path = tmp_path / (
        "a.jpg" if mode in ("CMYK", "YCbCr") else "a.tiff" if mode == "PA" else "a.png"
    )
    image.save(path, **({"quality": 95, "subsampling": 0} if path.suffix == ".jpg" else {}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = images.read(path, "a").astype(int)
    assert read.shape == (8, 16, 3)
    assert (read[:, :6] > 250).all()
    if mode not in ("1", "L", "LA"):
        assert (np.abs(read[:, 10:] - (255, 0, 0)) < 6).all()


def test_a_palette_with_transparency_is_read_without_a_warning(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 200, 10, 30])
    image.save(tmp_path / "a.png", transparency=b"\x00\x80")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (images.read(tmp_path / "a.png", "a") == (200, 10, 30)).all()


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_of_an_animation_the_first_frame_is_read(tmp_path: Path, suffix: str) -> None:
    red, blue = (Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
    path = tmp_path / f"a.{suffix}"
    red.save(path, save_all=True, append_images=[blue])
    assert (np.abs(images.read(path, "a").astype(int) - (255, 0, 0)) < 6).all()


def test_whatever_a_decoder_raises_is_a_skip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    tiny_data.save(path, tiny_data.picture(*SIZE))
    whole = path.read_bytes()
    for number in range(8, len(whole), 7):
        path.write_bytes(whole[:number] + b"\xff" + whole[number + 1 :])
        try:  # what still decodes, as a changed time stamp does, is a picture
            assert images.read(path, "a").shape == (*SIZE, 3)
        except Skip as skip:
            assert str(skip) == "a: broken .png file"
    path.write_bytes(whole)
    for error in (struct.error, IndexError, ZeroDivisionError, AttributeError):
        with monkeypatch.context() as patch:
            patch.setattr(PngImageFile, "load", Mock(side_effect=error))
            with pytest.raises(Skip, match="a: broken .png file"):
                images.read(path, "a")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(Skip, match="a: more pixels than Pillow decodes"):
        images.read(path, "a")
    for missing in (tmp_path, tmp_path / "none.png", tmp_path / ("x" * 999), Path("\0.png")):
        with pytest.raises(Skip, match="a: missing"):
            images.read(missing, "a")

    def forbidden(path: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(Image, "open", forbidden)
    with pytest.raises(Skip, match="a: .png file without permission to read it"):
        images.read(path, "a")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_is_obeyed_where_nothing_is_annotated(tmp_path: Path, orientation: int) -> None:
    truth = turned(tmp_path / "grounds" / "a.jpg", orientation)
    (background,) = load(folder.backgrounds(tmp_path / "grounds").records[0])
    assert np.array_equal(background.image, truth)
    rgba = np.dstack([tiny_data.picture(*SIZE), np.where(rectangle(*SIZE, BOX), 255, 0)])
    exif = Image.Exif()
    exif[images.ORIENTATION] = orientation
    path = tmp_path / "objects" / "cup" / "a.png"
    tiny_data.save(path, rgba.astype(np.uint8), exif=exif)
    (cutout,) = load(folder.cutouts(tmp_path / "objects", ["cup"]).records[0])
    with Image.open(path) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(cutout.mask, upright[..., 3] == 255)
    assert (cutout.image == upright[..., :3])[cutout.mask].all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("told", ["stored", "upright", "other", "none"])
def test_of_an_annotated_picture_the_size_decides(
    tmp_path: Path, orientation: int, told: str
) -> None:
    """COCO and VOC alike: stored 90 x 120, upright so or 120 x 90."""
    swapped = orientation >= 5
    upright_size = SIZE[::-1] if swapped else SIZE
    size = {"stored": SIZE, "upright": upright_size, "other": (91, 120), "none": (-1, -1)}[told]
    box = (10.0, 10.0, 50.0, 80.0)
    found = {"category_id": 3, "bbox": [10, 10, 40, 70]}
    tiny_data.coco(tmp_path / "coco", {"a.jpg": [found]}, size=size if min(size) > 0 else SIZE)
    path = tmp_path / "coco" / "annotations" / "instances_tiny.json"
    if told == "none":
        path.write_text(path.read_text().replace('"height": 90, "width": 120', '"height": -1'))
    truth = turned(tmp_path / "coco" / "images" / "a.jpg", orientation)
    root = tmp_path / "VOC2007"
    tiny_data.voc_image(root, "1", [("person", box, 0)])
    tiny_data.voc_xml(root / "Annotations" / "1.xml", [("person", box, 0)], size)
    tiny_data.voc_sets(root, Main_trainval=["1"])
    turned(root / "JPEGImages" / "1.jpg", orientation)

    for records in (listing.photographs(layouts.find(tmp_path / "coco")),
                    voc.photographs(tmp_path, SETS)):  # fmt: skip
        (item,) = load(records.records[0])
        if told == "other":
            expected = DIFFERENT if orientation > 1 else "image and annotation differ in size"
            assert isinstance(item, Skip)
            assert item.reason == expected
        elif orientation == 1:
            assert np.array_equal(item.image, truth)
        elif told == "none" or not swapped:
            assert isinstance(item, Skip)
            assert item.reason == UNDECIDED
        else:
            own = stored(tmp_path / "coco" / "images" / "a.jpg")
            assert isinstance(item, Photograph)
            assert np.array_equal(item.image, truth if told == "upright" else own)


@pytest.mark.parametrize("orientation", [3, 6])
def test_where_the_size_cannot_tell_only_objects_make_a_difference(
    tmp_path: Path, orientation: int
) -> None:
    found = {"category_id": 3, "bbox": [10, 10, 40, 70]}
    tiny_data.coco(tmp_path, {"a.jpg": [found], "b.jpg": []}, size=(90, 90))
    for name in ("a.jpg", "b.jpg"):
        truth = turned(tmp_path / "images" / name, orientation, (90, 90))
    a, b = listing.photographs(layouts.find(tmp_path), keep_empty=True).records
    assert [str(item) for item in load(a)] == [f"a.jpg: {UNDECIDED}"]
    assert np.array_equal(load(b)[0].image, truth)


@pytest.mark.parametrize("levels", [(0, 255), (0, 1), (3, 7), (0, 300)])
def test_views_whose_masks_have_any_two_levels(tmp_path: Path, levels: tuple[int, int]) -> None:
    tiny_data.bigbird(tmp_path, ["cup"], views=1, own=False)
    mask = ~rectangle(80, 80, (20, 10, 60, 70))  # inverted, as the layout has it
    kind = np.uint16 if max(levels) > 255 else np.uint8
    with (tmp_path / "cup" / "NP1_0.pbm").open("wb") as file:
        Image.fromarray(np.where(mask, levels[1], levels[0]).astype(kind)).save(file, "png")
    (item,) = load(bigbird.cutouts(tmp_path).records[0])
    assert isinstance(item, Cutout)
    assert np.array_equal(item.mask, ~mask)


def test_a_palettes_colours_say_which_level_is_higher(tmp_path: Path) -> None:
    tiny_data.bigbird(tmp_path, ["cup"], views=1, own=False)
    mask = ~rectangle(80, 80, (20, 10, 60, 70))
    image = Image.fromarray((~mask).astype(np.uint8), "P")
    image.putpalette([255, 255, 255, 0, 0, 0])  # index 1 is black, the object
    with (tmp_path / "cup" / "NP1_0.pbm").open("wb") as file:
        image.save(file, "png")
    (item,) = load(bigbird.cutouts(tmp_path).records[0])
    assert np.array_equal(item.mask, ~mask)


def test_a_mask_in_lab_is_black_and_white_too(tmp_path: Path) -> None:
    image = Image.new("LAB", SIZE[::-1], (0, 128, 128))
    image.paste((255, 128, 128), BOX)
    image.save(tmp_path / "a.tif")
    levels = images.read_levels(tmp_path / "a.tif", "a")
    assert np.array_equal(masks.levels_mask(levels, "a"), rectangle(*SIZE, BOX))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("cut mask", "broken .pbm file"),
        ("cut picture", "broken .jpg file"),
        ("small mask", "image and mask differ in size"),
        ("soft mask", "mask of more than two levels"),
    ],
)
def test_the_message_blames_the_file_that_is_wrong(
    tmp_path: Path, change: str, reason: str
) -> None:
    tiny_data.bigbird(tmp_path, ["cup"], views=1, own=False)
    what = change.split()[1]
    path = tmp_path / "cup" / ("NP1_0.pbm" if what == "mask" else "NP1_0.jpg")
    if change.startswith("cut"):
        path.write_bytes(path.read_bytes()[:300])
    else:
        small = ~rectangle(40, 40, (5, 5, 30, 30))
        soft = np.tile(np.arange(80, dtype=np.uint8), (80, 1))
        with path.open("wb") as file:
            Image.fromarray(small if change == "small mask" else soft).save(file, "png")
    (item,) = load(bigbird.cutouts(tmp_path).records[0])
    assert str(item) == f"cup/NP1_0: {reason}"


def test_vocs_masks_of_two_levels_and_of_colours(tmp_path: Path) -> None:
    root, mask = tmp_path / "VOC2007", rectangle(*SIZE, BOX)
    tiny_data.voc_image(root, "1", [("person", (10, 10, 50, 80), 0)], {})
    tiny_data.voc_sets(root, Segmentation_trainval=["1"])
    path = root / "SegmentationObject" / "1.png"
    record = voc.cutouts(tmp_path, SETS).records[0]
    for levels in (mask, mask * np.uint8(1), mask * np.uint8(255), mask * np.uint16(700)):
        tiny_data.save(path, levels)
        (item,) = load(record)
        assert isinstance(item, Cutout)
        assert np.array_equal(item.mask, mask)
    tiny_data.save(path, np.dstack([mask * np.uint8(200)] * 3))
    assert [str(item) for item in load(record)] == ["VOC2007/1: mask of colours, not of indices"]
