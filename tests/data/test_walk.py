"""Files below a folder: links, loops, and names that no report can hold."""

import os
from pathlib import Path

import pytest

from compositor.data.read import coco_file, folder, layouts, masked, source, walk
from compositor.data.records import LeftOut
from compositor.files import DataError
from tests.data import tiny_data
from tests.data.test_sources import ANY, loaded, rgba
from tests.data.tiny_data import picture, rectangle


def names(path: Path) -> tuple[list[str], LeftOut]:
    files, left_out = walk.files(path)
    return [str(file.relative_to(path)) for file in files], left_out


def test_links_to_folders_are_followed_each_folder_once(tmp_path: Path) -> None:
    top, aside = tmp_path / "top", tmp_path / "aside"
    for path in (top / "z" / "1", top / "z.1", aside / "deep" / "2"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (top / "a").symlink_to(top / "z")  # is read by its own name
    (top / "b").symlink_to(aside)
    (top / "c").symlink_to(aside / "deep")
    (top / "z" / "up").symlink_to(top)
    (aside / "up").symlink_to(aside)
    (top / "nothing").symlink_to(tmp_path / "missing")
    assert names(top) == (
        ["b/deep/2", "z/1", "z.1"],
        {
            "link to a missing file": ["nothing"],
            "link to a folder that is read already": ["a", "b/up", "c", "z/up"],
        },
    )


def test_linked_classes_and_backgrounds_are_read(tmp_path: Path) -> None:
    rgba(tmp_path / "far" / "a.png", (5, 5, 20, 30))
    tiny_data.save(tmp_path / "pair" / "b.jpg", picture(40, 50))
    tiny_data.save(tmp_path / "pair" / "b.png", rectangle(40, 50, (5, 5, 20, 30)))
    top = tmp_path / "top"
    top.mkdir()
    (top / "dog").symlink_to(tmp_path / "far")
    assert (
        set(loaded(folder.cutouts(top))[0])
        <= {"dog/a.png"}
        == set(loaded(source.cutouts(top, ANY))[0])
    )
    (top / "cup").symlink_to(tmp_path / "pair")
    assert masked.pairs(top) == [(top / "cup" / "b.jpg", top / "cup" / "b.png")]
    found = [record.name for record in folder.backgrounds(top).records]
    assert found == ["cup/b.jpg", "cup/b.png", "dog/a.png"]


def test_what_zip_files_and_notebooks_leave_is_no_class(tmp_path: Path) -> None:
    top = tmp_path / ".mine"  # what the user names counts, whatever its name
    rgba(top / "cat" / "a.png", (5, 5, 20, 30))
    left = ["cat/._a.png", "__MACOSX/cat/._a.png", ".ipynb_checkpoints/a-checkpoint.png"]
    for name in left:
        rgba(top / name, (5, 5, 20, 30))
    records = source.cutouts(top, ANY)
    assert records.classes == ("__background__", "cat")
    assert [record.name for record in records.records] == ["cat/a.png"]
    assert records.left_out == {
        "hidden file or folder": [".ipynb_checkpoints", "__MACOSX", "cat/._a.png"]
    }
    tiny_data.bigbird(tmp_path / "views", ["cup", ".ipynb_checkpoints"], views=1)
    assert source.cutouts(tmp_path / "views", ANY).classes == ("__background__", "cup")


def test_names_that_are_not_utf_8_are_left_out_when_they_are_listed(tmp_path: Path) -> None:
    bad = Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.png"))
    tiny_data.save(tmp_path / "good.png", picture(40, 50))
    bad.write_bytes((tmp_path / "good.png").read_bytes())
    records = source.photographs(tmp_path)
    assert [record.name for record in records.records] == ["good.png"]
    assert records.left_out == {"name that is not UTF-8": ["bad\\udcff.png"]}
    (tmp_path / "good.png").unlink()
    with pytest.raises(DataError, match="has no picture .*name that is not UTF-8: 1"):
        source.photographs(tmp_path)


def test_names_that_are_not_utf_8_in_coco_and_bigbird(tmp_path: Path) -> None:
    tiny_data.coco(tmp_path / "c", {"a.jpg": [{"category_id": 3, "bbox": [1, 1, 9, 9]}]})
    beside = Path(os.fsdecode(os.fsencode(tmp_path / "c" / "images") + b"/\xff.jpg"))
    beside.write_bytes(b"")
    path = tmp_path / "c" / "annotations" / "instances_tiny.json"
    text = path.read_text()
    assert '"images": [' in text
    path.write_text(text.replace('"images": [', '"images": [{"id": 99, "file_name": "\\udcff"}, '))
    assert layouts.find(tmp_path / "c").left_out == {
        "image whose file_name is not UTF-8": ["images[0]"],
        "picture that is not listed in instances_tiny.json": ["\\udcff.jpg"],
    }
    tiny_data.bigbird(tmp_path / "b", ["cup"], views=1)
    view = Path(os.fsdecode(os.fsencode(tmp_path / "b" / "cup") + b"/\xff.jpg"))
    view.write_bytes(b"")
    records = source.cutouts(tmp_path / "b", ANY)
    assert records.left_out == {"name that is not UTF-8": ["cup/\\udcff"]}
    assert len(records) == 1


def test_coco_with_absolute_names(tmp_path: Path) -> None:
    tiny_data.coco(tmp_path, {"a.jpg": [{"category_id": 3, "bbox": [1, 1, 9, 9]}]})
    tiny_data.save(tmp_path / "images" / "other.jpg", picture(40, 50))
    path = tmp_path / "annotations" / "instances_tiny.json"
    whole = str(tmp_path / "images" / "a.jpg")
    path.write_text(path.read_text().replace('"a.jpg"', f'"{whole}"'))
    for place in (tmp_path / "elsewhere", tmp_path / "images"):
        file = coco_file.read(path, [place])
        assert [listed.path for listed in file.pictures] == [Path(whole)]
        (unlisted,) = file.left_out["picture that is not listed in instances_tiny.json"]
        assert unlisted.endswith("other.jpg")
