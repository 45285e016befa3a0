"""Prepared caches: what is in them, and that neither a kill nor a change leaves a wrong one."""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from compositor.data import prepared, storage
from compositor.data.prepared import Cutouts, Photographs
from compositor.data.records import Annotation, Cutout, Photograph, Record, Records, Skip
from compositor.files import DataError

SIZE = (12, 16)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "CHUNK", 4)


def source(folder: Path, count: int = 10, kill: int = -1) -> Records[Photograph]:
    """Photographs of one colour each, with as many boxes as their number modulo 3.

    Loads are noted in ``loads``; loading number ``kill`` kills the process.
    """
    folder.mkdir(exist_ok=True)

    def load(number: int) -> Iterator[Photograph | Skip]:
        with (folder / "loads").open("a") as file:
            file.write(f"{number}\n")
        if number == kill:
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 6:
            raise Skip("unlucky", f"image {number}")
        boxes = [((i, 0, i + 2, 6), i + 1, i == 1) for i in range(number % 3)]
        pixels = np.full((6, 8, 3), number * 20, np.uint8)
        yield Photograph(f"image {number}", pixels, Annotation.of(boxes))

    records = []
    for number in range(count):
        path = folder / f"{number}.jpg"
        if not path.exists():
            path.write_text("picture")
        records.append(Record(f"image {number}", (path,), partial(load, number)))
    return Records("tiny", ("__background__", "a", "b"), records)


def loads(folder: Path) -> list[int]:
    file = folder / "loads"
    return sorted(map(int, file.read_text().split())) if file.exists() else []


def child(folder: str, cache: str, kill: str, processes: str) -> None:
    """What another process runs, once all of them are ready."""
    storage.CHUNK = 4
    records = source(Path(folder), kill=int(kill))
    (Path(folder) / f"ready-{os.getpid()}").touch()
    while len(list(Path(folder).glob("ready-*"))) < int(processes):
        time.sleep(0.001)
    prepared.prepare_photographs(records, Path(cache), SIZE)


def start(folder: Path, cache: Path, kill: int = -1, processes: int = 1) -> subprocess.Popen[bytes]:
    code = "import sys; from tests.data import test_prepared as t; t.child(*sys.argv[1:])"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", code, str(folder), str(cache), str(kill), str(processes)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)


def same(first: Photographs, second: Photographs) -> bool:
    return (
        first.names == second.names
        and first.summary == second.summary
        and all(torch.equal(first.image(i), second.image(i)) for i in range(len(first)))
        and all(
            torch.equal(a[k], b[k])
            for a, b in zip(first.targets, second.targets, strict=True)
            for k in a
        )
    )


def test_photographs_and_their_targets(tmp_path: Path) -> None:
    photographs = prepared.prepare_photographs(source(tmp_path / "s"), tmp_path / "c", SIZE)
    assert len(photographs) == 9
    assert photographs.size == SIZE
    assert photographs.classes == ("__background__", "a", "b")
    assert photographs.names == [f"image {n}" for n in (0, 1, 2, 3, 4, 5, 7, 8, 9)]
    image, target = photographs[6]  # number 7
    assert image.dtype == torch.uint8
    assert image.shape == (3, *SIZE)
    assert (image == 140).all()
    assert target["boxes"].tolist() == [[0, 0, 4, 12]]
    assert target["labels"].tolist() == [1]
    image, target = photographs[0]
    assert target["boxes"].shape == (0, 4)
    assert {k: v.dtype for k, v in target.items()} == {
        "boxes": torch.float32,
        "labels": torch.int64,
        "ignore": torch.bool,
    }
    assert photographs[2][1]["ignore"].tolist() == [False, True]
    image.fill_(1)  # what a caller does to an item stays with the caller
    target["boxes"] += 1
    assert (photographs[0][0] == 0).all()


def test_cutouts_and_their_labels(tmp_path: Path) -> None:
    mask = np.zeros((6, 8), bool)
    mask[1:5, 2:4] = True

    def load() -> Iterator[Cutout | Skip]:
        yield Cutout("x/1", np.full((6, 8, 3), 9, np.uint8), mask, 2)
        yield Skip("too small", "x/2")
        yield Cutout("x/3", np.full((6, 8, 3), 7, np.uint8), mask, 1)

    records = Records("tiny", ("__background__", "a", "b"), [Record("x", (), load)])
    cutouts = prepared.prepare_cutouts(records, tmp_path, SIZE, fill=1.0)
    assert isinstance(cutouts, Cutouts)
    assert cutouts.names == ["x/1", "x/3"]
    assert cutouts.labels.tolist() == [2, 1]
    image, label = cutouts[0]
    assert label == 2
    assert image.shape == (4, *SIZE)
    assert (image[:3] == 9).all()
    assert (image[3] == 255).sum() == 12 * 6  # 4 x 2 scaled by 3
    assert cutouts.summary == {
        "pictures": 1,
        "objects": {"a": 1, "b": 1},
        "left_out": {"too small": ["x/2"]},
    }
    with pytest.raises(ValueError, match=r"fill: got 1.5, wanted a number in \(0, 1\]"):
        prepared.prepare_cutouts(records, tmp_path, SIZE, fill=1.5)


def test_every_name_that_was_left_out_is_kept_beside_what_is_there(tmp_path: Path) -> None:
    def load(number: int) -> Iterator[Photograph | Skip]:
        if number % 3:
            raise Skip("unlucky", f"image {number}")
        boxes = [((0, 0, 2, 2), 2, False), ((2, 2, 5, 5), 1 + number % 2, True)]
        yield Photograph(f"image {number}", np.zeros((6, 8, 3), np.uint8), Annotation.of(boxes))
        yield Skip("box without area", f"image {number}/7")

    loaded = [Record(f"image {n}", (), partial(load, n)) for n in range(300)]
    classes = ("__background__", "a", "b", "c")
    records = Records("tiny", classes, loaded, {"not listed": ["x", "y"], "unlucky": ["z"]})
    photographs = prepared.prepare_photographs(records, tmp_path, SIZE)
    thirds = range(0, 300, 3)
    assert photographs.summary == {
        "pictures": 100,
        "objects": {"a": 50, "b": 150, "c": 0},
        "left_out": {
            "not listed": ["x", "y"],
            "unlucky": ["z", *(f"image {n}" for n in range(300) if n % 3)],
            "box without area": [f"image {n}/7" for n in thirds],
        },
    }
    # Another listing of the same pictures is another source.
    fewer = prepared.prepare_photographs(Records("tiny", classes, loaded), tmp_path, SIZE)
    assert list(fewer.left_out) == ["box without area", "unlucky"]


def test_a_second_call_opens_what_the_first_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, cache = tmp_path / "s", tmp_path / "c"
    first = prepared.prepare_photographs(source(folder), cache, SIZE)
    assert loads(folder) == list(range(10))
    second = prepared.prepare_photographs(source(folder), cache, SIZE)
    assert loads(folder) == list(range(10))
    assert same(first, second)
    told = "tiny: 9 kept; left out: 1 unlucky (image 6)\n"
    assert capsys.readouterr().out == told * 2


def test_a_fingerprint_is_of_what_was_read_not_of_its_files(tmp_path: Path) -> None:
    def fingerprint(records: Records[Photograph], cache: str = "c") -> str:
        return prepared.prepare_photographs(records, tmp_path / cache, SIZE).fingerprint

    first = fingerprint(source(tmp_path / "s"))
    assert first.startswith("9 items (")
    # The same pictures elsewhere, and of another time.
    assert fingerprint(source(tmp_path / "moved"), "d") == first
    os.utime(tmp_path / "s" / "3.jpg", (1, 1))
    assert fingerprint(source(tmp_path / "s")) == first

    def other(number: int, pixel: int, box: float) -> Records[Photograph]:
        """The same but for one picture's pixel and box, and the file's time."""

        def load() -> Iterator[Photograph]:
            pixels = np.full((6, 8, 3), 20, np.uint8)
            pixels[0, 0, 0] = pixel
            yield Photograph("image 1", pixels, Annotation.of([((0, 0, 2, box), 1, False)]))

        records = source(tmp_path / "s")
        os.utime(tmp_path / "s" / "1.jpg", (1, number + 1))
        found = [replace(r, load=load) if r.name == "image 1" else r for r in records.records]
        return replace(records, records=found)

    assert fingerprint(other(1, 20, 6)) == first
    assert fingerprint(other(2, 21, 6)) != first
    assert fingerprint(other(3, 20, 5)) != first
    whole = source(tmp_path / "s")
    assert fingerprint(replace(whole, records=whole.records[::-1])) != first
    assert fingerprint(replace(whole, records=whole.records[1:])) != first
    assert fingerprint(replace(whole, classes=("__background__", "b", "a"))) != first


def test_what_the_arrays_depend_on_is_prepared_anew(tmp_path: Path) -> None:
    folder, cache = tmp_path / "s", tmp_path / "c"

    def made(size: tuple[int, int] = SIZE, count: int = 10) -> int:
        prepared.prepare_photographs(source(folder, count), cache, size)
        return len(list(cache.iterdir()))

    assert made() == 1
    assert made(size=(16, 12)) == 2
    assert made(count=9) == 3
    os.utime(folder / "3.jpg", (1, 1))
    assert made() == 4
    (folder / "3.jpg").write_text("another picture")
    assert made() == 5
    records = Records("tiny", ("__background__", "b", "a"), source(folder).records)
    prepared.prepare_photographs(records, cache, SIZE)
    assert made() == 6
    crowds = replace(source(folder), ignored="crowd")
    assert prepared.prepare_photographs(crowds, cache, SIZE).ignored == "crowd"
    assert prepared.prepare_photographs(source(folder), cache, SIZE).ignored == "difficult"
    assert made() == 7
    records = source(folder)
    (folder / "3.jpg").unlink()
    prepared.prepare_photographs(records, cache, SIZE)
    assert len(list(cache.iterdir())) == 8


def test_a_killed_run_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    folder, cache = tmp_path / "s", tmp_path / "c"
    source(folder)
    process = start(folder, cache, kill=5)
    process.communicate(timeout=600)
    assert process.returncode == -signal.SIGKILL
    (folder / "loads").unlink()
    photographs = prepared.prepare_photographs(source(folder), cache, SIZE)
    assert loads(folder) == list(range(4, 10))  # the chunk of 4 that was complete is not among them
    assert same(photographs, prepared.prepare_photographs(source(folder), tmp_path / "d", SIZE))


def test_only_what_is_missing_is_loaded_and_unsaved_parts_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, cache = tmp_path / "s", tmp_path / "c"
    whole = prepared.prepare_photographs(source(folder), tmp_path / "d", SIZE)
    (folder / "loads").unlink()
    saves = 0
    save = storage._Writer._save

    def failing(self: storage._Writer, *files: object) -> None:
        nonlocal saves
        saves += 1
        if saves == 2:
            # As when the power goes: pixels and lines half written, progress not saved.
            for file in files:
                file.write(b"half a pict")
            raise KeyboardInterrupt
        save(self, *files)

    monkeypatch.setattr(storage._Writer, "_save", failing)
    with pytest.raises(KeyboardInterrupt):
        prepared.prepare_photographs(source(folder), cache, SIZE)
    assert loads(folder) == list(range(8))
    (folder / "loads").unlink()
    assert same(whole, prepared.prepare_photographs(source(folder), cache, SIZE))
    assert loads(folder) == list(range(4, 10))


def test_two_processes_prepare_once(tmp_path: Path) -> None:
    folder, cache = tmp_path / "s", tmp_path / "c"
    source(folder)
    both = [start(folder, cache, processes=2) for _ in range(2)]
    for process in both:
        process.communicate(timeout=600)
        assert process.returncode == 0
    assert loads(folder) == list(range(10))
    assert len(prepared.prepare_photographs(source(folder), cache, SIZE)) == 9


def test_a_source_of_which_nothing_is_left_is_an_error_each_time(tmp_path: Path) -> None:
    def load(number: int) -> Iterator[Photograph]:
        raise Skip("broken .jpg file" if number else "empty annotation", f"image {number}")

    records = Records("tiny", ("x",), [Record(f"{n}", (), partial(load, n)) for n in range(6)])
    for _ in range(2):
        with pytest.raises(DataError) as caught:
            prepared.prepare_photographs(records, tmp_path, SIZE)
        assert str(caught.value) == (
            "tiny: nothing can be used: 1 empty annotation (image 0); "
            "5 broken .jpg file (image 1, image 2, image 3, ...)"
        )


def test_a_damaged_cache_is_an_error(tmp_path: Path) -> None:
    photographs = prepared.prepare_photographs(source(tmp_path / "s"), tmp_path / "c", SIZE)
    (photographs.folder / "images.u8").write_bytes(b"short")
    with pytest.raises(DataError, match=r"does not match its progress.json; delete the folder"):
        prepared.prepare_photographs(source(tmp_path / "s"), tmp_path / "c", SIZE)


def test_worker_processes_map_the_file_themselves(tmp_path: Path) -> None:
    photographs = prepared.prepare_photographs(source(tmp_path / "s"), tmp_path / "c", SIZE)
    sent = pickle.dumps(photographs)
    assert len(sent) < 1000
    assert same(pickle.loads(sent), photographs)
    loader = DataLoader(photographs, batch_size=None, num_workers=1, multiprocessing_context="fork")
    assert [int(image[0, 0, 0]) for image, _ in loader] == [0, 20, 40, 60, 80, 100, 140, 160, 180]


def test_only_some_items(tmp_path: Path) -> None:
    """In the order asked for, again of these, and as a worker gets them."""
    whole = prepared.prepare_photographs(source(tmp_path / "data"), tmp_path / "cache", SIZE)
    some = whole.only([7, 0, 3]).only([2, 0])
    assert some.names == [whole.names[3], whole.names[7]]
    for found in (some, pickle.loads(pickle.dumps(some))):
        assert len(found) == 2
        for index, other in enumerate((3, 7)):
            assert torch.equal(found.image(index), whole.image(other))
            wanted = whole.targets[other]["boxes"]
            assert torch.equal(found.targets[index]["boxes"], wanted)
    assert some.summary["pictures"] == 2
    assert len({whole.fingerprint, some.fingerprint, whole.only([7, 3]).fingerprint}) == 3
