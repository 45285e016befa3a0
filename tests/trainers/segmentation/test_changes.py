"""The figure of the test pictures whose masks changed most."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from compositor.data.records import Annotation, Record, Records
from trainers.segmentation import changes
from trainers.segmentation.colours import COLOURS, tinted
from trainers.segmentation.pictures import VOID, Segmentations, Segmented, prepare

SIZE = (20, 30)


def test_what_is_packed_comes_back_small() -> None:
    classes = torch.zeros(224, 200, dtype=torch.uint8)
    classes[50:90, 20:160], classes[60:80, 30:99] = 15, VOID
    content = changes.packed(classes)
    assert len(content) < 1000 and content.dtype == torch.uint8
    assert torch.equal(changes.unpacked(content, (224, 200)), classes)


@pytest.fixture
def test_set(tmp_path: Path) -> Segmentations:
    """Four grey pictures; the left half of each is a dog, and a column is void."""
    truth = np.zeros(SIZE, np.uint8)
    truth[:, :15], truth[:, 29] = 1, VOID
    grey = [np.full((*SIZE, 3), 50 * n, np.uint8) for n in range(4)]
    known = [Segmented(f"{n}", each, Annotation.of(), classes=truth) for n, each in enumerate(grey)]
    records = [Record(one.name, (), lambda one=one: iter([one])) for one in known]
    return prepare(Records("made", ("__background__", "dog"), records), tmp_path / "cache", SIZE)


def told(columns: int) -> torch.Tensor:
    """T says that so many columns on the left are the dog."""
    return (torch.arange(SIZE[1]) < columns).expand(SIZE).to(torch.uint8)


def test_pictures_whose_iou_changed_most_are_shown(
    test_set: Segmentations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Any] = []
    monkeypatch.setattr(changes, "save", lambda figure, path: figures.append(figure))
    before = [told(15), told(15), told(12), told(0)]
    after = [told(15), told(9), told(15), told(3)]
    changes.draw(tmp_path / "a.png", test_set, before, after, "title", columns=2)
    (figure,) = figures
    assert figure.get_suptitle().startswith("title: the IoU rose on 2 and fell on 1 of 4 images")
    # Of 29 columns that count: the second fell from 1 to (9 / 15 + 14 / 20) / 2 = 0.65, the third
    # rose to 1 from (12 / 15 + 14 / 17) / 2 = 0.81, the last to (3 / 15 + 14 / 26) / 2 from 0.24.
    panels = np.array(figure.axes).reshape(3, 2)
    texts = [[text.get_text() for axes in row for text in axes.texts] for row in panels]
    assert texts == [[], ["1.00", "0.81"], ["0.65", "1.00"]]
    assert [row[0].get_ylabel() for row in panels] == ["annotated", "before", "after"]
    truth = test_set.classes_of(1).numpy()
    for axes, classes in zip(panels[:, 0], (truth, before[1], after[1]), strict=True):
        shown = np.asarray(axes.images[0].get_array())
        assert np.array_equal(shown, tinted(np.full((*SIZE, 3), 50, np.uint8), np.asarray(classes)))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["dog"]
    (patch,) = legend.get_patches()
    assert np.allclose(patch.get_facecolor()[:3], COLOURS[1] / 255)
