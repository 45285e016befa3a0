"""Measure the op on this machine's GPU; write a table and a JSON file to benchmarks/results.

python -m benchmarks.gpu            about three minutes on an H100
python -m benchmarks.gpu --quick    only (16, 3, 300, 300)
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

import compositor
from benchmarks import machine
from benchmarks.gpu import layers, peers, report
from benchmarks.gpu.peers import BACKWARD, BOTH, FORWARD, OURS
from benchmarks.gpu.report import Row
from benchmarks.gpu.scenes import COVERAGES, SHAPES, make_scenes
from benchmarks.gpu.timing import measure
from benchmarks.scenes import Scene, Shape
from compositor.files import DataError, check_writable, write

QUICK: tuple[Shape, ...] = ((16, 3, 300, 300),)
OFF = 1e-3  # the share of a peer's values that may differ, on the rim of a mask


def _calls(shape: Shape, scenes: list[Scene]) -> Iterator[tuple[str, str, peers.Call]]:
    """Yield (peer, mode, call), preparing each in its turn."""
    yield "copy", FORWARD, peers.prepare_copy(scenes)
    for name, pipeline in peers.pipelines().items():
        for mode in (FORWARD, BOTH):
            yield name, mode, peers.prepare(pipeline, mode)
        if name in OURS:
            yield name, BACKWARD, peers.prepare_backward(name)
            if name == "cuda":
                for mode in (FORWARD, BOTH):
                    yield "cuda graph", mode, peers.prepare_graphs(scenes, mode)
            continue
        label = {"eager": "compiled"}.get(name, f"{name} compiled")
        for mode in (FORWARD, BOTH):
            yield label, mode, peers.prepare(peers.compiled(name, shape), mode)
    yield from layers.calls(scenes)


def _measure(shape: Shape, coverage: float) -> Iterator[Row]:
    scenes = make_scenes(shape, coverage)
    for name, pipeline in peers.pipelines().items():
        off = peers.disagreement(pipeline, scenes[0])
        if not off <= OFF:
            raise SystemExit(f"no figures: {name} is off in {off:.2g} of its values at {shape}")
    for peer, mode, call in _calls(shape, scenes):
        try:
            time = measure(call, scenes)
        except Exception as error:  # a peer may fail: say why and leave its row out
            if peer.startswith(("cuda", "chain")):
                raise
            print(f"{peer}, {mode}, {shape}: {str(error).splitlines()[0]}", file=sys.stderr)
            continue
        print(f"{shape} {coverage} {mode} {peer}: {time.ms:.4g} ms", file=sys.stderr, flush=True)
        yield Row(shape, coverage, mode, peer, time)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help=f"only {QUICK[0]}")
    parser.add_argument("--results", type=Path, default=machine.RESULTS, help="where to write")
    options = parser.parse_args(arguments)
    status = compositor.build_info()["backends"]["cuda"]
    if status != "available":
        print(f"no figures: the kernel to measure is missing: {status}", file=sys.stderr)
        return 1

    try:
        check_writable(options.results)
    except DataError as error:
        print(f"no figures: {error}", file=sys.stderr)
        return 1
    about: dict[str, Any] = machine.describe(arguments)
    about["command"] = " ".join(["python -m benchmarks.gpu", *arguments])
    properties = torch.cuda.get_device_properties(0)
    about["gpu"] = {
        "name": properties.name,
        "memory_gib": round(properties.total_memory / 2**30, 1),
        "capability": f"{properties.major}.{properties.minor}",
        "processors": properties.multi_processor_count,
        "cuda": torch.version.cuda,
    }
    rows: list[Row] = []
    slug = re.sub(r"[^a-z0-9]+", "-", properties.name.lower()).strip("-")
    stem = "-".join(
        [slug, about["commit"], *["dirty"] * about["dirty"], *["quick"] * options.quick]
    )
    for shape in QUICK if options.quick else SHAPES:
        for coverage in COVERAGES:
            for row in _measure(shape, coverage):
                rows.append(row)
                # Each time, so that an interrupted run keeps what it has.
                floors = report.check(rows)
                write(options.results / f"{stem}.json", report.record(about, rows, floors))
                write(options.results / f"{stem}.md", report.table(about, rows, floors))
    print(report.table(about, rows, floors))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
