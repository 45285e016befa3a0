"""The command: what it writes, read back; one line for what a user gets wrong."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from pycocotools.coco import COCO

from compositor.data.labels import decode
from compositor.generate import Config, generate
from compositor.generate.__main__ import DESCRIPTION, main, parse
from compositor.generate.shards import Shards
from compositor.scenes.law import CUT_PASTE_LEARN, PRESETS
from tests.data import tiny_data
from tests.generate.tiny import config, sources


def test_one_command_makes_all_formats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cutouts, grounds = sources(tmp_path)
    main(
        [
            *("--cutouts", str(cutouts), "--backgrounds", str(grounds)),
            *("--output", str(tmp_path / "out"), "--count", "12", "--size", "48", "64"),
            *("--formats", "coco", "yolo", "yolo-seg", "voc"),
        ]
    )
    out = tmp_path / "out"
    told = capsys.readouterr().out
    shown = {"preview.png", "statistics.png", "report.html", "report.json"}
    assert shown <= {path.name for path in out.iterdir()}
    coco = COCO(str(out / "coco" / "annotations" / "instances_train.json"))
    pictures = list(Shards(out, 12).pictures())
    assert len(coco.imgs) == len(pictures) == 12
    assert told == f"wrote {out}: 12 pictures, {len(coco.anns)} objects\n"
    for picture, image in zip(pictures, coco.imgs.values(), strict=True):
        found = coco.loadAnns(coco.getAnnIds(image["id"]))
        assert [entry["category_id"] for entry in found] == [i.label for i in picture.instances]
        for entry, instance in zip(found, picture.instances, strict=True):
            assert instance.mask is not None
            assert (coco.annToMask(entry) == decode(instance.mask)).all()
        labels = out / "yolo" / "labels" / "train" / f"{picture.file.stem}.txt"
        assert len(labels.read_text().splitlines()) == len(picture.instances)
        segments = out / "yolo-seg" / "labels" / "train" / f"{picture.file.stem}.txt"
        assert len(segments.read_text().splitlines()) == len(picture.instances)
        name = f"{picture.file.stem}.xml"
        xml = out / "voc" / "VOCdevkit" / "VOC2012" / "Annotations" / name
        assert xml.read_text().count("<object>") == len(picture.instances)


def test_formats_follow_when_the_set_grows(tmp_path: Path) -> None:
    generate(config(tmp_path, "out", count=3))
    generate(config(tmp_path, "out", count=5, formats=("yolo",)))
    for name in ("coco", "yolo"):
        images = tmp_path / "out" / name / "images" / "train"
        assert len(list(images.iterdir())) == 5, name


def test_a_format_that_cannot_hold_the_classes_is_refused_before_any_work(tmp_path: Path) -> None:
    """VOC numbers 254 classes; the other formats any."""
    options = config(tmp_path, "out", count=1)
    pixels = (tmp_path / "cutouts" / "ball" / "0.png").read_bytes()
    for number in range(253):
        (tmp_path / "cutouts" / f"{number}").mkdir()
        (tmp_path / "cutouts" / f"{number}" / "0.png").write_bytes(pixels)
    with pytest.raises(ValueError, match="classes: got 255, wanted at most 254 for VOC's masks"):
        generate(replace(options, formats=("coco", "voc")))
    assert not options.output.exists()
    generate(options)
    assert (options.output / "coco" / "annotations" / "instances_train.json").is_file()


def test_ids_are_the_source_s_own(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    ring = [[20, 20, 80, 20, 80, 70, 20, 70]]
    entry = {"bbox": [20, 20, 60, 50], "segmentation": ring, "category_id": 6, "iscrowd": 0}
    tiny_data.coco(folder, {"a.jpg": [entry], "b.jpg": [entry]}, ("dog", "bottle"))
    generate(Config((folder,), (folder,), tmp_path / "out", count=4, size=(64, 64), seed=1))
    written = json.loads(
        (tmp_path / "out" / "coco" / "annotations" / "instances_train.json").read_text()
    )
    assert {c["name"]: c["id"] for c in written["categories"]} == {"dog": 3, "bottle": 6}
    assert {a["category_id"] for a in written["annotations"]} == {6}
    # The backgrounds' own bottles are labelled beside the pasted ones.
    own = [a for a in written["annotations"] if a["cutout"] is None]
    assert own and all(a["visibility"] > 0 for a in own)


def test_what_came_short_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cutouts, grounds = sources(tmp_path)
    for path in (cutouts / "ball").iterdir():
        Image.open(path).convert("RGB").save(path)
    given = ["--cutouts", str(cutouts), "--backgrounds", str(grounds), "--count", "3"]
    main([*given, "--output", str(tmp_path / "out"), "--size", "48", "64"])
    told = capsys.readouterr().out
    assert "; no object of ball; " in told
    assert told.endswith("left out: no alpha channel: 3\n")
    assert told.count("\n") == 1


def test_presets_come_first_and_options_override_them() -> None:
    given = ["--cutouts", "a", "--backgrounds", "b", "c"]
    assert parse(given).law == PRESETS["plain"]
    chosen = parse(["--preset", "cut_paste_learn", *given, "--law.placement.angle", "5"])
    assert chosen.law.look == CUT_PASTE_LEARN.look
    assert chosen.law.placement.angle == 5
    assert chosen.backgrounds == (Path("b"), Path("c"))
    assert parse([*given, "--size", "native"]).size == "native"


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--count", "0"], "count: got 0, wanted a number in [1, 1000000000]"),
        (["--shard", "2/2"], "shard: got '2/2', wanted K/N"),
        (["--size", "4", "64"], "size: got (4, 64), wanted 16 to 8192"),
        (["--val", "0.95"], "val: got 0.95"),
        (["--weights", "x.pt"], "weights: got x.pt without a detector, wanted --detector too"),
        (["--output", "{cutouts}/out"], "cutouts/out, which lies in"),
        (
            ["--match", "a/shards/00000", "--output", "a"],
            "output: got a, which would replace a/shards/00000, a source",
        ),
        (["--match", "a/b/../voc", "--output", "a"], "which would replace a/b/../voc, a source"),
        (["--law.placement.scale", "0.001", "0.001"], "no object is in any scene"),
        (["--detector", "yolo"], "detector: got 'yolo', wanted torchvision:NAME"),
        (["--detector", "yolo", "--workers", "2"], "detector: got 'yolo', wanted torchvision:NAME"),
        (["--cutouts", "nowhere"], "nowhere: is not there; wanted a folder of RGBA pictures"),
        (["--backgrounds", "{here}"], "test_command.py: is a .py file; wanted"),
        (["--output", "{here}/out"], "test_command.py"),
        (
            ["--law.placement.matched"],
            "law.placement.matched: no object of ball, box is annotated in the 4 pictures of "
            "{grounds}; name some with --match",
        ),
    ],
)
def test_what_a_user_gets_wrong_is_one_line(
    tmp_path: Path, options: list[str], wanted: str
) -> None:
    cutouts, grounds = sources(tmp_path)
    given = [
        "--cutouts",
        str(cutouts),
        "--backgrounds",
        str(grounds),
        "--output",
        str(tmp_path / "o"),
    ]
    rest = [option.format(here=__file__, cutouts=cutouts) for option in options]
    with pytest.raises(SystemExit) as stopped:
        main([*given, *rest])
    told = str(stopped.value)
    assert told.startswith("error: ")
    assert wanted.format(grounds=grounds) in told
    assert "\n" not in told


def test_native_sizes_are_the_backgrounds_own(tmp_path: Path) -> None:
    generate(config(tmp_path, "out", count=8, size="native"))
    sizes = {p.background: p.size for p in Shards(tmp_path / "out", 8).pictures()}
    for name, size in sizes.items():
        assert Image.open(tmp_path / "grounds" / name).size == size[::-1]


def test_without_the_extra_one_line_says_so() -> None:
    code = "import sys; sys.modules['pycocotools'] = None; import compositor.generate"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last = run.stderr.strip().splitlines()[-1]
    assert last == (
        "ModuleNotFoundError: compositor.data needs pycocotools: pip install 'compositor[data]'"
    )


def test_the_help_says_what_each_preset_is() -> None:
    told = " ".join(DESCRIPTION.split())
    assert all(f"{name} (" in told for name in PRESETS)


def test_a_pager_may_leave_before_the_help_ends() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "compositor.generate", "--help"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")
