"""VOC's XML files without VOC's development kit."""

from pathlib import Path

import pytest

from compositor.data.read import layouts, source, xml_folder
from compositor.data.records import Photograph
from compositor.files import DataError
from tests.data import tiny_data
from tests.data.test_sources import ANY, loaded, rgba

CUP, DOG = ("cup", (10.0, 20.0, 50.0, 70.0), 0), ("dog", (60.0, 20.0, 110.0, 80.0), 0)


def annotated(picture: Path, xml: Path, *objects: tuple[str, tiny_data.Box, int]) -> None:
    tiny_data.save(picture, tiny_data.picture(90, 120))
    tiny_data.voc_xml(xml, objects, (90, 120))


def test_files_beside_their_pictures(tmp_path: Path) -> None:
    annotated(tmp_path / "a.JPG", tmp_path / "a.xml", CUP, DOG)
    annotated(tmp_path / "b.png", tmp_path / "b.xml")
    tiny_data.save(tmp_path / "b.tif", tiny_data.picture(90, 120))
    tiny_data.save(tmp_path / "c.jpg", tiny_data.picture(90, 120))
    tiny_data.voc_xml(tmp_path / "lost.xml", [CUP], (90, 120))
    annotated(tmp_path / "torn.jpg", tmp_path / "torn.xml", CUP)
    (tmp_path / "torn.xml").write_text("<annotation>")
    listed = layouts.find(tmp_path)
    assert listed.categories == ("cup", "dog")
    assert [picture.name for picture in listed.pictures] == ["a.JPG", "b.png"]
    assert [one.box for one in listed.pictures[0].instances] == [CUP[1], DOG[1]]
    assert listed.left_out == {
        ".xml file without a picture": ["lost.xml"],
        "broken .xml file": ["torn.jpg"],
        "picture without an .xml file": ["b.tif", "c.jpg"],
    }


@pytest.mark.parametrize("pictures", ["JPEGImages", "images"])
def test_a_folder_of_files_beside_one_of_pictures(tmp_path: Path, pictures: str) -> None:
    annotated(tmp_path / pictures / "a.jpg", tmp_path / "Annotations" / "a.xml", CUP)
    (found,) = layouts.find(tmp_path).pictures
    assert (found.name, found.path) == (f"{pictures}/a.jpg", tmp_path / pictures / "a.jpg")


def test_folders_are_splits(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        annotated(tmp_path / split / "a.jpg", tmp_path / split / "a.xml", CUP)
    assert list(layouts.splits(tmp_path)) == ["train", "valid"]
    assert layouts.find(tmp_path, "valid").path == tmp_path / "valid"
    with pytest.raises(DataError, match="has train, valid; name one of these splits"):
        layouts.find(tmp_path)


def test_the_generator_keeps_what_they_annotate(tmp_path: Path) -> None:
    annotated(tmp_path / "a.jpg", tmp_path / "a.xml", DOG, ("", CUP[1], 0), ("cup", CUP[1], 1))
    photographs = source.photographs(tmp_path)
    assert photographs.ignored == "difficult"
    photograph = loaded(photographs)[0]["a.jpg"]
    assert isinstance(photograph, Photograph)
    assert photograph.annotation.labels.tolist() == [2, 1]
    assert photograph.annotation.ignore.tolist() == [False, True]


def test_cutouts_with_files_beside_them_are_cutouts(tmp_path: Path) -> None:
    rgba(tmp_path / "a.png", (5, 5, 20, 30))
    tiny_data.voc_xml(tmp_path / "a.xml", [CUP], (40, 50))
    assert len(loaded(source.cutouts(tmp_path, ANY))[0]) == 1


def test_the_development_kit_is_read_by_its_sets(tmp_path: Path) -> None:
    root = tmp_path / "VOC2007"
    tiny_data.voc_image(root, "1", [DOG])
    tiny_data.voc_image(root, "2", [CUP])
    tiny_data.voc_sets(root, Main_train=["1"])
    assert xml_folder.splits(root) == xml_folder.splits(tmp_path) == {}
    assert source.photographs(root).classes == ("__background__", "dog")


@pytest.mark.parametrize(
    ("picture", "objects", "message"),
    [
        ("b.jpg", [CUP], "none of its .xml files can be read and has a picture in "),
        ("a.jpg", [], "annotates no object of a class"),
    ],
)
def test_a_folder_of_no_use(
    tmp_path: Path, picture: str, objects: list[tuple[str, tiny_data.Box, int]], message: str
) -> None:
    annotated(tmp_path / picture, tmp_path / "a.xml", *objects)
    with pytest.raises(DataError, match=f"{tmp_path}: {message}"):
        layouts.find(tmp_path)


def names(folder: Path, split: str | None = None) -> list[str]:
    return [picture.name for picture in layouts.find(folder, split).pictures]


@pytest.mark.parametrize("files", ["Annotations", "annotations", "xml"])
@pytest.mark.parametrize("pictures", ["images", "."])
def test_a_folder_of_files_by_any_name(tmp_path: Path, files: str, pictures: str) -> None:
    """Beside one of pictures, or beside these themselves, as LabelImg saves where it is told to."""
    annotated(tmp_path / pictures / "a b.JPG", tmp_path / files / "a b.XML", CUP)
    assert names(tmp_path) == [str(Path(pictures) / "a b.JPG")]


def test_image_sets_are_splits(tmp_path: Path) -> None:
    """As CVAT leaves them, which keeps sub-folders, and lists each class again."""
    for name in ("a", "sub/b 1", "c"):
        pair = tmp_path / "JPEGImages" / f"{name}.png", tmp_path / "Annotations" / f"{name}.xml"
        annotated(*pair, CUP)
    sets = {"Train": ['"sub/b 1"', "a", "lost"], "cup_Train": ["a  1"], "Validation": ["c"]}
    tiny_data.voc_sets(tmp_path, **{f"Main_{name}": lines for name, lines in sets.items()})
    assert list(layouts.splits(tmp_path)) == ["Train", "Validation"]
    assert names(tmp_path, "Train") == ["JPEGImages/sub/b 1.png", "JPEGImages/a.png"]
    assert names(tmp_path, "Validation") == ["JPEGImages/c.png"]
    assert layouts.find(tmp_path, "Train").left_out == {"missing .xml file": ["lost"]}
    # The generator takes what is annotated, once.
    records = source.photographs(tmp_path).records
    assert [one.name for one in records] == [f"JPEGImages/{n}.png" for n in ("a", "c", "sub/b 1")]


def test_sets_without_a_list(tmp_path: Path) -> None:
    root = tmp_path / "VOC2007"
    annotated(root / "JPEGImages" / "a.jpg", root / "Annotations" / "a.xml", CUP)
    (root / "ImageSets" / "Main").mkdir(parents=True)
    assert list(layouts.splits(root)) == ["Annotations"]
    other = root.rename(tmp_path / "other")
    tiny_data.voc_sets(other, Main_test=[])
    with pytest.raises(DataError, match="Main/test.txt: lists no image$"):
        layouts.find(other)


def test_xml_of_other_programs_makes_no_data_set(tmp_path: Path) -> None:
    tiny_data.save(tmp_path / "a.jpg", tiny_data.picture(90, 120))
    (tmp_path / "annotations.xml").write_text("<?xml version='1.0'?>\n<annotations/>")
    assert layouts.splits(tmp_path) == {}
    assert [one.name for one in source.photographs(tmp_path).records] == ["a.jpg"]
    annotated(tmp_path / "train" / "b.jpg", tmp_path / "train" / "b.xml", CUP)
    assert list(layouts.splits(tmp_path)) == ["train"]


def test_the_generator_counts_the_pictures_that_no_file_annotates(tmp_path: Path) -> None:
    annotated(tmp_path / "some" / "a.jpg", tmp_path / "some" / "a.xml", CUP)
    for place in ("some/b.jpg", "others/c.jpg", "others/deep/d.jpg", "e.jpg"):
        tiny_data.save(tmp_path / place, tiny_data.picture(90, 120))
    lost = source.photographs(tmp_path).left_out["picture without an .xml file"]
    assert lost == ["b.jpg", "e.jpg", "others/c.jpg", "others/deep/d.jpg"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="data: is not there$"):
        layouts.find(tmp_path / "data")
