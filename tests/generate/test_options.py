"""The command's options: presets, distractors, the JPEG's quality; and its progress bar."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
from PIL import Image
from pycocotools.coco import COCO

from compositor.data.labels import decode
from compositor.generate import generate
from compositor.generate.__main__ import main
from compositor.generate.shards import Shards
from compositor.scenes.law import PRESETS, Law, Look
from tests.data import tiny_data
from tests.generate.tiny import config, sources


def test_distractors_hide_and_are_nowhere_labelled(tmp_path: Path) -> None:
    cutouts, grounds = sources(tmp_path)
    # Red as nothing else is, as large as the objects.
    red = np.zeros((40, 40, 4), np.uint8)
    red[2:-2, 2:-2, [0, 3]] = 255
    tiny_data.save(tmp_path / "others" / "thing" / "red.png", red)
    plain = ("brightness", "0", "contrast", "0", "colour", "0", "quality", "100", "100")
    look = [word if word[0].isdigit() else f"--law.look.{word}" for word in plain]
    main(
        [
            *("--cutouts", str(cutouts), "--backgrounds", str(grounds)),
            *("--distractors", str(tmp_path / "others"), "--output", str(tmp_path / "out")),
            *("--count", "20", "--size", "96", "128", "--law.placement.objects", "1", "1"),
            *("--law.placement.distractors", "4", "4", "--law.look.blends", "hard", *look),
        ]
    )
    coco = COCO(str(tmp_path / "out" / "coco" / "annotations" / "instances_train.json"))
    assert {category["name"] for category in coco.cats.values()} == {"ball", "box"}
    hidden = red_pictures = 0
    for picture in Shards(tmp_path / "out", 20).pictures():
        pixels = np.asarray(Image.open(picture.file).convert("RGB"), int)
        is_red = (pixels[..., 0] > 200) & (pixels[..., 1:] < 90).all(-1)
        red_pictures += is_red.sum() > 50
        assert {found.label for found in picture.instances} <= {1, 2}
        assert not any("red" in str(found.cutout) for found in picture.instances)
        for found in picture.instances:
            assert found.mask is not None
            # Of one object alone nothing but a distractor hides a part.
            hidden += found.visibility < 1
            # JPEG halves the resolution of colours, so that red spills over by a pixel or two.
            assert not (decode(found.mask) & scipy.ndimage.binary_erosion(is_red, None, 2)).any()
    assert hidden >= 3 and red_pictures == 20


def test_the_paper_s_preset_pastes_one_object_a_picture(tmp_path: Path) -> None:
    cutouts, grounds = sources(tmp_path)
    main(
        [
            *("--preset", "paper", "--cutouts", str(cutouts), "--backgrounds", str(grounds)),
            *("--output", str(tmp_path / "out"), "--count", "10", "--size", "48", "64"),
        ]
    )
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["settings"]["law"] == repr(PRESETS["paper"])
    assert report["tally"]["objects"] == report["pictures"] == 10


def test_the_matched_preset_takes_sizes_and_numbers_from_annotated_pictures(tmp_path: Path) -> None:
    """Two objects of 60 x 50 pixels on each picture of 120 x 90: 0.61 of the shorter side."""
    rings = [[20, 20, 80, 20, 80, 70, 20, 70]], [[60, 40, 120, 40, 120, 90, 60, 90]]
    boxes = [20, 20, 60, 50], [60, 40, 60, 50]
    entries = [
        {"bbox": box, "segmentation": ring, "category_id": 3}
        for box, ring in zip(boxes, rings, strict=True)
    ]
    tiny_data.coco(tmp_path / "data", {f"{n}.jpg": entries for n in range(4)}, ("ball", "box"))
    cutouts, grounds = sources(tmp_path)
    main(
        [
            *("--preset", "matched", "--match", str(tmp_path / "data")),
            *("--cutouts", str(cutouts), "--backgrounds", str(grounds)),
            *("--output", str(tmp_path / "out"), "--count", "30", "--size", "48", "64"),
        ]
    )
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["settings"]["law"] == repr(PRESETS["matched"])
    found = [picture.instances for picture in Shards(tmp_path / "out", 30).pictures()]
    assert max(map(len, found)) == 2
    whole = [i for each in found for i in each if i.visibility * (1 - i.truncation) > 0.999]
    assert len(whole) >= 5
    for one in whole:
        x1, y1, x2, y2 = one.box
        # A tight box of whole pixels: up to half a pixel less on each side.
        assert ((x2 - x1) * (y2 - y1)) ** 0.5 == pytest.approx(48 * 3000**0.5 / 90, abs=1.5)


@pytest.mark.parametrize(("quality", "first"), [(30, 27), (90, 3)])
def test_the_quality_reaches_the_file(tmp_path: Path, quality: int, first: int) -> None:
    """The first number of the standard's luminance table is 16; libjpeg scales it by 5000 / q
    percent below 50, and 200 - 2 q percent above."""
    law = Law(look=Look(quality=(quality, quality)))
    generate(config(tmp_path, "out", count=3, law=law))
    files = [picture.file for picture in Shards(tmp_path / "out", 3).pictures()]
    assert [Image.open(file).quantization[0][0] for file in files] == [first] * 3


def test_a_terminal_sees_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    generate(config(tmp_path, "out"))
    told = terminal.getvalue().replace("\r", "\n").splitlines()
    scenes = [line for line in told if "scene/s" in line or "s/scene" in line or "?scene" in line]
    assert " 0/120 " in scenes[0] and " 120/120 " in scenes[-1]
    assert any(line.startswith("coco: 100%") and " 3/3 " in line for line in told)
