"""COCO masks of any origin: good ones decode as in pycocotools, the others are counted."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from compositor.data import labels, masks, prepared
from compositor.data.read import layouts, listing
from compositor.data.records import Skip
from tests.data import tiny_data
from tests.data.tiny_data import rectangle

SIZE = (90, 120)
BOX = (10, 10, 50, 80)
GOOD = [10, 10, 50, 10, 50, 80, 10, 80]
OTHER = [60.5, 10.25, 110, 10, 85, 80.75]
BAD: list[Any] = [
    [], [5, 5], [5, 5, 9, 9], GOOD[:-1], 7, None, "GOOD", [GOOD], [None] * 8, [*GOOD[:-1], None],
    [*GOOD[:-1], float("nan")], [*GOOD[:-1], float("inf")], [*GOOD[:-1], 1e30], [*GOOD[:-1], -1e7],
    [*GOOD[:-1], 10**400], [*GOOD[:-1], "x"], [*GOOD[:-1], True],
]  # fmt: skip
"""No polygons; a null or a huge number among them ended the process inside pycocotools."""


def truth(polygons: list[list[float]]) -> np.ndarray:
    """pycocotools' own, which is right for good polygons."""
    found = coco_mask.merge(coco_mask.frPyObjects(polygons, *SIZE))
    return np.asarray(coco_mask.decode(found).astype(bool))


def compressed(mask: np.ndarray) -> str:
    found = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    assert isinstance(found, bytes)
    return found.decode()


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: str(bad)[:40])
def test_a_bad_polygon_costs_nothing_beside_a_good_one(bad: Any) -> None:
    for segmentation in ([bad, GOOD, OTHER], [GOOD, bad, OTHER], [GOOD, OTHER, bad]):
        mask, whole = masks.decode(segmentation, SIZE, "a/1")
        assert np.array_equal(mask, truth([GOOD, OTHER]))
        assert not whole
    with pytest.raises(Skip, match="a/1: broken mask"):
        masks.decode([bad, bad], SIZE, "a/1")


def test_good_polygons_are_pycocotools_own() -> None:
    # Beyond the picture, and as strings, as some tools write numbers.
    wide = [-300.5, -20, 400, 30.5, 60, 800]
    for polygons in ([GOOD], [GOOD, OTHER], [wide]):
        mask, whole = masks.decode(polygons, SIZE, "a")
        assert whole
        assert np.array_equal(mask, truth(polygons))
        strings = [list(map(str, polygon)) for polygon in polygons]
        assert np.array_equal(masks.decode(strings, SIZE, "a")[0], mask)


def test_what_pycocotools_decodes_is_not_copied() -> None:
    side = 1000
    held = labels.encode(rectangle(side, side, (1, 2, 30, 40)))
    ring = [1, 2, 30, 2, 30, 40, 1, 40]
    decoders = lambda: masks.decode([ring], (side, side), "a")[0], lambda: labels.decode(held)
    for decoded in decoders:
        tracemalloc.start()
        try:
            mask = decoded()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert mask.dtype == np.bool_ and (mask == rectangle(side, side, (1, 2, 30, 40))).all()
        assert mask.size <= peak < 1.1 * mask.size


def test_run_lengths_are_pycocotools_own() -> None:
    random = np.random.default_rng(0)
    corner = rectangle(*SIZE, (0, 0, 3, 90))  # the first run, of zeros, is empty
    noise = random.random(SIZE) < 0.5
    for mask in (rectangle(*SIZE, BOX), corner, noise, np.zeros(SIZE, bool), np.ones(SIZE, bool)):
        found = {"size": list(SIZE), "counts": compressed(mask)}
        assert np.array_equal(masks.decode(found, SIZE, "a")[0], mask)
        changes = np.flatnonzero(np.diff(np.concatenate([[0], mask.T.ravel(), [2]])))
        runs = np.diff(np.concatenate([[0], changes])).tolist()
        assert np.array_equal(masks.decode(found | {"counts": runs}, SIZE, "a")[0], mask)


def test_broken_run_lengths_are_counted() -> None:
    good = compressed(rectangle(*SIZE, BOX))
    area = SIZE[0] * SIZE[1]
    broken: list[Any] = [
        None, 7, "", [], good[:-1], good + "1", good + "o", "o" * 10_000, "\x00" + good, good * 2,
        "é",
        [area - 1], [area + 1], [-1, area + 1], [1.5, area - 1.5], [None, area], ["1", area - 1],
        [10**30], [True, area - 1],
    ]  # fmt: skip
    for counts in broken:
        with pytest.raises(Skip, match="a/1: broken mask"):
            masks.decode({"size": list(SIZE), "counts": counts}, SIZE, "a/1")
    for size in (None, [90], "90 120", 7):
        with pytest.raises(Skip, match="a/1: broken mask"):
            masks.decode({"size": size, "counts": good}, SIZE, "a/1")
    for size in ([120, 90], [90, None], [1, 2]):
        with pytest.raises(Skip, match="a/1: image and mask differ in size"):
            masks.decode({"size": size, "counts": good}, SIZE, "a/1")
    for other in ("polygon", 7, True):
        with pytest.raises(Skip, match="a/1: broken mask"):
            masks.decode(other, SIZE, "a/1")


def test_every_object_of_a_file_is_kept_or_counted(tmp_path: Path) -> None:
    def entry(segmentation: Any, category: int = 3) -> dict[str, Any]:
        x1, y1, x2, y2 = BOX
        bbox = [x1, y1, x2 - x1, y2 - y1]
        return {"category_id": category, "bbox": bbox, "segmentation": segmentation}

    other = {"size": [9, 9], "counts": [81]}
    found = [entry([[]]), entry([[5, 5], GOOD]), entry([GOOD]), entry([[None] * 6]), entry(other)]
    tiny_data.coco(tmp_path, {"a.jpg": found})
    cutouts = prepared.prepare_cutouts(
        listing.cutouts(layouts.find(tmp_path)), tmp_path / "p", (50, 50)
    )
    assert cutouts.names == ["a.jpg/2", "a.jpg/3"]
    assert cutouts.left_out == {
        "broken mask": ["a.jpg/1", "a.jpg/4"],
        "broken part of a mask": ["a.jpg/2"],
        "image and mask differ in size": ["a.jpg/5"],
    }
    json.dumps(cutouts.summary)


def test_two_levels_are_a_mask_whatever_they_are() -> None:
    mask = rectangle(*SIZE, BOX)
    for low, high in ((0, 1), (0, 255), (7, 9), (100, 40_000), (False, True)):
        levels = np.where(mask, high, low)
        assert np.array_equal(masks.levels_mask(levels, "a"), mask)
    with pytest.raises(Skip, match="a: mask of a single level"):
        masks.levels_mask(np.full(SIZE, 255), "a")


def test_a_soft_edge_is_cut_at_half_and_what_is_none_is_refused() -> None:
    mask = rectangle(*SIZE, BOX)
    x1, y1, x2, _ = BOX
    for low, high in ((0, 255), (5, 250), (0, 65_535)):
        levels = np.where(mask, high, low).astype(np.uint16)
        levels[y1, x1:x2] = (low + high) // 2  # just below half
        levels[y1 + 1, x1:x2] = (low + high) // 2 + 1
        cut = mask.copy()
        cut[y1] = False
        assert np.array_equal(masks.levels_mask(levels, "a"), cut)
    objects = np.where(mask, 255, 0) + np.where(rectangle(*SIZE, (0, 0, 30, 30)) & ~mask, 128, 0)
    numbers = np.where(mask, 40, 0) + np.eye(*SIZE, dtype=int)
    gradient = np.tile(np.linspace(0, 255, SIZE[1]), (SIZE[0], 1))
    for levels in (numbers, gradient, objects):
        with pytest.raises(Skip, match="a: mask of more than two levels"):
            masks.levels_mask(levels, "a")
