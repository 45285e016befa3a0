import importlib
import re

import numpy as np
import pytest
from PIL import Image

from tests.examples.commands import EXAMPLES, as_user


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
    printed = succeed("scene.py", *foreground, *place)
    assert f"1 {foreground[1]}: box 30 20 54 36, 0% occluded, 0% truncated\n" in printed
    picture = np.asarray(Image.open(files / "composites.png").convert("RGB"))
    plain, labelled = picture[:90, :120], picture[:90, 124:244]
    there = np.zeros((90, 120), bool)
    there[20:36, 30:54] = True
    assert (plain[there] == (255, 0, 0)).all() and (plain[~there] == (0, 0, 255)).all()
    # One pixel of outline, all of it on the object; to the right of the number the tinted mask.
    colour = labelled[20, 30]
    outline = there.copy()
    outline[21:35, 31:53] = False
    assert (labelled[outline] == colour).all() and (labelled[~there] == (0, 0, 255)).all()
    assert (labelled[21:35, 46:53] == np.rint((colour + np.array((255.0, 0, 0))) / 2)).all()


def test_labels_are_those_of_painted_rectangles(files, succeed):
    Image.new("RGBA", (24, 16), "white").save(files / "opaque.png")
    Image.new("L", (24, 16), 255).save(files / "full.png")
    random = np.random.default_rng(0)
    corners = random.integers((-10, -6), (110, 84), (12, 2))
    boxes = np.concatenate((corners, corners + random.integers((6, 5), (25, 17), (12, 2))), 1)
    boxes[1] = boxes[5]  # hidden
    boxes[2] = (130, 10, 150, 20)  # outside
    two = ("--foreground", "photo.png", "opaque.png", "--mask", "mask.png", "full.png")
    # Seed 1 draws the reverse order of two files, but boxes are for files in their own.
    place = ("--background", "scene.png", "--count", 1, "--sigma", 0, "--box", *boxes.flatten())
    printed = succeed("scene.py", *two, *place, "--seed", 1).splitlines()
    plain, owner = np.full((90, 120, 3), (0, 0, 255), np.uint8), np.full((90, 120), -1)
    whole = []
    for index, (x1, y1, x2, y2) in enumerate(boxes):
        part = slice(max(y1, 0), max(y2, 0)), slice(max(x1, 0), max(x2, 0))
        plain[part] = ((255, 0, 0), (255, 255, 255))[index % 2]
        owner[part] = index
        whole.append(owner[part].size)
    picture = np.asarray(Image.open(files / "composites.png").convert("RGB"))
    assert (picture[:90, :120] == plain).all()
    assert len(printed) == 13
    for index, (x1, y1, x2, y2) in enumerate(boxes):
        y, x = np.nonzero(owner == index)
        seen = "not visible"
        if len(y):
            seen = f"box {x.min()} {y.min()} {x.max() + 1} {y.max() + 1}"
        assert f": {seen}, " in printed[index]
        hidden, beyond = (int(part) for part in re.findall(r"(\d+)%", printed[index]))
        # Half of a percent, and float32's rounding of it.
        assert abs(hidden - 100 * (1 - len(y) / whole[index] if whole[index] else 0)) < 0.5 + 1e-4
        assert abs(beyond - 100 * (1 - whole[index] / ((x2 - x1) * (y2 - y1)))) < 0.5 + 1e-4
    assert "not visible, 100% occluded, 0% truncated" in printed[1]
    assert "not visible, 0% occluded, 100% truncated" in printed[2]


def test_object_shows_no_fringe_of_what_it_was_cut_from(files, succeed):
    Image.new("RGB", (120, 90), "red").save(files / "red.png")
    mask = np.zeros((40, 50), np.uint8)
    mask[10:26, 20:24] = mask[22:26, 20:44] = 255
    colours = np.where(mask[..., None] > 0, (255, 0, 0), (0, 255, 0))
    Image.fromarray(np.dstack((colours, mask)).astype(np.uint8)).save(files / "angle.png")
    for size in (0.1, 0.8):
        options = ("--size", size, size, "--sigma", 1.5, "--background", "red.png")
        succeed("scene.py", "--foreground", "angle.png", *options)
        picture = np.asarray(Image.open(files / "composites.png").convert("RGB"))
        assert (picture[:90, :120] == (255, 0, 0)).all()


def test_small_object_averages_its_pixels(files, succeed):
    grey = np.random.default_rng(0).integers(0, 2, (320, 480)) * 255
    pixels = np.dstack([grey] * 3 + [np.full_like(grey, 255)]).astype(np.uint8)
    pixels[0, 0, 3] = 254  # transparency
    Image.fromarray(pixels).save(files / "noise.png")
    place = ("--background", "scene.png", "--count", 1, "--sigma", 0, "--box", 30, 20, 54, 36)
    succeed("scene.py", "--foreground", "noise.png", *place)
    shown = np.asarray(Image.open(files / "composites.png").convert("RGB"))[20:36, 30:54]
    # The mean of 20 x 20 pixels is within 6.4 of grey, or here six times that, and not black.
    assert np.abs(shown - 127.5).max() < 38


def test_each_file_of_a_folder_is_used_before_any_is_again(files, succeed):
    (files / "cups" / "blue").mkdir(parents=True)
    cutout = Image.open(files / "cutout.png")
    for name in ("a.png", "b.png", "blue/c.webp", "d.png", "e.PNG"):
        cutout.save(files / "cups" / name)
    (files / "cups" / "notes.txt").write_text("no picture")
    orders = []
    for seed in range(3):
        options = ("--foreground", "cups", "--count", 2, "--objects", 5, "--seed", seed)
        orders.append(re.findall(r"^composite \d, \d (\S+):", succeed("scene.py", *options), re.M))
    names = ["a.png", "b.png", "c.webp", "d.png", "e.PNG"]
    assert all(sorted(each[:5]) == names and each[:5] == each[5:] for each in orders)
    assert len(set(map(tuple, orders))) > 1


def test_committed_picture_is_what_the_command_makes(tmp_path):
    process = as_user("scene.py", "--seed", 5, "--output", "a/b.png", folder=tmp_path)
    assert process.returncode == 0, process.stderr
    line = r"composite \d, \d balloon \d: box \d+ \d+ \d+ \d+, \d+% occluded, \d+% truncated"
    assert len(re.findall(line, process.stdout)) == 16
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.png"]
    made = np.asarray(Image.open(tmp_path / "a" / "b.png"), np.int16)
    committed = np.asarray(Image.open(EXAMPLES / "composites.png"), np.int16)
    assert made.shape == committed.shape
    # Machines round differently: a level here and there, nothing that moves an object.
    assert np.abs(made - committed).mean() < 0.5


def test_nothing_is_left_of_a_picture_that_cannot_be_renamed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    pictures = importlib.import_module("pictures")

    def refuse(*_):
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(ValueError, match="a.png: cannot be written .no space left"):
        pictures.write(Image.new("RGB", (2, 2)), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--foreground", "none.png"), "none.png: No such file or directory"),
        (("--foreground", "text.png"), "text.png: wanted a picture"),
        (("--foreground", "broken.png"), "broken.png: "),
        (("--foreground", "photo.png"), "photo.png: got no transparent pixel"),
        (("--foreground", "deep.png"), "deep.png: got levels of Pillow's mode I;16, wanted 8 bits"),
        (("--foreground", "empty"), "empty: got a folder without pictures"),
        (("--foreground", "a\0b.png"), "b.png: embedded null byte"),
        (("--background", "none.png"), "none.png: No such file or directory"),
        (("--background", "text.png"), "text.png: wanted a picture"),
        (("--background", "empty"), "empty: got a folder without pictures"),
        (("--mask", "mask.png"), "--mask: got 1 for 0 foregrounds, wanted one for each"),
        (("--foreground", "photo.png", "--mask", "empty"), "empty: Is a directory"),
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
        (("--box", 0, 0, 9, 9, 30, 20, 40, 20), r"--box: got \(30, 20, 40, 20\), wanted x1 < x2"),
        (("--box", 0, 0, 10**20, 9), "--box: got .*, wanted no side beyond 1000000 pixels"),
        (("--count", 0), "--count: got 0, wanted 1 or more"),
        (("--objects", 0), "--objects: got 0, wanted 1 or more"),
        (("--size", 0, 0.5), r"--size: got \(0.0, 0.5\), wanted 0 < least <= largest <= 2"),
        (("--size", 0.5, 0.4), r"--size: got \(0.5, 0.4\), wanted 0 < least <= largest <= 2"),
        (("--size", 0.5, "nan"), r"--size: got \(0.5, nan\), wanted 0 < least <= largest <= 2"),
        (("--sigma", -1), "sigma: got -1.0"),
        (("--seed", -1), "--seed: got -1, wanted 0 to 9223372036854775807"),
        (("--output", "here.txt"), "--output: got here.txt"),
        (("--output", "here.psd"), "--output: got here.psd"),  # which Pillow only reads
        (("--output", "here.xbm"), "--output: here.xbm: cannot be written"),  # it has no colours
        (("--output", "text.png/x.png"), r"--output: text.png/x.png: .* \((File exists|Not a dir)"),
        (("--output", f"{'x' * 300}.png"), r"--output: x+.png: .* \(File name too long\)"),
        (("--output", "folder.png"), "--output: got folder.png, a folder, wanted a picture's name"),
    ],
)
def test_scene_refuses(files, refuse, arguments, complaint):
    (files / "text.png").write_text("no picture")
    (files / "broken.png").write_bytes((files / "cutout.png").read_bytes()[:100])
    Image.fromarray(np.full((8, 8), 999, np.uint16)).save(files / "deep.png")
    (files / "folder.png").mkdir()
    (files / "empty").mkdir()
    there = set(files.rglob("*"))
    assert re.search(complaint, refuse("scene.py", *arguments))
    assert set(files.rglob("*")) == there
