"""A detection run's phases: who moves, who stays still, what is counted."""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from compositor import affine
from compositor.scenes.placement import Range, Visibility
from detection.test_train_voc import animals
from detection.tiny_scenes import SIZE, Pictures, scenes
from trainers.checkpoint import OtherRunError
from trainers.detection import run as phases
from trainers.detection import spent, steps, synthesis, task
from trainers.detection.config import Config, ContextConfig, DiscriminatorConfig, RenewalConfig
from trainers.detection.run import DetectionRun
from trainers.detection.scales import small
from trainers.detection.sources import Data
from trainers.detection.ways import Way
from trainers.player import Player


def config(folder: Path, **changes: Any) -> Config:
    base = small(Config(output=folder, cpu=True, seeds=(0,), judged=4))
    target = replace(base.target, batch=4, start_iterations=1, iterations=2, averaged=2)
    synthesizer = replace(base.synthesizer, batch=4, steps=2)
    settings = {"size": SIZE, "images_per_cycle": 5, "max_passes": 20, "hard": 1.1}
    settings |= {"discriminator": DiscriminatorConfig(width=2), "target": target}
    settings |= {"context": ContextConfig(steps=2, candidates=2, least=0.0)}
    settings |= {"renewal": RenewalConfig(block=1)}
    return replace(base, **(settings | {"synthesizer": synthesizer} | changes))


def data(layers: int = 1) -> Data:
    return Data(scenes(layers=layers), Pictures([[[10.0, 10, 60, 90]]] * 3, seed=2))


TOGETHER: tuple[Way, ...] = ("synthesizer_discriminator", "context", "renewed")
"""Ways that two processes have to agree in."""


def bits(network: nn.Module) -> list[Tensor]:
    return [value.clone() for value in network.state_dict().values()]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_each_phase_moves_its_players_and_no_bit_of_the_others(tmp_path: Path) -> None:
    phases: list[str] = []

    class Watched(DetectionRun):
        def synthesize(self) -> None:
            self.watched(super().synthesize, moves={"synthesizer"})

        def learn(self) -> None:
            self.watched(super().learn, moves={"target", "discriminator"})

        def watched(self, phase: Any, moves: set[str]) -> None:
            players = {name: p.network for name, p in self._players.items() if p is not None}
            before = {name: bits(network) for name, network in players.items()}
            for network in players.values():
                network.zero_grad()
            phase()
            for name, network in players.items():
                assert same(before[name], bits(network)) == (name not in moves), name
                if name not in moves:
                    assert all(p.grad is None for p in network.parameters())
            phases.append(phase.__name__)

    run = Watched(config(tmp_path), "synthesizer_discriminator", 0, data())
    run.run(1)
    assert phases == ["synthesize", "learn"]
    assert all(m.training for m in run.target.network.modules())


@pytest.mark.parametrize(
    "way", ["random", "matched", "random_hard", "foreground_hard", "synthesizer"]
)
def test_every_way_adds_the_same_number_of_right_labels(tmp_path: Path, way: Way) -> None:
    ours = config(tmp_path)
    run = DetectionRun(ours, way, 0, data())
    record = run.run(1)[1]
    assert record["added"] == 5
    search = record["search"]
    assert (search["taken"], search["shortfall"]) == (5, 0)
    assert search["accepted"] >= 5
    judged = 0 if way in ("random", "matched") else search["proposed"] - search["invalid"]
    assert search["passes"] == judged
    assert ("confidences" in record) == (not way.endswith("_hard"))
    if not way.endswith("_hard"):
        found = record["confidences"]
        assert len(found["object"]) == len(found["picture"]) == 4
        assert all(map(float.__le__, found["object"], found["picture"]))
    assert len(run.gallery.sheets[0].composites) == 5
    assert all(len(boxes) == 1 for boxes in run.gallery.sheets[0].boxes)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("way", ["random_hard", "synthesizer_discriminator", "context"])
def test_every_pass_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Way, layers: int
) -> None:
    monkeypatch.setattr(phases, "judge", lambda *given: {})  # for a figure
    run = DetectionRun(config(tmp_path, layers=layers), way, 0, data(layers))
    run.run(0)
    seen: Counter[tuple[str, str]] = Counter()

    def watch(name: str, player: Player | None) -> None:
        def passed(network: nn.Module, given: tuple[Any, ...]) -> None:
            learns = network.training and any(p.requires_grad for p in network.parameters())
            what = "backward" if torch.is_grad_enabled() else "forward"
            seen[name, "learns" if learns and what == "backward" else what] += len(given[0])

        if player is not None:
            player.network.register_forward_pre_hook(passed)

    for name, player in run._players.items():
        watch(name, player)
    start, record = run.run(1)
    cost = record["spent"]
    assert cost["target"] == seen["target", "backward"]
    assert (cost["target"] > 0) == (way == "synthesizer_discriminator")
    assert cost["trained"] == seen["target", "learns"] == 8
    # It was also asked about what was added, for a picture.
    assert record["search"]["passes"] == seen["target", "forward"] - record["added"]
    assert cost["placing"] == seen["synthesizer", "forward"]
    assert (cost["placing"] > 0) == (way != "random_hard")
    assert cost["synthesizer"] == seen["synthesizer", "learns"]
    assert cost["synthesizer"] == (8 if way == "synthesizer_discriminator" else 0)
    assert cost["discriminator"] == seen["discriminator", "backward"]
    assert cost["discriminated"] == seen["discriminator", "learns"]
    assert (cost["discriminated"] == 8) == (cost["discriminator"] == 8)
    # Each of four pictures a batch has its object, and up to three empty boxes.
    before = start["spent"]
    assert 8 < before["context"] <= 32 if way == "context" else before["context"] == 0
    assert before["trained"] == 0 < before["seconds"]


def test_time_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spent.time, "perf_counter", iter([10.0, 70.0]).__next__)
    times = iter([(1.0, 0.5, 0.0, 0.0, 9.0), (3.0, 1.0, 40.0, 2.0, 99.0)])
    monkeypatch.setattr(spent.os, "times", times.__next__)
    total = spent.Spent(trained=3).total()
    assert (total["trained"], total["seconds"], total["cpu_seconds"]) == (3, 60, 44.5)


def test_backgrounds_alone_are_added_as_they_are(tmp_path: Path) -> None:
    there = [20.0, 10, 60, 90]
    some = Data(scenes(existing=[there]), data().test)
    run = DetectionRun(config(tmp_path), "backgrounds", 0, some)
    record = run.run(1)[1]
    assert (record["added"], record["search"]["passes"]) == (5, 0)
    batch = run.scenes.load(run._added())
    made = synthesis.rendered(batch, run.config.synthesizer.visibility)
    assert torch.equal((made.images * 255).round().byte(), batch.backgrounds)
    assert [target["boxes"].tolist() for target in made.targets] == [[there]] * 5
    # The last box shown would be called the pasted object's.
    assert [len(boxes) for boxes in run.gallery.sheets[0].boxes] == [0] * 5


@pytest.mark.parametrize("way", ["random", "synthesizer"])
def test_chance_and_s_choose_from_one_range(tmp_path: Path, way: Way) -> None:
    one = Range(angle=0, shear=0, scale=(0.6, 0.6), aspect=1)
    run = DetectionRun(config(tmp_path, placement=one), way, 0, data())
    assert run.run(1)[1]["added"] == 5
    found = affine.to_parameters(run._added().theta[:, 0], SIZE, SIZE)[:, :4]
    # theta is float32.
    torch.testing.assert_close(found, torch.tensor([[0, 0, 0.6, 0.6]] * 5), atol=1e-4, rtol=0)


def test_what_hardly_shows_is_not_added_but_counted(tmp_path: Path) -> None:
    base = config(tmp_path)
    # No object that stays within S's range fills the canvas: all are invalid.
    blind = replace(base.synthesizer, visibility=Visibility(side=1.0))
    record = DetectionRun(replace(base, synthesizer=blind), "synthesizer", 0, data()).run(1)[1]
    assert record["added"] == 0
    assert record["synthesizer"]["invalid"] == 1
    assert record["search"]["invalid"] == record["search"]["proposed"] >= 20
    assert (record["search"]["passes"], record["search"]["shortfall"]) == (0, 5)
    assert record["confidences"] == {"object": []}


def test_a_collapse_is_told(tmp_path: Path) -> None:
    base = config(tmp_path)
    still = replace(base.synthesizer, gain=0.0, dropout=0.0, learning_rate=0.0)
    run = DetectionRun(replace(base, synthesizer=still), "synthesizer", 0, data())
    run.run(1)
    warning = "; warning: placements have collapsed ({} % of random placement's spread)"
    assert run.summary().endswith(f"composites added{warning.format(0)}")
    record = run.history[-1]["synthesizer"]
    record["spread"] = 0.2963
    assert run.summary().endswith(warning.format(30))
    record["spread"] = 0.3
    assert run.summary().endswith("composites added")


def test_nothing_is_hard_for_a_target_that_is_sure(tmp_path: Path) -> None:
    run = DetectionRun(config(tmp_path, hard=0.0), "random_hard", 0, data())
    record = run.run(1)[1]
    assert record["added"] == 0
    assert run.summary().endswith("0 composites added; warning: 5 fewer were found than wanted")
    assert record["search"]["shortfall"] == 5
    assert record["search"]["passes"] > 0


@pytest.mark.parametrize("way", ["random_hard", "synthesizer"])
def test_a_share_of_ts_own_confidences_is_hard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    """T is as sure as a number that counts up: of the first 20, a quarter are below 0.05."""
    sure = iter(n / 100 for n in range(10**6))

    def confidences(found: Any, boxes: Tensor, labels: Tensor) -> Tensor:
        return torch.tensor([next(sure) % 0.2 for _ in boxes])

    monkeypatch.setattr(task, "confidences", confidences)
    ours = config(tmp_path, hard_share=0.25, judged=20, max_passes=400)
    record = DetectionRun(ours, way, 0, data()).run(1)[1]
    assert record["hard"] == pytest.approx(0.04)
    assert record["added"] == 5
    search = record["search"]
    assert search["passes"] == 20 + search["proposed"] - search["invalid"]


def test_hard_scenes_are_those_whose_last_object_t_misses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T is the surer the further right an object begins, by the part of the picture's width."""

    def confidences(found: Any, boxes: Tensor, labels: Tensor) -> Tensor:
        return boxes[:, 0].cpu() / SIZE[1]

    monkeypatch.setattr(task, "confidences", confidences)
    ours = Data(scenes(existing=[[100.0, 10, 120, 100]]), data().test)
    begins = {}
    for way in ("matched", "matched_hard"):
        run = DetectionRun(config(tmp_path / way, hard=0.2, max_passes=400), way, 0, ours)
        record = run.run(1)[1]
        assert record["added"] == 5
        batch = run.scenes.load(run._added())
        assert all(target["pasted"][-1] for target in batch.targets)
        begins[way] = [float(target["boxes"][-1, 0]) / SIZE[1] for target in batch.targets]
    assert max(begins["matched"]) >= 0.2 > max(begins["matched_hard"])
    search = record["search"]
    assert search["passes"] == search["proposed"] - search["invalid"] > 5
    assert "confidences" not in record


def test_the_start_is_taken_only_from_the_same_pictures(tmp_path: Path) -> None:
    DetectionRun(config(tmp_path), "baseline", 0, data()).run(0)
    # What is pasted, and where, is nothing to the T that learns from real pictures alone.
    other = data()
    other.scenes.backgrounds.fingerprint = other.scenes.cutouts.fingerprint = "others"
    DetectionRun(config(tmp_path), "random", 0, other).run(0)
    other.scenes.real.fingerprint = "other noise"
    message = r"start.pt: the data has changed since .*: train was noise 0, is other noise"
    with pytest.raises(OtherRunError, match=message):
        DetectionRun(config(tmp_path), "random_hard", 0, other).run(0)
    with pytest.raises(OtherRunError, match=r"baseline.pt: .*train was .*; backgrounds was noise"):
        DetectionRun(config(tmp_path), "baseline", 0, other).run(0)


@pytest.mark.parametrize("way", ["random", "context", "renewed", "synthesizer_discriminator"])
def test_half_precision_runs(tmp_path: Path, way: Way) -> None:
    # Accelerate keeps one precision for a process's life.
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        # At SIZE the last stage meets maps of 1 x 1, and there oneDNN's gradient of a depthwise
        # weight in bfloat16 is now and then NaN: zero padding times uninitialised memory.
        size = (160, 160)
        ours = config(tmp_path, precision="bf16", judged=1, images_per_cycle=2, size=size)
        # A step of each player: half precision is slow where the processor has none.
        target = replace(ours.target, start_iterations=0, iterations=1)
        ours = replace(ours, target=target, synthesizer=replace(ours.synthesizer, steps=1))
        run = DetectionRun(ours, way, 0, data())
        assert run.run(1)[1]["added"] > 0
        for player in filter(None, run._players.values()):
            parameters = list(player.network.parameters())
            assert all(p.dtype == torch.float32 and p.isfinite().all() for p in parameters)
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)


def test_the_figure_is_of_the_averaged_weights(tmp_path: Path) -> None:
    seen: list[list[Tensor]] = []

    class Watched(DetectionRun):
        def update(self, *details: Any) -> float:
            loss = super().update(*details)
            seen.append([p.detach().clone() for p in self.target.network.parameters()])
            return loss

    run = Watched(config(tmp_path), "baseline", 0, data())
    run.run(1)
    for values, mean in zip(zip(*seen[-2:], strict=True), run.average.parameters(), strict=True):
        torch.testing.assert_close(torch.stack(values).mean(0), mean)


def test_only_the_target_learns_from_distorted_crops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, set[Any]] = {"target": set(), "discriminator": set()}

    def watch(module: Any, who: str) -> None:
        loss = getattr(module, f"{who}_loss")

        def watched(network: nn.Module, images: Any, *others: Any) -> Tensor:
            seen[names[who]] |= {image.shape[1:] for image in images}
            result: Tensor = loss(network, images, *others)
            return result

        monkeypatch.setattr(module, f"{who}_loss", watched)

    names = {"training": "target", "discriminator": "discriminator"}
    watch(phases, "training")
    watch(steps, "discriminator")
    ours = config(tmp_path)
    ours = replace(ours, target=replace(ours.target, augmentation="ssd"))
    DetectionRun(ours, "synthesizer_discriminator", 0, data()).run(1)
    assert len(seen["target"]) > 2
    assert seen["discriminator"] == {SIZE}


def test_two_processes_train_together(tmp_path: Path) -> None:
    """Under torchrun with gloo: the same players and composites in both, each finding its own."""
    animals(tmp_path / "own")
    script = Path(__file__).with_name("two_detecting.py")
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    ended = subprocess.run(
        [sys.executable, "-m", *launcher, str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == 0, ended.stderr
    for way in TOGETHER:
        assert all(f"process {number} agrees on {way}" in ended.stdout for number in (0, 1))
    for way in TOGETHER:
        content = torch.load(tmp_path / "checkpoints" / "seed0" / f"{way}.pt")
        assert len(content["rng"]) == 2
    results = json.loads((tmp_path / "own" / "out" / "results.json").read_text())
    assert results["cycles"]["matched"]["0"][1]["added"] == 3
