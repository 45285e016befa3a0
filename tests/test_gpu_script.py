"""`.ci/gpu` without a GPU: what its stages run, for how long, and what comes back; all stubbed."""

import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from benchmarks import machine

STAGES = ("build", "benchmark", "ncu", "tests-cuda", "tests-reference", "tests-triton",
          "memcheck", "racecheck", "initcheck")  # fmt: skip
TOOLS = ("ncu", "compute-sanitizer")
# Each stub notes its arguments. Python fails where a word of FAIL is among them.
STUB = """#!/bin/sh
echo "$(basename "$0") $*" >>"$NOTES"
"""
PYTHON = """
case "$*" in
  *get_device_capability*) [ -z "$NO_GPU" ] || { echo "no NVIDIA driver" >&2; exit 1; }; echo 9.0;;
  *xdist*) [ -n "$XDIST" ] || exit 1;;
  *benchmarks.gpu\\ --results*) for out; do :; done; touch "$out/h200-abc.json" "$out/h200-abc.md";;
esac
[ -z "$FAIL" ] || case "$*" in *$FAIL*) echo "it broke"; exit 3;; esac
"""
TIMEOUT = 'shift 3\nexec "$@"\n'


@pytest.fixture
def run(tmp_path):
    """Run the script in a bare checkout, with stubs for all that it calls."""
    checkout, stubs = tmp_path / "checkout", tmp_path / "stubs"
    (checkout / ".ci").mkdir(parents=True)
    stubs.mkdir()
    shutil.copy(machine.ROOT / ".ci/gpu", checkout / ".ci/gpu")

    def execute(tools=TOOLS, **environment):
        out = tmp_path / "out"
        out.mkdir()
        for name, body in {
            "python": PYTHON, "timeout": TIMEOUT, **dict.fromkeys(tools, "")
        }.items():  # fmt: skip
            (stubs / name).write_text(STUB + body)
            (stubs / name).chmod(0o755)
        notes = tmp_path / "notes"
        known = {"PATH": f"{stubs}:/usr/bin:/bin", "PYTHON": "python", "OUT": str(out)}
        ran = subprocess.run(
            [checkout / ".ci/gpu"], env={**known, "NOTES": str(notes), **environment},
            capture_output=True, text=True,
        )  # fmt: skip
        return ran, out, notes.read_text().splitlines()

    return execute


def summary(out: Path) -> dict[str, str]:
    """What the archive says of each stage."""
    with tarfile.open(out / "gpu-report.tar.gz") as archive:
        file = archive.extractfile("gpu-report/summary.txt")
        assert file is not None
        return dict(line.split(": ", 1) for line in file.read().decode().splitlines())


def test_all_stages_run_and_three_files_come_back(run):
    ran, out, notes = run(XDIST="1")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    names = {path.name for path in out.iterdir()}
    assert names == {"gpu-report.tar.gz", "h200-abc.json", "h200-abc.md"}
    stages = summary(out)
    assert set(stages) == set(STAGES)
    assert all(said.startswith("exit 0 after ") for said in stages.values())
    calls = [line for line in notes if not line.startswith(("timeout", "python -c"))]
    # The benchmark has the machine to itself.
    assert calls[0].endswith("build_ext --inplace") and "benchmarks.gpu --results" in calls[1]
    assert (
        calls[2].startswith("ncu --clock-control none ") and "benchmarks.gpu.one_call" in calls[2]
    )
    triton = next(line for line in calls if "triton and" in line)
    assert " -n 8 " in triton and "--ignore tests/ops/test_triton_compile.py" in triton
    for tool in ("memcheck", "racecheck", "initcheck"):
        assert any(line.startswith(f"compute-sanitizer --tool {tool} ") for line in calls)


def test_whatever_hangs_it_ends_within_nine_minutes(run):
    _, _, notes = run()
    limits = [re.match(r"timeout -k 10 (\d+) ", line) for line in notes if "timeout" in line]
    assert len(limits) == len(STAGES) and all(limits)
    seconds = [int(limit[1]) for limit in limits if limit]
    assert sum(seconds[:3]) + 10 * 3 < 400  # one after the other, then the rest side by side
    assert sorted(seconds[3:])[:4] == [90] * 4
    script = (machine.ROOT / ".ci/gpu").read_text()
    limit = re.search(r"^LIMIT=(\d+)", script, re.M)
    assert limit and int(limit[1]) + 10 <= 540


def test_a_stage_that_fails_is_told_and_keeps_no_other_from_running(run):
    ran, out, notes = run(FAIL="benchmarks.gpu")
    assert ran.returncode == 1 and "it broke" in ran.stdout
    stages = summary(out)
    assert set(stages) == set(STAGES) and stages["benchmark"].startswith("exit 3 after ")
    assert not any(" -n " in line for line in notes)  # no pytest-xdist here


def test_a_build_that_fails_is_the_last_stage(run):
    ran, out, _ = run(FAIL="build_ext")
    assert ran.returncode == 1 and "it broke" in ran.stdout
    assert set(summary(out)) == {"build"}


def test_without_a_gpu_or_a_tool_it_says_so(run, tmp_path):
    if any(shutil.which(tool, path="/usr/bin:/bin:/usr/local/cuda/bin") for tool in TOOLS):
        tools = {}
    else:
        tools = {"ncu": "ncu is not installed", "memcheck": "compute-sanitizer is not installed"}
    ran, out, _ = run(tools=())
    stages = summary(out)
    assert {name: stages[name] for name in tools} == tools
    assert ran.returncode == bool(tools)
    shutil.rmtree(out)
    ran, out, _ = run(NO_GPU="1")
    assert ran.returncode == 1
    assert summary(out) == {"gpu": "python has no PyTorch that finds one: no NVIDIA driver"}


def test_a_gpu_machine_needs_no_more_than_torch_numpy_and_pytest():
    """One module that cannot be imported would keep a stage from running any test."""
    code = "import sys, pytest\nfor name in ('cv2', 'torchvision', 'PIL', 'scipy', 'kornia'):\n"
    code += "    sys.modules[name] = None\n"
    code += "raise SystemExit(pytest.main(['-q', '--collect-only', 'tests/ops']))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=machine.ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout[-3000:]


def test_the_commit_comes_from_whoever_took_the_sources_out_of_git(monkeypatch):
    monkeypatch.setattr(machine, "_git", lambda *_: None)
    assert machine.describe([])["commit"] == "unknown" and machine.describe([])["dirty"]
    monkeypatch.setenv("COMPOSITOR_COMMIT", "0123456789abcdef")
    about = machine.describe([])
    assert about["commit"] == "0123456789ab" and not about["dirty"]
