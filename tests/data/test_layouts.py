"""GMU Kitchen, BigBIRD, RGB-D Scenes and plain folders, tiny and in their layouts."""

from pathlib import Path

import numpy as np
import pytest

from compositor.data import frames, prepared
from compositor.data.read import bigbird, folder, gmu
from compositor.data.records import Cutout, Records, Skip
from compositor.files import DataError
from tests.data import tiny_data
from tests.data.tiny_data import items, rectangle


@pytest.fixture
def kitchen(tmp_path: Path) -> Path:
    tiny_data.gmu(tmp_path)
    return tmp_path


def scenes(records: Records) -> list[int]:
    return sorted({int(record.name.split("/")[0][-1]) for record in records.records})


def test_the_first_fold_of_gmu(kitchen: Path) -> None:
    test, train = gmu.photographs(kitchen, 1, "test"), gmu.photographs(kitchen, 1, "train")
    assert scenes(test) == [2, 4, 5]
    assert scenes(train) == [1, 3, 6, 7, 8, 9]
    assert (len(test), len(train)) == (6, 12)
    assert test.classes == ("__background__", *gmu.NAMES)
    assert len(gmu.NAMES) == 11
    first, *_ = items(test)
    assert first.name == "gmu_scene_002/rgb_1"
    assert first.image.shape == (108, 192, 3)
    assert first.annotation.boxes.tolist() == [[10, 10, 70, 80], [100, 20, 120, 60]]
    assert [test.classes[n] for n in first.annotation.labels] == ["hunts_sauce", "red_bull"]
    assert first.annotation.ignore.tolist() == [False, True]  # 4200 and 800 pixels, 1500 wanted


def test_other_folds_are_read_from_a_file(kitchen: Path) -> None:
    with pytest.raises(DataError, match="folds.txt: wanted the scenes that fold 2 is tested on in"):
        gmu.photographs(kitchen, 2, "test")
    (kitchen / "folds.txt").write_text(
        "gmu_scene_001 gmu_scene_002 gmu_scene_003\ngmu_scene_004 gmu_scene_009\n\n"
    )
    assert scenes(gmu.photographs(kitchen, 1, "test")) == [1, 2, 3]
    assert scenes(gmu.photographs(kitchen, 2, "test")) == [4, 9]
    assert scenes(gmu.photographs(kitchen, 2, "train")) == [1, 2, 3, 5, 6, 7, 8]
    for fold in (0, 3):
        with pytest.raises(DataError, match="only 2 folds are known"):
            gmu.photographs(kitchen, fold, "test")
    (kitchen / "folds.txt").write_text("kitchen_1\n")
    with pytest.raises(DataError, match="got kitchen_1, wanted gmu_scene_001 to gmu_scene_009"):
        gmu.photographs(kitchen, 1, "test")


def test_a_missing_scene_is_an_error_and_a_missing_annotation_is_counted(kitchen: Path) -> None:
    (kitchen / "gmu_scene_004" / "Annotations" / "rgb_2.xml").unlink()
    for number in (1, 3):  # the third has no picture
        path = kitchen / "gmu_scene_005" / "Annotations" / f"rgb_{number}.xml"
        tiny_data.voc_xml(path, [], (108, 192))
    test = prepared.prepare_photographs(gmu.photographs(kitchen, 1, "test"), kitchen / "c", (9, 9))
    assert len(test) == 5  # what is found where nothing is counts in AP
    assert test.left_out == {
        "missing .png file": ["gmu_scene_005/rgb_3"],
        "missing .xml file": ["gmu_scene_004/rgb_2"],
    }
    (kitchen / "gmu_scene_004" / "Images").rename(kitchen / "elsewhere")
    with pytest.raises(DataError, match=r"gmu_scene_004/Images: has no \*.png; unpack the scenes"):
        gmu.photographs(kitchen, 1, "test")
    gmu.photographs(kitchen, 1, "train")


@pytest.mark.parametrize("own", [True, False])
def test_bigbirds_masks_are_inverted(tmp_path: Path, own: bool) -> None:
    tiny_data.bigbird(tmp_path, ["red_bull", "hunts_sauce"], own=own)
    records = bigbird.cutouts(tmp_path)
    assert records.classes == ("__background__", "hunts_sauce", "red_bull")
    found = items(records)
    assert [item.name for item in found[:2]] == ["hunts_sauce/NP1_0", "hunts_sauce/NP2_3"]
    assert [item.label for item in found] == [1, 1, 1, 2, 2, 2]
    assert np.array_equal(found[1].mask, rectangle(80, 80, (20, 11, 60, 70)))
    picked = bigbird.cutouts(tmp_path, ["red_bull"])
    assert picked.classes == ("__background__", "red_bull")
    assert {item.label for item in items(picked)} == {1}


def test_views_without_a_usable_mask_are_skipped_and_counted(tmp_path: Path) -> None:
    tiny_data.bigbird(tmp_path, ["a"], views=5)
    (tmp_path / "b").mkdir()
    masks = tmp_path / "a" / "masks"
    (masks / "NP1_0_mask.pbm").unlink()
    tiny_data.save(masks / "NP2_3_mask.pbm", rectangle(80, 80, (20, 10, 60, 70)))
    tiny_data.save(masks / "NP3_6_mask.pbm", ~rectangle(40, 40, (20, 10, 60, 70)))
    tiny_data.save(masks / "NP4_9_mask.pbm", np.ones((80, 80), bool))
    cutouts = prepared.prepare_cutouts(bigbird.cutouts(tmp_path), tmp_path / "c", (50, 50))
    assert cutouts.names == ["a/NP5_12"]
    assert cutouts.left_out == {
        "folder without *.jpg": ["b"],
        "missing .pbm file": ["a/NP1_0"],
        "mask is not inverted: wanted the object black": ["a/NP2_3"],
        "image and mask differ in size": ["a/NP3_6"],
        "mask of a single level": ["a/NP4_9"],
    }


def test_objects_without_pictures_or_masks_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none: is not a folder; unpack each object's rgbd.tgz"):
        bigbird.cutouts(tmp_path / "none")
    tiny_data.bigbird(tmp_path, ["a"])
    with pytest.raises(DataError, match=r"b: has no \*.jpg; unpack each object's rgbd.tgz"):
        bigbird.cutouts(tmp_path, ["a", "b"])
    for mask in (tmp_path / "a" / "masks").iterdir():
        mask.unlink()
    with pytest.raises(DataError, match=r"no OBJECT/\*.jpg has a mask"):
        bigbird.cutouts(tmp_path)


@pytest.mark.parametrize("place", ["", "imgs", "rgbd-scenes-v2/imgs"])
def test_frames_of_rgbd_scenes(tmp_path: Path, place: str) -> None:
    tiny_data.uw(tmp_path / "made")
    (tmp_path / "d" / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "made" / "imgs").rename(tmp_path / "d" / place)
    records = folder.uw_scenes(tmp_path / "d", stride=2)
    frames = ["00000", "00002", "00004"]
    assert [r.name for r in records.records] == [
        f"scene_{scene}/{frame}-color.png" for scene in ("01", "02") for frame in frames
    ]
    first, *_ = items(records)
    assert np.array_equal(first.image, tiny_data.picture(48, 64))
    assert len(first.annotation) == 0
    assert len(folder.uw_scenes(tmp_path / "d")) == 2


def test_pictures_of_a_folder(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "deep/er/c.jpeg"):
        tiny_data.save(tmp_path / name, tiny_data.picture(20, 30))
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "z.jpg").write_text("no picture either")
    backgrounds = prepared.prepare_photographs(
        folder.backgrounds(tmp_path), tmp_path.parent / "c", (9, 9)
    )
    assert backgrounds.names == ["a.png", "b.JPG", "deep/er/c.jpeg"]
    assert backgrounds.left_out == {
        "no picture by its name": ["notes.txt"],
        "broken .jpg file": ["z.jpg"],
    }


def test_folders_without_pictures_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none: is not a folder"):
        folder.backgrounds(tmp_path / "none")
    with pytest.raises(DataError, match="has no picture"):
        folder.backgrounds(tmp_path)
    with pytest.raises(DataError, match=r"has no imgs/scene_\*/\*-color.png; unpack rgbd-scenes"):
        folder.uw_scenes(tmp_path)


def cutout(path: Path, alpha: np.ndarray, colour: tuple[int, int, int] = (200, 100, 50)) -> None:
    """A picture with this alpha channel (H, W): black where it is 0."""
    pixels = np.where(alpha[..., None] > 0, np.array(colour), 0)
    tiny_data.save(path, np.dstack([pixels, alpha]).astype(np.uint8))


def test_cut_outs_with_an_alpha_channel(tmp_path: Path) -> None:
    mask = rectangle(60, 80, (0, 0, 70, 60))  # cut by three sides, as tight cut-outs are by all
    cutout(tmp_path / "cup" / "a.png", mask * 255)
    cutout(tmp_path / "cup" / "deep" / "b.png", mask * 1)
    cutout(tmp_path / "pear" / "c.png", np.where(mask, 200, 90))
    soft = np.where(mask, 255, 0)
    soft[20, 70], soft[21, 70] = 128, 127
    cutout(tmp_path / "pear" / "d.webp", soft)
    cutout(tmp_path / "pear" / "full.png", np.full((60, 80), 255))
    tiny_data.save(tmp_path / "pear" / "rgb.png", tiny_data.picture(60, 80))
    cutout(tmp_path / "apple" / "e.png", mask * 255)
    cutout(tmp_path / "f.png", mask * 255)
    (tmp_path / "cup" / "notes.txt").write_text("no picture")
    records = folder.cutouts(tmp_path, ["pear", "cup"])
    assert records.classes == ("__background__", "pear", "cup")
    found = items(records)
    kept = {item.name: item for item in found if isinstance(item, Cutout)}
    labels = {"cup/a.png": 2, "cup/deep/b.png": 2, "pear/c.png": 1, "pear/d.webp": 1}
    assert {name: item.label for name, item in kept.items()} == labels
    for name in labels:
        half = mask | (rectangle(60, 80, (70, 20, 71, 21)) if name == "pear/d.webp" else False)
        assert np.array_equal(kept[name].mask, half), name
    # The object's edge fades into its own colour, and not into black.
    framed = frames.centre(kept["cup/a.png"], (60, 80), 0.9)
    assert (framed[..., :3] == (200, 100, 50)).all()
    assert [str(item) for item in found if isinstance(item, Skip)] == [
        "pear/full.png: alpha of a single level", "pear/rgb.png: no alpha channel"
    ]  # fmt: skip
    assert records.left_out == {
        "no picture by its name": ["cup/notes.txt"],
        "in no sub-folder of a class": ["apple/e.png", "f.png"],
    }
    with pytest.raises(DataError, match="has no picture in a sub-folder car or bus"):
        folder.cutouts(tmp_path, ["car", "bus"])
    with pytest.raises(DataError, match="none: is not a folder"):
        folder.cutouts(tmp_path / "none", ["cup"])
