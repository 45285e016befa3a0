"""The AffNIST experiment as users run it, on a tiny MNIST."""

import importlib.metadata
import json
import re
from dataclasses import replace
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import same, state
from PIL import Image
from tiny_affnist import arguments

from trainers.affnist import __main__ as command
from trainers.affnist import dataset, report
from trainers.affnist.config import (
    FIGURE7,
    TABLE1,
    TINY,
    WAYS,
    DataConfig,
    TargetConfig,
)
from trainers.affnist.run import AffNISTRun
from trainers.config import ConfigError, flatten, plain


def test_a_run_leaves_every_file_and_going_on_gives_the_same_bits(
    tiny_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    command.main(arguments(tiny_mnist, whole, "--seeds", "0", "1"))
    printed = capsys.readouterr().out
    assert "regenerated affNIST (60 digits x 1)" in printed
    assert "per-image hard" in printed
    assert re.search(r"random, seed 1, cycle 2/2: accuracy [\d.]+ %, 20 images added", printed)

    results = json.loads((whole / "results.json").read_text())
    assert results["seeds"] == [0, 1]
    assert results["config"]["synthesizer"]["dropout"] == 0.5
    assert results["versions"]["torch"] == importlib.metadata.version("torch")
    assert str(tiny_mnist) in results["data"]["mnist"]
    assert set(results["curve"]) == set(WAYS)
    for way, curve in results["curve"].items():
        runs = results["per_seed"][way].values()
        assert curve[0][0] == 0
        assert len(curve) == 3
        for i, (added, accuracy) in enumerate(curve):
            assert added == pytest.approx(sum(run[i][0] for run in runs) / 2)
            assert accuracy == pytest.approx(sum(run[i][1] for run in runs) / 2)
        # All ways of a seed start from the same T.
        assert [run[0] for run in runs] == [r[0] for r in results["per_seed"]["random"].values()]
    assert results["curve"]["random"][2][0] == 20
    assert results["search"]["random"]["passes_per_added"] == 0
    for way in ("random_hard", "image_hard"):
        assert results["search"][way]["passes_per_accepted"] >= 1
    for way in WAYS:
        cycles = [run[1:] for run in results["cycles"][way].values()]
        for name in ("made", "passes", "backward", "synthesizer", "trained", "seconds"):
            spent = results["spent"][way][name]
            assert len(spent) == 3
            total = sum(record[name] for run in cycles for record in run)
            assert (spent[0], spent[2]) == (0, pytest.approx(total / 2))
        assert results["spent"][way]["trained"] == [0, 6 * 16, 12 * 16]
    for way in ("renewed", "renewed_all", "renewed_at_random"):
        runs = results["cycles"][way].values()
        made = sum(record["made"] for run in runs for record in run[1:])
        renewed = sum(record["renewed"] for run in runs for record in run[1:])
        assert made == renewed + 2 * 20
        assert results["spent"][way]["made"][2] == made / 2
        assert results["spent"][way]["passes"] == [0, 0, 0]
    steps = results["spent"]["synthesizer"]
    assert steps["passes"] == steps["backward"] == steps["synthesizer"] == steps["made"]
    assert steps["passes"][1] >= 64
    for name in ("curve.png", "hard_examples.png", "placements.png"):
        assert min(Image.open(whole / name).size) > 100
    for way in WAYS:
        assert any((whole / "tensorboard" / f"seed1-{way}").glob("events*"))

    two = ("--ways", "synthesizer", "image_hard")
    command.main(arguments(tiny_mnist, parts, "--cycles", "1", *two))
    torch.rand(3)
    command.main(arguments(tiny_mnist, parts, "--cycles", "2", *two))
    for way in two[1:]:
        name = f"checkpoints/seed0/{way}.pt"
        assert same(state(whole / name), state(parts / name)), way

    # Stopped between T's training on MNIST and the first checkpoint.
    (parts / "checkpoints/seed0/synthesizer.pt").unlink()
    command.main(arguments(tiny_mnist, parts, "--ways", "synthesizer"))
    name = "checkpoints/seed0/synthesizer.pt"
    assert same(state(whole / name), state(parts / name))


def test_a_collapse_is_told(
    tiny_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """S starts at one placement, and stays there."""
    still = ("--synthesizer.gain", "0", "--synthesizer.learning-rate", "0", "--margin", "-1")
    command.main(arguments(tiny_mnist, tmp_path, "--ways", "synthesizer", "random", *still))
    printed = capsys.readouterr().out
    told = "images added; warning: placements have collapsed (0 % of random placement's spread)"
    assert re.findall(rf"^(\w+), seed 0, cycle 1/\d: .*{re.escape(told)}$", printed, re.M) == [
        "synthesizer"
    ]


def test_what_a_cycle_lacks_is_told(
    tiny_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No image is hard by a margin of 1."""
    command.main(arguments(tiny_mnist, tmp_path, "--ways", "random_hard", "--margin", "1"))
    printed = capsys.readouterr().out
    told = ", 0 images added; warning: 10 fewer were found than wanted\n"
    assert printed.count(told) == 2


def test_logs_hold_what_tells_a_collapse(tiny_mnist: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    command.main(arguments(tiny_mnist, tmp_path, "--ways", "synthesizer"))
    events = EventAccumulator(str(tmp_path / "tensorboard" / "seed0-synthesizer"))
    events.Reload()
    assert set(events.Tags()["scalars"]) >= {
        "loss/synthesizer",
        "loss/target",
        "synthesizer/spread",
        "synthesizer/hard_rate",
        "cycle/hard_rate",
        "cycle/accuracy",
        "cycle/mean_spread",
        "cycle/out_of_frame",
        "cycle/diversity",
        "cycle/shortfall",
    }


def test_the_deep_classifier_the_other_mix_and_validation(
    tiny_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = replace(
        TINY,
        output=tmp_path,
        cpu=True,
        ways=("random",),
        data=DataConfig(tiny_mnist, downloads=tmp_path, validation_digits=50),
        target=TargetConfig(
            network="deep", mix="concatenate", batch=16, mnist_iterations=4, iterations=2,
            averaged=2, late_cycle=1,
        ),
    )  # fmt: skip
    data = dataset.prepare(config.data)
    run = AffNISTRun(config, "random", 0, data)
    history = run.run(1)
    assert run.target.optimizer.param_groups[0]["lr"] == 1e-2
    assert all(0 <= record["validation"] <= 100 for record in history)
    again = AffNISTRun(config, "random", 0, data)
    assert len(again.run(2)) == 3
    assert again.target.optimizer.param_groups[0]["lr"] == 1e-3
    report.write(config, data.sources, {"random": {0: again.history}}, 0)
    assert "Paper, table 1: 99.01 at the end" in capsys.readouterr().out


def test_the_figure_is_of_the_averaged_weights(tiny_mnist: Path, tmp_path: Path) -> None:
    config = replace(
        TINY, output=tmp_path, cpu=True, data=DataConfig(tiny_mnist, downloads=tmp_path)
    )
    seen = []

    class Watched(AffNISTRun):
        def update(self, *details: Any) -> float:
            loss = super().update(*details)
            seen.append([p.detach().clone() for p in self.target.network.parameters()])
            return loss

    data = dataset.prepare(config.data)
    run = Watched(config, "random", 0, data)
    run.run(1)
    last = seen[-config.target.averaged :]
    for values, average in zip(zip(*last, strict=True), run.average.parameters(), strict=True):
        torch.testing.assert_close(torch.stack(values).mean(0), average)
    # Let the averaged T always answer 3, and ask for nothing else.
    last_bias = [*run.average.parameters()][-1]
    with torch.no_grad():
        last_bias[3] = 1e6
    run.data = replace(data, test=replace(data.test, labels=torch.full_like(data.test.labels, 3)))
    assert run.evaluate()["accuracy"] == 100


def test_what_a_user_can_put_right_is_one_line(tiny_mnist: Path, tmp_path: Path) -> None:
    command.main(arguments(tiny_mnist, tmp_path, "--ways", "random"))
    with pytest.raises(SystemExit, match="was made with margin 0.0, this run has 0.1"):
        command.main(arguments(tiny_mnist, tmp_path, "--ways", "random", "--margin", "0.1"))
    more = ("--ways", "random", "--margin", "0.1", "--restart")
    command.main(arguments(tiny_mnist, tmp_path, *more))
    with pytest.raises(SystemExit, match=r"loss/target: is nan in cycle \d"):
        command.main(arguments(tiny_mnist, tmp_path / "nan", "--target.learning-rate", "1e30"))
    with pytest.raises(SystemExit, match="has neither train-images"):
        command.main(arguments(tmp_path / "none", tmp_path / "x"))


def test_what_changed_since_is_not_gone_on_with(
    tiny_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = arguments(tiny_mnist, tmp_path / "out", "--ways", "random", "--cycles", "1")
    command.main(line)
    start = ("--ways", "image_hard", "--target.mnist-iterations", "5")
    with pytest.raises(SystemExit, match=r"mnist.pt: was made with target.mnist_iterations 20, "):
        command.main([*line, *start])
    (cached,) = (tmp_path / "out" / "data").glob("affnist-test-*.pt")
    content = torch.load(cached)
    content["images"][3, 0, 20, 20] ^= 1
    torch.save(content, cached)
    message = r"random.pt: the data has changed since .*: test was 60 digits \(\w+\), is 60 digits"
    with pytest.raises(SystemExit, match=message):
        command.main(line)
    # A set that was made by another recipe is not taken.
    monkeypatch.setattr(dataset, "LAW", 0)
    command.main(line)
    # Nor is a T from other digits.
    monkeypatch.setattr(dataset, "_fingerprint", lambda images, labels: f"{len(labels)} others")
    with pytest.raises(SystemExit, match=r"mnist.pt: the data has changed since .*: train was 200"):
        command.main([*line, "--ways", "image_hard"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--seeds", "seeds: got [], wanted one or more"),
        ("--ways random random", "none twice"),
        ("--renewal.margins 0.1 0.1", "renewal.margins: got [0.1, 0.1], wanted one or more, none"),
        ("--renewal.margins 2", "renewal.margins: got 2.0, wanted a number in [-1, 1]"),
        ("--renewal.blocks 20 0", "renewal.blocks: got 0, wanted 1 or more"),
        ("--images-per-cycle 505", "images_per_cycle: got 505, wanted a multiple of 10"),
        ("--seeds -1", "seeds: got -1, wanted a number in [0, 2147483647]"),
        ("--target.batch -2", "target.batch: got -2, wanted 2 or more"),
        ("--target.weight-decay -1", "target.weight_decay: got -1.0, wanted 0 or more"),
        ("--target.batch 7", "target.batch: got 7, wanted an even number"),
    ],
)
def test_settings_that_cannot_be_run_are_refused(
    line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(line.split())
    assert message in " ".join(capsys.readouterr().err.replace("│", "").split())


def test_help_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.parse(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for word in ("--preset", "--seeds", "--target.mix", "--synthesizer.dropout", "--data.mnist"):
        assert word in text


def test_presets() -> None:
    assert command.parse([]) == FIGURE7
    assert command.parse(["--preset", "table1", "--cycles", "3"]) == replace(TABLE1, cycles=3)
    assert TABLE1.target.network == "deep"
    deep = command.parse(["--preset", "deep"])
    assert (deep.ways, deep.data, deep.target.iterations) == (("renewed",), TABLE1.data, 10_000)
    assert TABLE1.data.validation_digits == 5000


def test_every_number_has_its_limits() -> None:
    for name, value in flatten(plain(TABLE1)).items():
        first = value[0] if isinstance(value, list) else value
        if isinstance(first, bool) or not isinstance(first, int | float):
            continue
        for bad in (-1e9, nan, inf) if isinstance(first, float) else (-(10**9),):
            head, _, rest = name.rpartition(".")
            given = (bad,) if isinstance(value, list) else bad
            with pytest.raises(ConfigError, match=f"{name}: got .*, wanted"):
                part = replace(getattr(TABLE1, head), **{rest: given}) if head else given
                replace(TABLE1, **{head or rest: part})
