"""Generated pictures' objects beside real ones': counts and distances worked by hand."""

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import ks_2samp

from compositor.data.records import Annotation
from compositor.generate import generate, likeness, material, statistics
from compositor.generate.config import Config
from compositor.generate.likeness import Measured, distance, distances
from compositor.generate.shards import Shards
from compositor.scenes.law import MATCHED
from tests.data import labelled, tiny_data
from tests.generate.tiny import LAW, config, counted


def only(counts: np.ndarray) -> dict[tuple[int, ...], int]:
    """The parts that hold anything."""
    return {tuple(map(int, at)): int(counts[tuple(at)]) for at in np.argwhere(counts)}


def test_counts_by_hand() -> None:
    """A wide picture, 100 high: the second box lies half in the first, the third is to ignore."""
    boxes = [((0, 0, 60, 80), 1, False), ((50, 0, 70, 40), 2, False), ((0, 0, 9, 9), 1, True)]
    found = Measured()
    found.add((Annotation.of(boxes), (100, 200)))
    found.add((Annotation.of(boxes[2:]), (100, 200)))
    found.add((Annotation.of(), (100, 200)))
    assert (found.pictures, found.objects) == (1, 2)
    assert only(found.counts["number"]) == {(1,): 1}
    # Roots of 4800 / 20000 and of 800 / 20000: 0.49, 2^-1.03, and 0.2, 2^-2.32, in quarters from -7
    assert only(found.counts["size"]) == {(23,): 1, (18,): 1}
    # 60 / 80 = 2^-0.42 and 20 / 40 = 2^-1, in quarters from -3.
    assert only(found.counts["aspect"]) == {(10,): 1, (8,): 1}
    # 400 of 4800, and 400 of 800, in twentieths.
    assert only(found.counts["overlap"]) == {(1,): 1, (10,): 1}
    # (30, 40) and (60, 20) of (200, 100), in twelfths: rows first.
    assert only(found.counts["place"]) == {(4, 1): 1, (2, 3): 1}


def test_what_is_beyond_the_parts_is_in_the_first_and_the_last() -> None:
    found = Measured()
    found.add((Annotation.of([((0, 0, 1000, 1), 1, False)] * 30), (1000, 1000)))
    found.add((Annotation.of([((0, 0, 1, 1), 1, False)]), (1000, 1000)))
    assert only(found.counts["number"]) == {(0,): 1, (19,): 1}
    assert only(found.counts["size"]) == {(0,): 1, (8,): 30}  # 1/1000, and its root: 2^-4.98
    assert only(found.counts["aspect"]) == {(12,): 1, (23,): 30}
    assert only(found.counts["overlap"]) == {(0,): 1, (19,): 30}


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        ([2, 2], [1, 1], 0),
        ([1, 1, 0], [0, 1, 1], 0.5),
        ([3, 0, 0, 1], [0, 0, 4, 0], 0.75),
        ([5, 0], [0, 1], 1),
        # Alike along x and along y, and each half in quadrants where the other has nothing.
        ([[1, 0], [0, 1]], [[0, 1], [1, 0]], 0.5),
        ([[0, 7], [0, 0]], [[0, 0], [1, 1]], 1),
    ],
)
def test_distances_by_hand(first: list[int], second: list[int], wanted: float) -> None:
    assert distance(np.array(first), np.array(second)) == pytest.approx(wanted, abs=1e-12)
    assert distance(np.array(second), np.array(first)) == pytest.approx(wanted, abs=1e-12)


def test_a_distance_is_the_statistic_of_the_kolmogorov_smirnov_test() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        first, second = random.integers(0, 9, 60), random.integers(2, 12, 35)
        counts = [np.bincount(values, minlength=12) for values in (first, second)]
        wanted = ks_2samp(first, second).statistic
        assert distance(*counts) == pytest.approx(wanted, abs=1e-12)


def test_in_two_dimensions_it_is_the_largest_difference_in_a_quadrant() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        first, second = random.integers(0, 5, (2, 4, 6))
        apart = first / first.sum() - second / second.sum()
        quadrants = [
            apart[rows, columns].sum()
            for row, column in product(range(5), range(7))
            for rows in (slice(row), slice(row, None))
            for columns in (slice(column), slice(column, None))
        ]
        wanted = max(map(abs, quadrants))
        assert distance(first, second) == pytest.approx(wanted, abs=1e-12)


def test_without_an_object_there_is_no_distance() -> None:
    some, none = Measured.of([(Annotation.of([((0, 0, 5, 5), 1, False)]), (9, 9))]), Measured()
    assert distances(some, None) == distances(some, none) == distances(none, some) == {}
    assert distances(some, some) == dict.fromkeys(likeness.TITLES, 0)


def annotated(folder: Path, pictures: int = 5) -> Path:
    """COCO, with a ball more in each picture, and a cube that nobody pastes."""
    objects = [
        [
            {"bbox": [10 * n, 5, 30 + 5 * n, 40], "category_id": 3, "segmentation": []}
            for n in range(k + 1)
        ]
        + [{"bbox": [0, 0, 90, 80], "category_id": 6, "segmentation": []}]
        for k in range(pictures)
    ]
    tiny_data.coco(folder, {f"{k}.jpg": each for k, each in enumerate(objects)}, ("ball", "cube"))
    return folder


def test_the_command_tells_how_far_from_the_real_pictures_it_is(tmp_path: Path) -> None:
    match = (annotated(tmp_path / "coco"),)
    generate(config(tmp_path, "out", count=12, match=match))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    pictures = list(Shards(tmp_path / "out", 12).pictures())
    numbers = [len(picture.instances) for picture in pictures]
    wanted = ks_2samp([n for n in numbers if n], [1, 2, 3, 4, 5]).statistic
    assert report["distances"]["number"] == pytest.approx(wanted, abs=1e-12)
    assert list(report["distances"]) == ["number", "size", "aspect", "overlap", "place"]
    assert "Distance from the real pictures" in (tmp_path / "out" / "report.html").read_text()
    generate(config(tmp_path, "alone", count=12))
    report = json.loads((tmp_path / "alone" / "report.json").read_text())
    assert report["distances"] == {}
    assert "Distance" not in (tmp_path / "alone" / "report.html").read_text()
    drawn = [Image.open(tmp_path / name / "statistics.png").size for name in ("out", "alone")]
    assert drawn[0] == (drawn[1][0], 2 * drawn[1][1])


def test_the_backgrounds_annotations_are_real_ones_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few suffice, spread over those that are annotated; a matched law takes them all."""

    def pictures(options: Config) -> int | None:
        real = material.read(options).real
        return None if real is None else real.pictures

    options = config(tmp_path, "out")
    assert pictures(options) is None
    coco = annotated(tmp_path / "coco")
    options = replace(options, backgrounds=(*options.backgrounds, coco))
    assert pictures(options) == 5
    monkeypatch.setattr(material, "MEASURED", 2)
    assert pictures(options) == 2
    assert pictures(replace(options, law=replace(LAW, placement=MATCHED.placement))) == 5


@pytest.mark.filterwarnings("error")
def test_both_are_drawn(tmp_path: Path) -> None:
    """The real ones are where the generated are not: each panel holds both."""
    made = counted(labelled.pictures(tmp_path / "shard"), labelled.CLASSES)
    real = Measured.of([(Annotation.of([((0, 0, 40, 10), 1, False)] * 9), (40, 56))])
    statistics.write(made, tmp_path / "both.png", real)
    statistics.write(made, tmp_path / "same.png", made.measured)
    both, same = (
        np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"), int)
        for name in ("both", "same")
    )
    half = len(both) // 2
    assert (both[:half] == same[:half]).all()
    height, width = (half - 100) // 2, both.shape[1] // 3
    for row, column in product((0, 1), (0, 1, 2)):
        at = (
            slice(half + 100 + row * height, half + 100 + (row + 1) * height),
            slice(column * width, (column + 1) * width),
        )
        assert (both[at] != same[at]).any(), (row, column)
