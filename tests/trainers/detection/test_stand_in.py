"""The stand-in's scenes against rectangles worked out in float64."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from compositor.data.records import (
    BACKGROUND,
    Annotation,
    Cutout,
    Item,
    Photograph,
    Record,
    Records,
)
from trainers.detection import stand_in

SIDE, OBJECT, GROUND = 128, 64, (10, 20, 30)
COLOURS = (200, 100, 50)
SHIFTS = ((-40, 3), (-8, 3), (-6, 3))
"""Of the objects, 64 x 64 pixels, from the middle along x and y: the first leaves the canvas and is
hidden by half; of the second the third leaves two columns."""


def records(item: Item, *classes: str) -> Records[Item]:
    one = Record[Item](item.name, (), lambda: [item])
    return Records[Item](item.name, (BACKGROUND, *classes), [one] * 8, {})


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scene of one picture, its objects put at ``SHIFTS``."""

    def placements() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            for x, y in SHIFTS:
                theta = torch.tensor([[[1, 0, -2 * x / SIDE], [0, 1, -2 * y / SIDE]]])
                yield theta, torch.tensor([True])
            # An object that finds no place is left out.
            yield torch.eye(2, 3)[None], torch.tensor([False])

    places = placements()
    monkeypatch.setattr(stand_in, "random_placement", lambda *_: next(places))
    monkeypatch.setattr(stand_in.gmu, "SCENES", stand_in.gmu.SCENES[:1])
    for name, value in {
        "SIZE": (SIDE, SIDE),
        "PICTURES": 1,
        "OBJECTS": (4, 5),
        "LIGHT": (0.5, 0.5),
        "FILL": OBJECT / SIDE,
    }.items():
        monkeypatch.setattr(stand_in, name, value)
    colours = np.full((OBJECT, OBJECT, 3), COLOURS, np.uint8)
    cup = Cutout("cup", colours, np.ones((OBJECT, OBJECT), bool), 1)
    ground = np.full((SIDE, SIDE, 3), GROUND, np.uint8)
    wall = Photograph("wall", ground, Annotation.of())
    made = stand_in.make(tmp_path, records(cup, "cup"), records(wall))
    return made / stand_in.gmu.SCENES[0]


def alphas() -> list[NDArray[np.float64]]:
    """Each rectangle blurred with the default sigma of 1, on the canvas."""
    taps = np.exp(-0.5 * np.arange(-3, 4) ** 2)
    lines = []
    for shift in SHIFTS:
        sides = []
        for along in shift:
            pixels = np.arange(-3, SIDE + 3) - along
            first = (SIDE - OBJECT) // 2
            solid = ((pixels >= first) & (pixels < first + OBJECT)).astype(float)
            sides.append(np.convolve(solid, taps / taps.sum(), "valid"))
        lines.append(np.outer(sides[1], sides[0]))
    return lines


def test_labels_are_of_what_later_objects_leave_visible(scene: Path) -> None:
    owner = np.full((SIDE, SIDE), -1)
    covered = []
    for layer, alpha in enumerate(alphas()):
        owner[alpha > 0.5] = layer
        covered.append((alpha > 0.5).sum())
    boxes, hidden = [], []
    for layer, whole in enumerate(covered):
        y, x = np.nonzero(owner == layer)
        boxes.append([x.min() + 1, y.min() + 1, x.max() + 1, y.max() + 1])  # VOC's
        hidden.append(1 - len(x) / whole)
    assert 0.3 < hidden[0] < stand_in.VISIBILITY.covered < hidden[1] and hidden[2] == 0
    objects = ElementTree.parse(scene / "Annotations" / "rgb_1.xml").getroot().findall("object")
    found = [
        [int(entry.findtext(f"bndbox/{side}", "")) for side in ("xmin", "ymin", "xmax", "ymax")]
        for entry in objects
    ]
    assert found == [boxes[0], boxes[2]]
    assert [entry.findtext("name") for entry in objects] == ["cup", "cup"]


def test_a_picture_is_rounded_once(scene: Path) -> None:
    wanted = np.full((SIDE, SIDE, 3), GROUND, float)
    for alpha in alphas():
        wanted += alpha[..., None] * (np.array(COLOURS) / 2 - wanted)
    got = np.asarray(Image.open(scene / "Images" / "rgb_1.png"), float)
    # Half a level, and float32's rounding of sums of some 200.
    assert np.abs(got - wanted).max() <= 0.5 + 1e-4
