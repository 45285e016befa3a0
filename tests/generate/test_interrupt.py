"""Ctrl-C at any moment: one line, and what a shell knows a stopped command by."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.generate.tiny import config
from trainers.command import one_line

ROOT = Path(__file__).parents[2]
TOLD = "stopped; run the same command again to resume\n"
TORCH = "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(60)"
"""In torch's place: Ctrl-C while it is being imported."""
SCRIPT = "from compositor.generate.__main__ import main; main()"


def listen() -> None:
    """What runs the tests may ignore Ctrl-C, as shells have it of background jobs."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    command = [sys.executable, *words]
    return subprocess.run(
        command, cwd=folder, env=environment, text=True, capture_output=True, preexec_fn=listen
    )


@pytest.mark.parametrize("name", ["-m", "-um", "compositor-generate", "program.py"])
def test_while_it_imports(tmp_path: Path, name: str) -> None:
    (tmp_path / "torch.py").write_text(TORCH)
    if name.startswith("-"):
        ended = run(tmp_path, name, "compositor.generate", "--count", "3")
    else:
        (tmp_path / name).write_text(SCRIPT)
        ended = run(tmp_path, name, "--count", "3")
    if name == "program.py":  # another's, which is free to do as it likes
        assert "Traceback" in ended.stderr and TOLD not in ended.stderr
    else:
        assert (ended.returncode, ended.stderr) == (130, TOLD)


def test_while_it_works(tmp_path: Path) -> None:
    options = config(tmp_path, "out")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "compositor.generate", "--workers", "2", "--count", "100000"),
            *("--cutouts", str(options.cutouts[0]), "--backgrounds", str(options.backgrounds[0])),
            *("--output", str(options.output), "--size", "48", "64"),
        ],
        cwd=ROOT,
        text=True,
        stderr=subprocess.PIPE,
        preexec_fn=listen,
    )
    while process.poll() is None and not list(options.output.glob("shards/[0-9]*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in told and told.endswith(TOLD)


def test_trainers_stop_with_a_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped, one_line():
        raise KeyboardInterrupt
    assert stopped.value.code == 130
    assert capsys.readouterr().err == TOLD
