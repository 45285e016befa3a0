"""The contact sheet and the statistics of a generated data set."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from compositor.data.labels import decode
from compositor.generate import sheet, statistics
from compositor.generate.drawing import COLOURS, FONT, GREY, shown
from compositor.generate.statistics import PLACES, Statistics
from tests.data import labelled
from tests.generate.tiny import counted


def test_masks_are_tinted_and_boxes_drawn_where_they_are(tmp_path: Path) -> None:
    pictures = labelled.pictures(tmp_path / "shard")
    sheet.write(iter(pictures), labelled.CLASSES, tmp_path / "preview.png", 2)
    drawn = np.asarray(Image.open(tmp_path / "preview.png").convert("RGB"), int)
    height = sheet.SIDE * labelled.SIZE[0] // labelled.SIZE[1]
    assert drawn.shape == (height, 2 * sheet.SIDE, 3)
    scale = (sheet.SIDE - 2) / labelled.SIZE[1]
    photograph = np.asarray(Image.open(pictures[0].file), int)
    (x1, _, x2, _), mask = pictures[0].instances[5].box, pictures[0].instances[5].mask
    assert mask is not None
    assert decode(mask)[32, 4]
    middle = drawn[round(scale * 32.5) + 1, round(scale * 4.5) + 1]
    wanted = (1 - sheet.TINT) * photograph[32, 4] + sheet.TINT * np.array(COLOURS[5])
    assert np.abs(middle - wanted).max() <= 4  # the picture is smooth: 2 levels a pixel
    for x in (x1, x2 - 1):
        assert (drawn[round(scale * 32), round(scale * x) + 1] == COLOURS[5]).all()
    # The pixels beside every object are the photograph's own.
    beside = drawn[round(scale * 30.5) + 1, round(scale * 30.5) + 1]
    assert np.abs(beside - photograph[30, 30]).max() <= 4


def test_what_is_ignored_is_grey(tmp_path: Path) -> None:
    val = [each for each in labelled.pictures(tmp_path / "shard") if each.number == 6]
    sheet.write(val, labelled.CLASSES, tmp_path / "preview.png")
    drawn = np.asarray(Image.open(tmp_path / "preview.png"))
    assert (drawn == GREY).all(-1).any()
    assert not (drawn == COLOURS[1]).all(-1).any()


def test_names_do_not_cover_each_other(tmp_path: Path) -> None:
    first = labelled.pictures(tmp_path / "shard")[0]
    one = dataclasses.replace(first.instances[0], label=1, ignore=False, mask=None)
    for count in (3, 60):  # there is no room for so many
        alike = dataclasses.replace(first, instances=(one,) * count)
        sheet.write([alike], labelled.CLASSES, tmp_path / "preview.png")
    alike = dataclasses.replace(first, instances=(one,) * 3)
    sheet.write([alike], labelled.CLASSES, tmp_path / "preview.png")
    drawn = np.asarray(Image.open(tmp_path / "preview.png").convert("RGB"))
    lines = [np.argwhere((drawn == hue).all(-1)) for hue in COLOURS[:3]]
    # Of boxes at one place the last alone shows; of each name all of its line does.
    assert all(len(pixels) > 5 * sheet.LINE for pixels in lines)
    tops = [int(pixels[:, 0].min()) for pixels in lines[:2]]
    assert abs(tops[0] - tops[1]) >= sheet.LINE


@pytest.mark.parametrize("name", ["Füchslein", "狐", "лиса", "αλεπού", "ثعلب", "여우", "a\u0301"])
def test_a_name_is_drawn_in_letters_of_the_font_or_as_a_number(name: str) -> None:
    font = ImageFont.truetype(FONT, 20)
    # What a font does not have it draws as one and the same box.
    missing = bytes(font.getmask("\U000f0000"))
    has_all = all(bytes(font.getmask(letter)) != missing for letter in name)
    assert has_all == (name not in ("狐", "여우"))
    assert shown(name, 7) == (name if has_all else "class 7")


def test_a_long_name_is_cut() -> None:
    assert shown("x" * 24, 1) == "x" * 24
    assert shown("x" * 25, 1) == "x" * 23 + "…"


def test_no_picture(tmp_path: Path) -> None:
    sheet.write([], labelled.CLASSES, tmp_path / "preview.png")
    Image.open(tmp_path / "preview.png").load()


def test_counts_by_hand(tmp_path: Path) -> None:
    found = counted(labelled.pictures(tmp_path / "shard"), labelled.CLASSES)
    assert (found.pictures, found.objects, found.ignored) == (4, 10, 1)
    assert found.labels == {1: 5, 2: 3, 3: 2}
    assert found.per_picture == {6: 1, 0: 1, 2: 2}
    assert found.visibility == {9: 9, 7: 1}
    assert found.confidence == {1: 1}
    assert found.cutouts == {"foxes/狐 1.png": 1}
    assert found.sizes[0] == 1  # the one of a single pixel
    assert found.sizes[4] == sum(
        16 <= each.area**0.5 < 32
        for picture in labelled.pictures(tmp_path / "shard")
        for each in picture.instances
    )
    figures = found.figures()
    assert figures["Objects by class"] == {
        labelled.CLASSES[1]: 5,
        labelled.CLASSES[2]: 3,
        labelled.CLASSES[3]: 2,
    }
    assert figures["Objects by visible share"]["70 to 80 %"] == 1
    assert figures["Objects by the detector's confidence"]["10 to 20 %"] == 1
    assert found.summary() == (
        "4 pictures, 1 of them without an object; 10 objects, 1 of them ignored, of 1 cut-outs"
    )


def test_places_by_hand(tmp_path: Path) -> None:
    first = labelled.pictures(tmp_path / "shard")[0]
    height, width = first.size
    half = dataclasses.replace(first.instances[0], box=(0.0, 0.0, width / 2, float(height)))
    found = Statistics(labelled.CLASSES)
    found.add(dataclasses.replace(first, instances=(half, half)))
    assert np.allclose(found.places[:, : PLACES // 2], 2, rtol=0, atol=1e-12)
    assert not found.places[:, PLACES // 2 :].any()


@pytest.mark.filterwarnings("error")
def test_drawn_with_names_that_matplotlib_would_read_as_mathematics(tmp_path: Path) -> None:
    classes = [labelled.CLASSES[0], "$x^$", "狐", *map(str, range(40))]
    first, *others = labelled.pictures(tmp_path / "shard")
    many = tuple(
        dataclasses.replace(first.instances[3], label=1 + n, confidence=None) for n in range(42)
    )
    pictures = [dataclasses.replace(first, instances=many), *others]
    found = counted(pictures, classes)
    assert len(found.figures()["Objects by class"]) == statistics.SHOWN + 1
    assert sum(found.figures()["Objects by class"].values()) == found.objects
    statistics.write(found, tmp_path / "statistics.png")
    assert np.asarray(Image.open(tmp_path / "statistics.png")).std() > 10


def test_of_nothing(tmp_path: Path) -> None:
    statistics.write(counted([], labelled.CLASSES), tmp_path / "statistics.png")
    assert (tmp_path / "statistics.png").exists()
