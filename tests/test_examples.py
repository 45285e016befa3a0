"""The examples: each once in its own process, then executed in this one, which is quicker."""

import importlib
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

ROOT = Path(__file__).parents[1]


def as_user(script, *arguments, folder):
    """Run an example in its own process with ``folder`` as the working directory."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, ROOT / "examples" / script, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture
def succeed(tmp_path, monkeypatch, capsys):
    """Execute an example in ``tmp_path``; return what it prints."""

    def execute(script, *arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(ROOT / "examples")
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        runpy.run_path(str(ROOT / "examples" / script), run_name="__main__")
        return capsys.readouterr().out

    return execute


@pytest.fixture
def refuse(tmp_path, succeed):
    """Execute an example that has to fail; return its one line of complaint."""

    def execute(script, *arguments):
        with pytest.raises(SystemExit) as caught:
            succeed(script, *arguments)
        assert isinstance(caught.value.code, str) and "\n" not in caught.value.code
        assert not list(tmp_path.glob(".*"))  # no temporary file
        return caught.value.code

    return execute


@pytest.fixture
def files(tmp_path):
    """A red block of 24 x 16 on green, as RGBA and with both kinds of mask; a blue scene."""
    colours = np.zeros((40, 50, 3), np.uint8)
    colours[..., 1] = 255
    mask = np.zeros((40, 50), np.uint8)
    mask[10:26, 20:44] = 255
    colours[mask > 0] = 255, 0, 0
    Image.fromarray(colours).save(tmp_path / "photo.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.fromarray(255 - mask).save(tmp_path / "inverted.png")
    Image.fromarray(np.dstack((colours, mask))).save(tmp_path / "cutout.png")
    scene = np.zeros((90, 120, 3), np.uint8)
    scene[..., 2] = 255
    Image.fromarray(scene).save(tmp_path / "scene.png")
    return tmp_path


@pytest.mark.parametrize(
    "foreground",
    [
        ("--foreground", "cutout.png"),
        ("--foreground", "photo.png", "--mask", "mask.png"),
        ("--foreground", "photo.png", "--mask", "inverted.png", "--invert-mask"),
    ],
)
def test_cut_out_lands_on_the_box(files, succeed, foreground):
    place = ("--background", "scene.png", "--box", 30, 20, 54, 36, "--count", 1, "--sigma", 0)
    printed = succeed("composite_images.py", *foreground, *place)
    assert "composite 1: box 30 20 54 36, 100% inside the canvas" in printed
    picture = np.asarray(Image.open(files / "composites.png").convert("RGB"))
    # Two panels of 120 x 90 with gaps of 4: the composite is the second.
    assert picture.shape == (98, 252, 3)
    composite = picture[4:94, 128:248]
    inner = composite[22:34, 32:52]  # within the drawn box, 2 pixels wide
    assert (inner == (255, 0, 0)).all()
    outside = np.ones((90, 120), bool)
    outside[20:36, 30:54] = False
    assert (composite[outside] == (0, 0, 255)).all()


def test_object_across_the_border_is_cut_and_one_beyond_is_not_visible(files, succeed):
    place = ("--foreground", "cutout.png", "--background", "scene.png", "--count", 1, "--sigma", 0)
    printed = succeed("composite_images.py", *place, "--box", 108, 82, 132, 98)
    assert "composite 1: box 108 82 120 90, 25% inside the canvas" in printed
    printed = succeed("composite_images.py", *place, "--box", 130, 82, 154, 98)
    assert "composite 1: not visible, 0% inside the canvas" in printed


def test_committed_picture_is_what_the_command_makes(tmp_path):
    process = as_user("composite_images.py", "--seed", 5, "--output", "a/b.png", folder=tmp_path)
    assert process.returncode == 0, process.stderr
    seen = re.findall(r"composite \d: box \d+ \d+ \d+ \d+, \d+% inside", process.stdout)
    assert len(seen) == 9 and [path.name for path in (tmp_path / "a").iterdir()] == ["b.png"]
    made = np.asarray(Image.open(tmp_path / "a" / "b.png"), np.int16)
    committed = np.asarray(Image.open(ROOT / "examples" / "composites.png"), np.int16)
    assert made.shape == committed.shape
    # Machines round differently: a level here and there, nothing that moves an object.
    assert np.abs(made - committed).mean() < 0.5


def test_hidden_object_has_no_box(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples")
    example = importlib.import_module("composite_images")
    low, high = torch.ones(1, 1, 10, 20), torch.ones(1, 1, 40, 40)
    config = example.Config(box=(10, 10, 30, 30), sigma=0)
    cutouts = [(mask.expand(-1, 3, -1, -1), mask) for mask in (low, high)]
    _, boxes, inside = example.compose(
        cutouts, torch.zeros(1, 3, 50, 50), config, torch.Generator()
    )
    assert boxes == [None, (10, 10, 30, 30)] and inside == [1, 1]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--foreground", "none.png"), "none.png: No such file or directory"),
        (("--foreground", "text.png"), "text.png: wanted a picture"),
        (("--foreground", "photo.png"), "photo.png: got no transparent pixel"),
        (("--mask", "mask.png"), "--mask: got 1 for 0 foregrounds"),
        (("--foreground", "cutout.png", "--invert-mask"), "--invert-mask: got no --mask"),
        (
            ("--foreground", "photo.png", "--mask", "scene.png"),
            r"scene.png: got size \(90, 120\), wanted \(40, 50\) as photo.png",
        ),
        (
            ("--foreground", "scene.png", "--mask", "scene.png", "--background", "scene.png"),
            "scene.png: got an empty mask",
        ),
        (("--box", 30, 20, 30, 40), r"--box: got \(30, 20, 30, 40\), wanted x1 < x2"),
        (("--count", 0), "--count, --objects: got 0, 3, wanted 1 or more"),
        (("--sigma", -1), "sigma: got -1.0"),
        (("--foreground", "a\0b.png"), "b.png: embedded null byte"),
        (("--seed", -1), "--seed: got -1, wanted 0 to 9223372036854775807"),
        (("--output", "here.txt"), "--output: got here.txt"),
        (("--output", "text.png/x.png"), r"--output: text.png/x.png: .* \((File exists|Not a dir)"),
        (("--output", f"{'x' * 300}.png"), r"--output: x+.png: .* \(File name too long\)"),
        (("--output", "folder.png"), "--output: got folder.png, a folder, wanted a picture's name"),
    ],
)
def test_composite_images_refuses(files, refuse, arguments, complaint):
    (files / "text.png").write_text("no picture")
    (files / "folder.png").mkdir()
    assert re.search(complaint, refuse("composite_images.py", *arguments))
    assert not (files / "composites.png").exists()


def test_transform_is_recovered(tmp_path):
    process = as_user("fit_transform.py", folder=tmp_path)
    assert process.returncode == 0, process.stderr
    rows = re.findall(r"^(\w+)" + r" +(-?\d+\.\d+)" * 3 + "$", process.stdout, re.MULTILINE)
    names = ["angle", "shear", "scale_x", "scale_y", "translate_x", "translate_y"]
    assert [row[0] for row in rows] == names
    start, truth, found = np.array([row[1:] for row in rows], float).T
    assert truth.tolist() == [-35, 0.2, 0.8, 0.6, 40, -20] and (np.abs(start - truth) > 0.05).all()
    # A hundredth of a pixel at the object's rim, in degrees, slope, scale and pixels.
    np.testing.assert_allclose(found, truth, rtol=0, atol=0.05)
    assert (np.abs(found - truth)[1:4] < 0.002).all()
    strip = Image.open(tmp_path / "fit_transform.png")
    assert strip.size == (6 * 244 - 4, 180)
    panels = [np.asarray(strip.crop((x, 0, x + 240, 180)), float) for x in range(0, 1464, 244)]
    centre = [panel[30:150, 20:220] for panel in panels]  # beside the labels
    assert np.abs(centre[-1] - centre[0]).mean() < 3 < np.abs(centre[1] - centre[0]).mean()


def test_animation(tmp_path, succeed):
    near = ("--truth", -10, 0.05, 0.75, 0.65, 8, -5)  # found to 0.03 pixels in these few steps
    succeed("fit_transform.py", "--output", "fit.gif", "--steps", 100, *near)
    with Image.open(tmp_path / "fit.gif") as animation:
        assert animation.n_frames == 51 and animation.size == (240, 180)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--steps", 0), "--steps: got 0, wanted 1 or more"),
        (("--learning-rate", 0), "--learning-rate: got 0.0, wanted more than 0"),
        (("--truth", 0, 0, 0, 1, 0, 0), r"--truth: got scales \(0.0, 1.0\), wanted them above 0"),
        (("--truth", 0, 0, 1, "nan", 0, 0), r"--truth: got scales \(1.0, nan\), wanted them"),
        (("--output", "fit.txt"), "--output: got fit.txt"),
        (("--steps", 2), "not recovered: wanted"),
    ],
)
def test_fit_transform_refuses(refuse, arguments, complaint):
    assert re.search(complaint, refuse("fit_transform.py", *arguments))
