from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.colors import to_rgba
from PIL import Image
from torch import Tensor

from trainers.detection import pictures

BOX, OTHER, FAR = [0.0, 0, 10, 10], [20.0, 0, 30, 10], [0.0, 20, 10, 30]


def detected(*rows: tuple[list[float], float, int]) -> dict[str, Tensor]:
    boxes, scores, labels = zip(*rows, strict=True) if rows else ([], [], [])
    return {
        "boxes": torch.tensor(boxes).reshape(-1, 4).float(),
        "scores": torch.tensor(scores).float(),
        "labels": torch.tensor(labels).long(),
    }


def objects(*boxes: list[float], ignore: tuple[int, ...] = ()) -> dict[str, Tensor]:
    return {
        "boxes": torch.tensor(boxes).reshape(-1, 4).float(),
        "labels": torch.ones(len(boxes)).long(),
        "ignore": torch.tensor([number in ignore for number in range(len(boxes))]).bool(),
    }


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures as they are when they are saved."""
    figures: list[Any] = []
    save = pictures.save

    def keep(figure: Any, path: Path) -> None:
        figures.append(figure)
        save(figure, path)

    monkeypatch.setattr(pictures, "save", keep)
    return figures


def colours(axes: Any) -> list[tuple[float, ...]]:
    return [patch.get_edgecolor() for patch in axes.patches]


def test_found_by_hand() -> None:
    target = objects(BOX, OTHER)
    hit, false = pictures.found(detected((BOX, 0.9, 1), (BOX, 0.8, 1), (FAR, 0.7, 1)), target)
    assert hit.tolist() == [True, False] and false.tolist() == [False, True, True]
    # Another class, too low a score, too small an overlap.
    low = [0.0, 0, 10, 4.9]
    hit, false = pictures.found(detected((BOX, 0.9, 2), (OTHER, 0.49, 1), (low, 0.9, 1)), target)
    assert hit.tolist() == [False, False] and false.tolist() == [True, False, True]
    # The best score chooses first, wherever it stands; the other takes what is free.
    near, beside = objects([0.0, 0, 10, 10], [2.0, 0, 12, 10]), [1.0, 0, 11, 10]
    hit, false = pictures.found(detected((beside, 0.6, 1), (BOX, 0.9, 1)), near)
    assert hit.all() and not false.any()
    hit, false = pictures.found(detected(), objects())
    assert hit.shape == false.shape == (0,)
    hit, false = pictures.found(detected((BOX, 0.9, 1)), objects())
    assert false.tolist() == [True]


def test_the_curve_shows_means_spreads_and_best_cycles(tmp_path: Path, drawn: list[Any]) -> None:
    def history(*scores: float | None) -> list[dict[str, Any]]:
        # At the two IoUs 10 more and 10 less.
        pairs = [(None, None) if one is None else (one + 0.1, one - 0.1) for one in scores]
        return [{"ap": {"mean": dict(zip((0.5, 0.75), pair, strict=True))}} for pair in pairs]

    runs = {
        "baseline": {0: history(0.3, 0.2, 0.1), 1: history(0.5, 0.4, 0.1)},
        "matched": {0: history(0.3, 0.6, 0.5), 1: history(0.5, 0.6, 0.7)},
        "random": {0: history(0.3, None, 0.4)},
    }
    pictures.curve(tmp_path / "curve.png", runs, "ap", "title")
    (axes,) = drawn[0].axes
    means = [line.get_ydata() for line in axes.lines]
    assert means[0] == pytest.approx([40, 30, 10]) and means[1] == pytest.approx([40, 60, 60])
    assert means[2] == pytest.approx([30, float("nan"), 40], nan_ok=True)
    band = axes.collections[0].get_paths()[0].vertices
    at_start = band[band[:, 0] == 0][:, 1]  # 30 and 50
    assert (at_start.min(), at_start.max()) == pytest.approx((40 - 200**0.5, 40 + 200**0.5))
    assert len(axes.collections) == 2  # one seed has no spread
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == [
        "real images only, best 40.0 ±14.1 (cycles 0, 0)",
        "matched, best 65.0 ±7.1 (cycles 1, 2)",
        "random, best 40.0 (cycle 2)",
    ]
    assert axes.get_ylabel() == "AP (%), mean of IoU 0.5 to 0.75"
    assert Image.open(tmp_path / "curve.png").width > 600


def test_hardness_bars_are_shares_over_the_seeds(tmp_path: Path, drawn: list[Any]) -> None:
    # The last bin holds 1; a p of exactly 0.5 is not below it.
    seeds = [torch.tensor([0, 0.05, 0.5, 1]), torch.tensor([0, 0.95, 0.5, 1])]
    ways = {"random": seeds, "synthesizer": [torch.zeros(4), torch.zeros(4)]}
    pictures.hardness(tmp_path / "hardness.png", {"before": ways, "after": ways}, 0.5, "title", "p")
    (figure,) = drawn
    assert [axes.get_title() for axes in figure.axes] == ["before", "after"]
    assert figure.axes[0].get_xlabel() == "p"
    bars = [[bar.get_height() for bar in c] for c in figure.axes[0].containers if len(c) == 10]
    assert bars[0] == pytest.approx([0.375, 0, 0, 0, 0, 0.25, 0, 0, 0, 0.375])
    assert bars[1] == pytest.approx([1, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == ["random: 38 % below 0.5", "S: 100 % below 0.5"]
    assert Image.open(tmp_path / "hardness.png").width > 800
    # Where hard is a share of the answers, no limit can be drawn.
    pictures.hardness(tmp_path / "hardness.png", {"before": ways}, None, "title", "p")
    (axes,) = drawn[1].axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["random", "S"]
    assert not axes.lines


def test_composites_show_the_first_of_each_row(tmp_path: Path, drawn: list[Any]) -> None:
    images = torch.zeros(3, 3, 20, 30, dtype=torch.uint8)
    images[1, 0] = 255
    boxes = [torch.tensor([OTHER, BOX]), torch.tensor([BOX]), torch.tensor([[28.0, 0, 30, 5]])]
    full = pictures.Sheet("cycle 1", images, boxes, torch.tensor([0.125, 0.25, 0.5]))
    short = pictures.Sheet("cycle 2", images[:0], [], torch.zeros(0))
    pictures.composites(
        tmp_path / "composites.png", [full, short], "title", "T's confidence", columns=2
    )
    (figure,) = drawn
    first, second, below, empty = figure.axes
    pasted, existing = to_rgba(pictures.PASTED), to_rgba(pictures.EXISTING)
    assert colours(first) == [existing, pasted] and colours(second) == [pasted]
    assert [text.get_text() for text in first.texts] == ["0.12"]
    # A box's edge is that of its pixels' squares.
    rectangle = first.patches[1]
    assert (*rectangle.get_xy(), rectangle.get_width()) == (-0.5, -0.5, 10)
    assert second.images[0].get_array()[0, 0].tolist() == [255, 0, 0]
    assert first.get_ylabel() == "cycle 1" and below.get_ylabel() == "cycle 2"
    assert not below.images and not empty.get_visible()


def test_detections_show_the_images_that_changed_most(tmp_path: Path, drawn: list[Any]) -> None:
    image = torch.zeros(3, 40, 40, dtype=torch.uint8)
    targets = [objects(BOX), objects(BOX, OTHER, FAR, ignore=(2,)), objects(BOX), objects()]
    both = detected((BOX, 0.9, 1), (OTHER, 0.9, 1), (FAR, 0.9, 1))
    before = [detected((BOX, 0.9, 1)), detected(), detected((BOX, 0.9, 1)), detected()]
    after = [detected((BOX, 0.9, 1)), both, detected((FAR, 0.9, 1)), both]
    pictures.detections(
        tmp_path / "detections.png",
        lambda number: (image, targets[number]),
        before,
        after,
        "title",
        columns=2,
    )
    (figure,) = drawn
    # The ignored object is found too, but neither counted nor drawn.
    assert "title: 2 objects gained, 1 lost on 4 images" in figure.get_suptitle()
    found, missed, false = (
        to_rgba(name) for name in (pictures.FOUND, pictures.MISSED, pictures.FALSE)
    )
    assert [colours(axes) for axes in figure.axes] == [
        [missed, missed],
        [found],
        [found, found],
        [false, missed],
    ]
    assert [axes.get_ylabel() for axes in figure.axes] == ["before", "", "after", ""]


def test_nothing_to_show_leaves_no_file_and_unequal_lists_are_named(tmp_path: Path) -> None:
    pictures.composites(tmp_path / "a.png", [], "title", "")
    pictures.detections(tmp_path / "b.png", lambda _: (torch.zeros(0), {}), [], [], "title")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="after: got 0 images, wanted 1"):
        pictures.detections(
            tmp_path / "b.png", lambda _: (torch.zeros(0), {}), [detected()], [], "title"
        )
