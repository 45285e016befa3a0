"""What holds for every format: whole or not at all, nothing stale, flat memory, refusals."""

import dataclasses
import functools
import gc
import os
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compositor import files
from compositor.data.labels import Instance, LabelledPicture, encode
from compositor.data.records import BACKGROUND
from compositor.data.write import coco, voc, yolo
from compositor.data.write.parts import Writer
from compositor.files import DataError
from tests.data import labelled

FORMATS: dict[str, Callable[[Sequence[str]], Writer[Any]]] = {
    "coco": coco.Writer,
    "coco polygons": functools.partial(coco.Writer, polygons=True),
    "yolo": yolo.Writer,
    "yolo-seg": functools.partial(yolo.Writer, segments=True),
    "voc": voc.Writer,
}


@pytest.fixture(params=FORMATS)
def write(request: pytest.FixtureRequest) -> Callable[..., None]:
    writer = FORMATS[request.param]

    def write(folder: Path, pictures: Iterable[LabelledPicture], classes: Sequence[str]) -> None:
        writer(classes).write(folder, pictures)

    return write


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_bytes_again_and_nothing_stale(tmp_path: Path, write: Callable[..., None]) -> None:
    pictures = labelled.pictures(tmp_path / "shard")
    folder = tmp_path / "out" / "data"
    write(folder, pictures, labelled.CLASSES)
    first = tree(folder)
    write(folder, pictures[:1], labelled.CLASSES)
    assert len(tree(folder)) < len(first)
    assert not any("000005" in name for name in tree(folder))
    write(folder, iter(pictures), labelled.CLASSES)
    assert tree(folder) == first
    assert [path.name for path in folder.parent.iterdir()] == ["data"]


def test_a_run_that_fails_leaves_the_earlier_data_set(
    tmp_path: Path, write: Callable[..., None]
) -> None:
    pictures = labelled.pictures(tmp_path / "shard")
    folder = tmp_path / "out" / "data"
    write(folder, pictures, labelled.CLASSES)
    first = tree(folder)

    def broken() -> Iterator[LabelledPicture]:
        yield pictures[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(folder, broken(), labelled.CLASSES)
    pictures[1].file.unlink()
    with pytest.raises(DataError, match="000005.jpg: is missing"):
        write(folder, pictures, labelled.CLASSES)
    assert tree(folder) == first
    assert [path.name for path in folder.parent.iterdir()] == ["data"]


def test_what_killed_runs_left_is_cleared(tmp_path: Path, write: Callable[..., None]) -> None:
    pictures = labelled.pictures(tmp_path / "shard")
    write(tmp_path / "out" / "data", pictures, labelled.CLASSES)
    first = tree(tmp_path / "out")
    (tmp_path / "out" / ".data.partial").mkdir()  # killed while it wrote
    (tmp_path / "out" / ".data.partial" / "part").touch()
    (tmp_path / "out" / "data").rename(tmp_path / "out" / ".data.old")  # and between two renames
    with pytest.raises(ValueError, match="classes: got"):
        write(tmp_path / "out" / "data", pictures, ["no", "background"])
    with pytest.raises(DataError, match="is missing"):
        gone = dataclasses.replace(pictures[0], file=tmp_path / "gone.jpg")
        write(tmp_path / "out" / "data", [gone], labelled.CLASSES)
    assert tree(tmp_path / "out") == first


def test_pictures_are_links_or_else_copies(
    tmp_path: Path, write: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = labelled.pictures(tmp_path / "shard")
    write(tmp_path / "links", pictures, labelled.CLASSES)
    (linked,) = (tmp_path / "links").rglob("000004.jpg")
    assert linked.samefile(pictures[0].file)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    write(tmp_path / "copies", pictures, labelled.CLASSES)
    assert tree(tmp_path / "copies") == tree(tmp_path / "links")
    (copy,) = (tmp_path / "copies").rglob("000004.jpg")
    assert not copy.samefile(pictures[0].file)


def test_two_pictures_of_one_name(tmp_path: Path, write: Callable[..., None]) -> None:
    first = labelled.pictures(tmp_path / "shard")[0]
    again = dataclasses.replace(labelled.pictures(tmp_path / "other")[0], number=99)
    with pytest.raises(DataError, match="000004.jpg: another file of this name is in"):
        write(tmp_path / "data", [first, again], labelled.CLASSES)


@pytest.mark.parametrize("kind", ["coco", "yolo", "voc"])
def test_memory_does_not_grow_with_the_pictures(tmp_path: Path, kind: str) -> None:
    first = labelled.pictures(tmp_path / "shard")[0]
    # Labels of more than 450 bytes a picture, in every format.
    first = dataclasses.replace(first, instances=(first.instances[3],) * 14)

    def many(count: int) -> Iterator[LabelledPicture]:
        for number in range(count):
            file = tmp_path / "shard" / f"many{number:06}.jpg"
            if not file.exists():
                os.link(first.file, file)
            if number % 20 == 0:
                gc.collect()
            yield dataclasses.replace(first, number=number, file=file)

    def peak(count: int) -> int:
        tracemalloc.start()
        # A folder of its own, or removing the old one would list its files.
        FORMATS[kind](labelled.CLASSES).write(tmp_path / f"data{count}", many(count))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(5)
    # What may grow is the set of numbers; cycles of garbage come and go.
    assert peak(150) - peak(70) < 80 * 450


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": 0}, r"000004.jpg, object 0: got the label 0, wanted 1 to 3"),
        ({"label": 4}, r"object 0: got the label 4"),
        ({"box": (3.0, 2.0, 3.0, 9.0)}, r"object 0: got the box .* wanted one with an area, in 56"),
        ({"box": (3.0, 2.0, 57.0, 9.0)}, r"object 0: got the box"),
        ({"box": (3.0, float("nan"), 9.0, 9.0)}, r"object 0: got the box"),
        ({"area": 0}, r"object 0: got the box .* of 0 pixels"),
        ({"mask": encode(np.ones((56, 40), bool))}, r"got a mask of \(56, 40\), wanted \(40, 56\)"),
    ],
)
def test_labels_that_would_break_a_reader(
    tmp_path: Path, write: Callable[..., None], change: dict[str, Any], message: str
) -> None:
    first = labelled.pictures(tmp_path / "shard")[0]
    wrong: Instance = dataclasses.replace(first.instances[0], **change)
    with pytest.raises(ValueError, match=message):
        bad = dataclasses.replace(first, instances=(wrong,))
        write(tmp_path / "data", [bad], labelled.CLASSES)
    assert not (tmp_path / "data").exists()


def test_two_pictures_of_one_number(tmp_path: Path, write: Callable[..., None]) -> None:
    first, second, *_ = labelled.pictures(tmp_path / "shard")
    with pytest.raises(ValueError, match="000005.jpg: got number 4 for the second time"):
        twice = [first, dataclasses.replace(second, number=4)]
        write(tmp_path / "data", twice, labelled.CLASSES)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["dog"], "classes: got .'dog'., wanted __background__ first"),
        ([BACKGROUND, "dog "], "classes: got 'dog ', wanted a name without spaces at its ends"),
        ([BACKGROUND, ""], "classes: got ''"),
        ([BACKGROUND, "a\nb"], r"classes: got 'a\\nb', wanted a name without control characters"),
        ([BACKGROUND, "dog", "dog"], "classes: got 'dog' twice"),
    ],
)
def test_classes_that_a_format_cannot_name(
    tmp_path: Path, write: Callable[..., None], classes: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "data", [], classes)


def test_a_full_disk_is_said_in_one_line(
    tmp_path: Path, write: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(files.shutil, "copyfile", full)
    monkeypatch.setattr(files, "FULL", 2**80)  # whatever is free counts as none
    with pytest.raises(DataError, match="the disk is full"):
        write(tmp_path / "data", labelled.pictures(tmp_path / "shard"), labelled.CLASSES)
