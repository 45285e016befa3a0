"""The AffNIST experiment killed, in two processes, and started twice."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import tiny_affnist
import torch
import two_processes
from checkpoints import same, state
from tiny_affnist import arguments

from trainers.affnist import __main__ as command
from trainers.affnist.config import WAYS

SCRIPT = Path(tiny_affnist.__file__)


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
    assert output.count("process 1 agrees") == 4
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
        message = f"error: {tmp_path / 'out'}: another process is writing there; wait for it to end"
        for more in ((), ("--restart",)):
            with pytest.raises(SystemExit, match=message):
                command.main([*line, *more])
        assert list(checkpoints.glob("*/random.pt"))
    finally:
        first.kill()
        first.communicate()
    # The killed one left no lock behind.
    command.main([*line, "--restart"])
