"""The AffNIST experiment as users run it, on a tiny MNIST."""

import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from math import inf, nan
from pathlib import Path
from typing import Any

import psutil
import pytest
import tiny_affnist
import torch
import two_processes
from PIL import Image

from trainers.affnist import __main__ as command
from trainers.affnist import dataset, report
from trainers.affnist.config import (
    FIGURE7,
    TABLE1,
    TINY,
    WAYS,
    DataConfig,
    RenewalConfig,
    TargetConfig,
)
from trainers.affnist.run import AffNISTRun
from trainers.config import ConfigError, flatten, plain

SCRIPT = Path(tiny_affnist.__file__)


def arguments(mnist: Path, output: Path, *more: str) -> list[str]:
    """A command line of a run that takes a second."""
    line = f"--preset tiny --data {mnist} --output {output} --data.downloads {output / 'data'}"
    line += (
        " --images-per-cycle 10 --synthesizer.max-steps 2 --max-passes 100 --side-by-side 1 --cpu"
    )
    return [*line.split(), *more]


def start(
    *parts: object, script: Path = SCRIPT, launcher: tuple[str, ...] = ()
) -> "subprocess.Popen[str]":
    """Run the tiny experiment in another process."""
    return subprocess.Popen(
        [sys.executable, *launcher, str(script), *map(str, parts)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: "subprocess.Popen[str]") -> str:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output


def state(path: Path) -> dict[str, Any]:
    """A checkpoint without the times it took."""
    content: dict[str, Any] = torch.load(path, weights_only=True)
    for record in content["header"]["history"]:
        del record["seconds"], record["cpu_seconds"]
    return content


def same(first: Any, second: Any) -> bool:
    """Whether two checkpoints are the same, tensors by bits."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)


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
        assert results["search"][way]["made_per_added"] == made / 40
        assert results["search"][way]["passes_per_added"] == 0
    steps = results["search"]["synthesizer"]
    assert steps["passes_per_added"] == steps["backward_per_added"] == steps["made_per_added"]
    assert steps["passes_per_added"] == steps["synthesizer_per_added"] > 1
    for name in ("curve.png", "hard_examples.png"):
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


def test_an_ablation_runs_a_way_with_each_margin_and_block(
    tiny_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = arguments(tiny_mnist, tmp_path, "--cycles", "1", "--ways", "random", "renewed")
    command.main(line)
    base = state(tmp_path / "checkpoints/seed0/renewed.pt")
    command.main([*line, "--renewal.margins", "0.05", "-1", "1", "--renewal.blocks", "2", "3"])
    names = ["renewed", "renewed,margin=-1.0", "renewed,margin=1.0", "renewed,block=3"]
    results = json.loads((tmp_path / "results.json").read_text())
    assert list(results["curve"]) == ["random", *names]
    printed = capsys.readouterr().out
    assert all(f"{name}, seed 0, cycle 1/1" in printed for name in names[1:])
    cycles = {name: results["cycles"][name]["0"][1] for name in names}
    # 6 updates: three blocks of 2, or two of 3.
    assert cycles["renewed,margin=-1.0"]["renewed"] == 0
    assert cycles["renewed,margin=1.0"]["stayed"] == 0
    assert cycles["renewed,block=3"]["visited"] < cycles["renewed,margin=1.0"]["visited"]
    # The run with the first of both is the one that was there.
    assert same(base, state(tmp_path / "checkpoints/seed0/renewed.pt"))


def test_the_controls_vary_by_what_they_depend_on() -> None:
    values = RenewalConfig(margins=(0.0, 0.5), blocks=(9, 7))
    variants = replace(FIGURE7, ways=WAYS, renewal=values).variants()
    settings = {
        name: (way, *config.renewal.margins, *config.renewal.blocks)
        for name, (way, config) in variants.items()
    }
    assert settings == {
        **{way: (way, 0.0, 9) for way in WAYS},
        "renewed,margin=0.5": ("renewed", 0.5, 9),
        "renewed,block=7": ("renewed", 0.0, 7),
        "renewed_all,block=7": ("renewed_all", 0.0, 7),
        "renewed_at_random,margin=0.5": ("renewed_at_random", 0.5, 9),
        "renewed_at_random,block=7": ("renewed_at_random", 0.0, 7),
    }
    ablation = command.parse(["--preset", "ablation"]).variants()
    assert len(ablation) == 10


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
    report.write(config, data.sources, {("random", 0): again.history}, 0)
    assert "Paper, table 1: 99.01 finally" in capsys.readouterr().out


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
    assert TABLE1.data.validation_digits == 5000


def test_kill_at_any_moment_loses_no_finished_file(tiny_mnist: Path, tmp_path: Path) -> None:
    """After SIGKILL the workers end too, and the next start comes to the same bits."""
    line = ("--side-by-side", "2", "--cycles", "6", "--ways", "synthesizer", "image_hard")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    path = killed / "checkpoints" / "seed0" / "image_hard.pt"
    process = start(*arguments(tiny_mnist, killed, *line))
    deadline = time.monotonic() + 100
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert path.exists()
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
    before = {p: state(p) for p in killed.glob("checkpoints/seed0/*.pt") if p.stem != "mnist"}
    done = {p: len(content["header"]["history"]) for p, content in before.items()}
    assert min(done.values()) < 7, "it ended before it could be killed"

    for output in (killed, whole):
        command.main(arguments(tiny_mnist, output, *line, "--side-by-side", "1"))
    for name in ("synthesizer", "image_hard"):
        content = state(killed / "checkpoints" / "seed0" / f"{name}.pt")
        assert same(content, state(whole / "checkpoints" / "seed0" / f"{name}.pt"))
        assert len(content["header"]["history"]) == 7
        old = before.get(killed / "checkpoints" / "seed0" / f"{name}.pt")
        if old is not None:
            history = old["header"]["history"]
            assert content["header"]["history"][: len(history)] == history
    assert json.loads((killed / "results.json").read_text())["curve"]


def test_two_processes_train_together(tiny_mnist: Path, tmp_path: Path) -> None:
    """Under torchrun with gloo: the same networks and cache in both, trained as by one process."""
    script = SCRIPT.with_name("two_processes.py")
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    both, one = tmp_path / "both", tmp_path / "one"
    output = finish(start(*arguments(tiny_mnist, both), script=script, launcher=launcher))
    assert output.count("Accuracy (%)") == 1
    assert output.count("process 1 agrees") == 2
    results = json.loads((both / "results.json").read_text())
    assert [point[0] for point in results["curve"]["random"]] == [0, 10, 20]
    assert set(results["curve"]) == set(WAYS)
    content = torch.load(both / "checkpoints" / "seed0" / "synthesizer.pt")
    assert len(content["rng"]) == 2
    assert not same(*content["rng"]), "both processes would draw the same places"

    two_processes.run_without_dropout(command.parse(arguments(tiny_mnist, one)), "synthesizer")
    two_processes.run_without_dropout(command.parse(arguments(tiny_mnist, one)), "renewed")
    held = [
        torch.load(p / "undropped" / "checkpoints" / "seed0" / "renewed.pt")["parts"]["cache"]
        for p in (both, one)
    ]
    assert same(*held)
    trained = [
        torch.load(p / "undropped" / "checkpoints" / "seed0" / "mnist.pt") for p in (both, one)
    ]
    for name, value in trained[1]["parts"]["target"].items():
        # Half batches summed in another order, over 20 steps of SGD at 1e-2.
        torch.testing.assert_close(trained[0]["parts"]["target"][name], value, rtol=1e-4, atol=1e-6)


def test_a_second_run_in_the_folder_is_refused_while_the_first_lives(
    tiny_mnist: Path, tmp_path: Path
) -> None:
    ways = ("--ways", "random", "image_hard")
    line = arguments(tiny_mnist, tmp_path / "out", *ways)
    first = start(*line, "--cycles", "100000", "--side-by-side", "2")
    try:
        deadline = time.monotonic() + 300
        checkpoints = tmp_path / "out" / "checkpoints"
        while not list(checkpoints.glob("*/random.pt")) and time.monotonic() < deadline:
            assert first.poll() is None, first.communicate()
            time.sleep(0.1)
        message = f"error: {tmp_path / 'out'}: another run is writing there; wait for it to end"
        for more in ((), ("--restart",)):
            with pytest.raises(SystemExit, match=message):
                command.main([*line, *more])
        assert list(checkpoints.glob("*/random.pt"))
    finally:
        first.kill()
        first.communicate()
    # The killed one left no lock behind.
    command.main([*line, "--restart"])


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
