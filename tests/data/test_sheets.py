"""Contact sheets: what they show, and where."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compositor.data import prepared, sheets
from compositor.data.read import bigbird, voc
from compositor.data.sheets import GREEN, GREY, TILE, YELLOW
from tests.data import tiny_data
from tests.data.tiny_data import rectangle

SIZE = (90, 120)


def test_kept_cutouts_on_grey_with_their_boxes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_data.bigbird(tmp_path / "d", ["a", "b"], views=9)
    cutouts = prepared.prepare_cutouts(bigbird.cutouts(tmp_path / "d"), tmp_path / "c", (100, 100))
    sheets.contact_sheet(cutouts, tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (2 * TILE, 12 * TILE, 3)  # 18 of them
    tile = sheet[:TILE, :TILE]
    scale = (TILE - 2) / 100
    x1, y1, x2, y2 = sheets.box_of(cutouts.image(0)[3].numpy() > 0)
    assert (tile[5, 5] == GREY).all()
    (rows, columns) = np.nonzero((tile == GREEN).all(-1))
    edges = np.array([columns.min(), rows.min(), columns.max(), rows.max()])
    # Lines are a pixel wide, on the box's first and last pixels.
    assert np.abs(edges - (1 + scale * np.array([x1, y1, x2 - 1, y2 - 1]))).max() <= 1
    assert (sheet[TILE:, 6 * TILE :] == 255).all()
    monkeypatch.setattr(sheets, "ROWS", 1)
    sheets.contact_sheet(cutouts, tmp_path / "sheet.png")
    assert Image.open(tmp_path / "sheet.png").size == (12 * TILE, TILE)


def test_what_was_left_out_by_reason(tmp_path: Path) -> None:
    root = tmp_path / "VOC2007"
    box = (20, 10, 60, 80)
    masks = {"1": box, "2": (20, 10, 60, 40), "3": box, "4": box}
    for identifier, mask in masks.items():
        instances = {1: rectangle(*SIZE, mask)}
        tiny_data.voc_image(root, identifier, [("person", box, 0)], instances, SIZE)
    tiny_data.voc_sets(root, Segmentation_trainval=[*masks])
    (root / "JPEGImages" / "4.jpg").unlink()
    records = voc.cutouts(tmp_path, [("2007", "trainval")])
    cutouts = prepared.prepare_cutouts(records, tmp_path / "c", SIZE)
    assert cutouts.names == ["VOC2007/1/1", "VOC2007/3/1"]
    sheets.clean_up_sheet(records, cutouts, tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    # A row for the one that disagrees, none for the missing photograph, one for the two kept.
    assert sheet.shape == (2 * TILE, 12 * TILE, 3)
    assert not (sheet[:TILE, 3 * TILE :] != 255).any()
    assert (sheet[TILE:, 6 * TILE :] == 255).all()
    scale = (TILE - 2) / 120
    annotated, mask, own = np.split(sheet[:TILE, : 3 * TILE], 3, axis=1)
    for tile in (annotated, mask):
        (_, columns) = np.nonzero((tile == YELLOW).all(-1))
        assert abs(columns.min() - (1 + scale * 20)) <= 1
        assert abs(columns.max() - (1 + scale * 59)) <= 1
    (rows, _) = np.nonzero((own == GREEN).all(-1))
    assert abs(rows.max() - (1 + scale * 39)) <= 1  # the mask's box, not the annotated one
    assert (mask[round(scale * 25), round(scale * 40)] == 255).all()
    assert (mask[round(scale * 60), round(scale * 40)] == 0).all()


def test_objects_that_are_their_image_are_found_too(tmp_path: Path) -> None:
    tiny_data.bigbird(tmp_path / "d", ["a"], views=2)
    tiny = ~rectangle(80, 80, (20, 10, 30, 20))
    tiny_data.save(tmp_path / "d" / "a" / "masks" / "NP1_0_mask.pbm", tiny)
    records = bigbird.cutouts(tmp_path / "d")
    cutouts = prepared.prepare_cutouts(records, tmp_path / "c", (100, 100))
    sheets.clean_up_sheet(records, cutouts, tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (2 * TILE, 12 * TILE, 3)
    for row in (sheet[:TILE], sheet[TILE:]):
        assert (row[:, 2 * TILE : 3 * TILE] == GREEN).all(-1).any()
        assert not (row == YELLOW).all(-1).any()
