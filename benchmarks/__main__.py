"""Run the ops' tests, then the measurements, and write the tables and one small JSON file.

python -m benchmarks            all shapes, about 40 minutes on 2 cores
python -m benchmarks --quick    `blend` only at the floors' shape, in float32, about 30 minutes
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import compositor
from benchmarks import cases, figures, floors, machine, report
from benchmarks.cases import BLEND, GENERATE, RENDER
from benchmarks.generate import cases as generate_cases
from benchmarks.generate import floors as generate_floors
from benchmarks.render import cases as render_cases
from benchmarks.render import floors as render_floors
from benchmarks.scenes import Shape
from compositor.files import DataError, check_writable, write

OP_TESTS = (sys.executable, "-m", "pytest", "tests/ops", "-q", "-x", "-n", "auto")
SUITES = {
    BLEND: "benchmarks/test_blend_speed.py",
    RENDER: "benchmarks/render/test_render_speed.py",
    GENERATE: "benchmarks/generate/test_generate_speed.py",
}


def _run(command: Sequence[str], threads: int) -> int:
    """Run a command in the repository; its output is progress, so it goes to stderr."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    run = subprocess.run(command, cwd=machine.ROOT, env=environment, stdout=2)
    return run.returncode


def sessions(quick: bool) -> list[tuple[str, Shape, str]]:
    """List what is measured in a process of its own: op, shape and dtype."""
    measured = {
        BLEND: cases.sessions(quick),
        RENDER: render_cases.sessions(),
        GENERATE: generate_cases.sessions(),
    }
    return [(op, *session) for op, pairs in measured.items() for session in pairs]


def measure(threads: int, op: str, shape: Shape, dtype: str) -> dict[str, Any] | None:
    """Run pytest-benchmark in its own process: compiled code is for a fixed number of threads."""
    size = "x".join(map(str, shape))
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.json"
        command = [sys.executable, "-m", "pytest", SUITES[op], "-q", "-x"]
        command += ["-p", "no:cacheprovider", "--benchmark-quiet", "--benchmark-disable-gc"]
        command += [f"--benchmark-json={raw}", f"--threads={threads}"]
        command += [f"--shape={size}", f"--dtype={dtype}"]
        print(f"measuring {op}, {size}, {dtype}, {threads} thread(s)", file=sys.stderr, flush=True)
        if _run(command, threads) != 0:
            return None
        result: dict[str, Any] = json.loads(raw.read_text())
        return result


def main(arguments: Sequence[str], op_tests: Sequence[str] = OP_TESTS) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--quick", action="store_true", help="`blend` only at the floors' shape, in float32"
    )
    parser.add_argument(
        "--check", action="store_true", help="exit with an error if a floor is missed"
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=machine.RESULTS,
        help="folder for the table and the JSON file (default: benchmarks/results)",
    )
    options = parser.parse_args(arguments)

    status = compositor.build_info()["backends"]["cpu"]
    if status != "available":
        print(f"no figures: the kernel to measure is missing: {status}", file=sys.stderr)
        return 1
    try:
        check_writable(options.results)
    except DataError as error:
        print(f"no figures: {error}", file=sys.stderr)
        return 1
    about = machine.describe(arguments)  # before anything here can change the tree
    cores = machine.cores()
    if _run(op_tests, cores) != 0:
        print("no figures: the op's tests failed, so its speed means nothing", file=sys.stderr)
        return 1
    raws = []
    for threads, session in product(sorted({1, cores}), sessions(options.quick)):
        raw = measure(threads, *session)
        if raw is None:
            print("no figures: a measurement failed, or a peer's composite is off", file=sys.stderr)
            return 1
        raws.append(raw)

    lines = figures.summarise(raws)
    verdicts = floors.check(lines, cores)
    verdicts += render_floors.check(lines) + generate_floors.check(lines)
    text = report.table(about, lines, verdicts)
    stem = machine.stem(about, options.quick)
    write(options.results / f"{stem}.json", report.record(about, lines, verdicts))
    write(options.results / f"{stem}.md", text)
    print(text)
    return 1 if options.check and not all(floor.passed for floor in verdicts) else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
