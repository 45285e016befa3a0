"""The trainers as users run them, on tiny data in the layouts on disk."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torchvision
from checkpoints import same, state
from PIL import Image

from detection.tiny_runs import arguments, people, watch_tests
from trainers import gmu_kitchen, train, voc_person
from trainers.detection import experiment
from trainers.detection.paper import SWITCHES
from trainers.detection.task import Task
from trainers.detection.ways import WAYS


def test_voc_person_leaves_every_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    people(tmp_path)
    shown: list[dict[str, Any]] = []
    hardness = experiment.pictures.hardness

    def watched(path: Path, presences: dict[str, Any], *others: Any) -> None:
        shown.append(presences)
        hardness(path, presences, *others)

    monkeypatch.setattr(experiment.pictures, "hardness", watched)
    output = tmp_path / "out"
    voc_person.main(arguments(tmp_path, output, "--profile"))
    printed = capsys.readouterr().out
    assert "the paper's table 4" in printed
    assert "Time of a step (%), synthesis: " in printed

    results = json.loads((output / "results.json").read_text())
    assert list(results["cycles"]) == list(WAYS)
    assert results["data"]["test"].startswith("VOC 2007 test")
    assert "AP (%, 11 points, VOC's rules)" in printed
    for way, runs in results["cycles"].items():
        start, end = runs["0"]
        # All ways of a seed start from the same T.
        assert start["ap"] == results["cycles"]["baseline"]["0"][0]["ap"]
        assert end["added"] == (0 if way == "baseline" else 3)
        assert ("synthesizer" in end) == way.startswith("synthesizer")
        ap = f"AP at IoU 0.5 {100 * end['ap']['mean']['0.5']:.1f} %"
        assert f"{way}, seed 0, cycle 1/1: {ap}, {end['added']} composites added" in printed
    # Figure 8 is of the picture, as the paper's.
    (panels,) = shown
    for way, seeds in panels["T before"].items():
        found = results["cycles"][way]["0"][1]["confidences"]
        assert seeds[0].tolist() == pytest.approx(found["picture"]), way
    # Every composite is hard where hard is below 1.1; random asks T nothing.
    assert results["search"]["random"]["passes"] == 0
    assert results["search"]["random_hard"]["passes"] >= 3
    synthesis = results["seconds"]["synthesis"]
    assert synthesis.keys() == {"data", "scene", "S", "blend", "limits", "T", "D"}
    assert sum(synthesis.values()) == pytest.approx(100)
    drawn = [
        "curve.png",
        "hardness.png",
        "cutouts.png",
        "clean_up.png",
        "artefacts.png",
        "discriminator.png",
    ]
    drawn += [f"composites_{way}.png" for way in WAYS if way != "baseline"]
    for name in (*drawn, "detections_synthesizer.png"):
        assert min(Image.open(output / name).size) > 60, name
    assert "real images only" in (output / "tables.md").read_text()


def test_torchvision_detects_with_what_a_run_leaves_as_the_run_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people(tmp_path)
    seen = watch_tests(monkeypatch)
    line = ("--target.network", "ssdlite320_mobilenet_v3_large", "--target.weights", "none")
    output = tmp_path / "out"
    voc_person.main(arguments(tmp_path, output, "--ways", "matched", *line))

    model = torch.load(output / "models" / "matched-seed0" / "model.pt", weights_only=True)
    network = torchvision.models.get_model(
        model["architecture"], weights=None, weights_backbone=None, **model["options"]
    )
    network.load_state_dict(model["state_dict"])

    photographs, wanted = seen[-1]
    with torch.no_grad():
        images = [photographs.image(i).float() / 255 for i in range(len(photographs))]
        found = network.eval()(images)
    assert sum(len(one["scores"]) for one in wanted) > 0
    for one, other in zip(found, wanted, strict=True):
        assert all(torch.equal(one[name], value) for name, value in other.items())
    results = json.loads((output / "results.json").read_text())
    (_, last) = results["cycles"]["matched"]["0"]
    assert model["trained_on"]["ap"] == {float(k): v for k, v in last["ap"]["mean"].items()}
    assert (model["trained_on"]["added"], model["classes"][1:]) == (3, ("person",))
    assert (model["size"], model["resizing"]) == ((112, 112), "stretched")


def test_logs_hold_losses_pictures_and_times(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    people(tmp_path)
    output = tmp_path / "out"
    line = ("--ways", "synthesizer_discriminator", "--workers", "1", "--profile")
    voc_person.main(arguments(tmp_path, output, *line))
    events = EventAccumulator(str(output / "tensorboard" / "seed0-synthesizer_discriminator"))
    events.Reload()
    losses = {f"loss/{player}" for player in ("target", "synthesizer", "discriminator")}
    state = {f"synthesizer/{name}" for name in ("invalid", "spread", "target", "fooled", "price")}
    paths = {f"gradient/{path}" for path in ("T", "D", "limits", "blend")}
    others = {"cycle/ap0.5", "search/passes", "seconds/synthesis/blend", "seconds/learning/T"}
    assert set(events.Tags()["scalars"]) >= losses | state | paths | others
    assert events.Tags()["images"] == ["composites"]


def test_a_run_that_was_stopped_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    people(tmp_path)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    ways = (
        "--target.augmentation",
        "ssd",
        "--ways",
        "synthesizer_discriminator",
        "foreground_hard",
    )
    voc_person.main(arguments(tmp_path, whole, "--cycles", "2", *ways))
    voc_person.main(arguments(tmp_path, parts, "--cycles", "1", *ways))
    torch.rand(3)
    voc_person.main(arguments(tmp_path, parts, "--cycles", "2", *ways))
    for way in ways[3:]:
        name = f"checkpoints/seed0/{way}.pt"
        assert same(state(whole / name), state(parts / name)), way
    # A T that another setting started from is not taken.
    (parts / "checkpoints/seed0/foreground_hard.pt").unlink()
    other = (*ways[:3], "foreground_hard", "--target.start-learning-rate", "0.1")
    with pytest.raises(SystemExit, match=r"start.pt: was made with target.start_learning_rate"):
        voc_person.main(arguments(tmp_path, parts, *other))


def test_runs_side_by_side_come_to_the_same_bits(tmp_path: Path) -> None:
    people(tmp_path)
    one, two = tmp_path / "one", tmp_path / "two"
    ways = ("--ways", "random_hard", "synthesizer")
    voc_person.main(arguments(tmp_path, one, *ways))
    voc_person.main(arguments(tmp_path, two, *ways, "--side-by-side", "2"))
    for way in ways[1:]:
        name = f"checkpoints/seed0/{way}.pt"
        assert same(state(one / name), state(two / name)), way
    first, second = (json.loads((folder / "results.json").read_text()) for folder in (one, two))
    assert first["ap"] == second["ap"]


def test_the_ablation_turns_its_switches_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its runs are those of the other tests, so here they only tell how they were started."""
    seen = []

    class Noted:
        def __init__(
            self,
            config: voc_person.PersonConfig,
            way: str,
            seed: int,
            data: None,
            name: str,
            line: int,
            task: Task,
        ) -> None:
            switches = (
                config.clean_up, config.synthesizer.dropout > 0, config.artefacts > 0,
                config.target.mix == "half", way == "synthesizer_discriminator",
            )  # fmt: skip
            seen.append((name, seed, switches))

        def run(self, cycles: int) -> list[dict[str, Any]]:
            ap = {0.5: 0.3, 0.8: 0.1}
            return [{"ap": {"per_class": {"person": ap}, "mean": ap}}] * (cycles + 1)

    def read(config: voc_person.PersonConfig) -> Any:
        sources = {"test": f"clean-up {config.clean_up}"}
        test = SimpleNamespace(ignored="difficult")
        data = SimpleNamespace(sources=sources, test=test, tell=lambda folder: None)
        return SimpleNamespace(prepare=lambda config: data)

    monkeypatch.setattr(experiment, "DetectionRun", Noted)
    for name in ("draw", "leave"):
        monkeypatch.setattr(experiment, name, lambda *arguments: None)
    monkeypatch.setattr(voc_person, "read", read)
    voc_person.main(arguments(tmp_path, tmp_path / "out", "--table2", "--seeds", "4", "5"))
    # First each seed's T learns from real pictures alone.
    assert [run[:2] for run in seen[:2]] == [("1", 4), ("1", 5)]
    assert seen[2:] == [
        (str(column), seed, tuple(n < column - 1 for n in range(5)))
        for column in range(1, 7)
        for seed in (4, 5)
    ]
    printed = capsys.readouterr().out
    assert all(switch in printed for switch in SWITCHES)
    assert "on clean-up True" in printed


def test_the_ablation_by_its_command(tmp_path: Path) -> None:
    people(tmp_path)
    output = tmp_path / "out"
    voc_person.main(arguments(tmp_path, output, "--table2"))
    results = json.loads((output / "results.json").read_text())
    assert list(results["ap"]) == ["before", *"123456"]
    assert all(runs["0"][1]["added"] == 3 for runs in results["cycles"].values())
    assert (output / "tables.md").read_text().count("| paper: AP 0.8 |") == 1
    for column in "123456":
        model = torch.load(output / f"models/{column}-seed0/model.pt", weights_only=True)
        ways = "synthesizer", "synthesizer_discriminator"
        assert model["trained_on"]["way"] == ways[column == "6"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--data nowhere", "VOCdevkit/VOC2007/JPEGImages: is not a folder"),
        ("--target.network yolo", "target.network: got 'yolo', wanted one of ssd"),
        ("--target.weights absent.pth", "--target.weights: got 'absent.pth', wanted 'default', 'n"),
        ("--synthesizer.weights no.pth", "--synthesizer.weights: got 'no.pth', wanted 'default'"),
    ],
)
def test_what_a_user_can_put_right_is_one_line(tmp_path: Path, more: str, message: str) -> None:
    """And is told before anything is decoded."""
    people(tmp_path)
    with pytest.raises(SystemExit, match=f"error: .*{message}"):
        voc_person.main(arguments(tmp_path, tmp_path / "out", *more.split()))
    assert not (tmp_path / "prepared").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--seeds", "seeds: got [], wanted one or more"),
        ("--size 64 64", "size: got (64, 64), wanted 112 or more"),
        ("--artefacts 2", "artefacts: got 2.0, wanted a number in [0, 1]"),
        ("--cycles -1", "cycles: got -1, wanted 1 or more"),
        ("--target.learning-rate nan", "target.learning_rate: got nan, wanted 0 or more"),
        ("--target.batch 1", "target.batch: got 1, wanted 2 or more"),
        ("--placement.aspect 0.5", "aspect: got 0.5, wanted 1 or more"),
    ],
)
def test_settings_that_cannot_be_run_are_refused(
    line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        voc_person.main(line.split())
    assert message in " ".join(capsys.readouterr().err.replace("│", "").split())


def test_the_papers_settings_are_the_full_scales() -> None:
    full = voc_person.SCALES["full"]
    assert voc_person.command.parse("voc", "", voc_person.SCALES, []) == full
    assert full.size == (300, 300)
    assert (full.cycles, full.synthesizer.steps, full.synthesizer.batch) == (5, 1000, 16)
    assert (full.target.network, full.target.learning_rate) == ("ssd300_vgg16", 1e-5)
    # S and chance choose from Cut, Paste and Learn's range.
    assert full.placement.scale == (0.15, 0.6)
    assert (full.placement.angle, full.placement.shear, full.placement.aspect) == (30, 0, 1)
    kitchen = gmu_kitchen.SCALES["full"]
    assert (kitchen.target.learning_rate, kitchen.target.weight_decay) == (1e-3, 1e-4)
    assert "synthesizer_discriminator" not in kitchen.ways
    # torchvision's references: SSD's pictures are cropped and zoomed, Faster R-CNN's mirrored.
    assert full.target.augmentation == "ssd"
    mirrored = (kitchen, train.SCALES["full"], voc_person.SCALES["small"])
    assert all(config.target.augmentation == "mirror" for config in mirrored)
