"""The GPU's table, JSON file and promises."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.gpu.layers import LAYERS_BACKWARD, LAYERS_FORWARD
from benchmarks.gpu.peers import BACKWARD, BOTH, FORWARD
from benchmarks.gpu.scenes import EVERYWHERE
from benchmarks.gpu.timing import Time
from benchmarks.promise import Floor
from benchmarks.scenes import Shape

PROMISED: tuple[Shape, ...] = ((64, 3, 300, 300), (16, 3, 1080, 1920))
PEERS = (
    "cuda",
    "cuda graph",
    "triton",
    "copy",
    "eager",
    "compiled",
    "kornia",
    "kornia compiled",
    "chain",
)
METHOD = (
    "ms: median of single calls between CUDA events, each queued while the device waits, so that"
    " the host's time is not in it, on inputs that take turns so that each has left the cache."
    " copy: a copy of as many bytes as the op must move, (3 C + 1)"
    " values per pixel, and as many again backward. (x): as a multiple of the CUDA kernel's time."
    " layers: so many objects on each canvas by render, and by a chain of blends."
    " backward: theta's gradient only. object: the masks' share of the canvas."
)


@dataclass(frozen=True)
class Row:
    """One figure."""

    shape: Shape
    coverage: float
    mode: str
    peer: str
    time: Time


def check(rows: Sequence[Row]) -> list[Floor]:
    """Compare the rows with what is promised for an H100."""
    ms = {(row.shape, row.coverage, row.mode, row.peer): row.time.ms for row in rows}
    floors: list[Floor] = []

    def add(what: str, wanted: float, one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
        if one in ms and other in ms:
            floors.append(Floor(what, wanted, ms[one] / ms[other]))

    for shape in PROMISED:
        name = " x ".join(map(str, shape))

        def key(mode: str, peer: str, coverage: float = EVERYWHERE, shape: Shape = shape) -> Any:
            return shape, coverage, mode, peer

        for mode, share in ((FORWARD, 0.8), (BACKWARD, 0.65)):
            what = f"{name}, {mode}: share of the copy bandwidth"
            add(what, share, key(FORWARD, "copy"), key(mode, "cuda"))
            what = f"{name}, {mode}: Triton's share of the CUDA kernel's speed"
            add(what, 0.6, key(mode, "cuda"), key(mode, "triton"))
            what = f"{name}, {mode}: times faster at a tenth coverage than everywhere"
            add(what, 1.0, key(mode, "cuda"), key(mode, "cuda", 0.1))
        for mode in (LAYERS_FORWARD, LAYERS_BACKWARD):
            what = f"{name}, {mode}: times faster than a chain of blends"
            add(what, 5.0, key(mode, "chain", 0.1), key(mode, "cuda", 0.1))
        for peer, times in (("eager", 10.0), ("compiled", 3.0)):
            what = f"{name}, {BOTH}: times faster than {peer}"
            add(what, times, key(BOTH, peer), key(BOTH, "cuda"))
    return floors


def table(about: dict[str, Any], rows: Sequence[Row], floors: Sequence[Floor]) -> str:
    """Format everything as Markdown."""
    lines: dict[tuple[Any, ...], dict[str, Time]] = {}
    for row in rows:
        lines.setdefault((row.shape, row.coverage, row.mode), {})[row.peer] = row.time
    cells = [["N x C x H x W", "object", "pass", *PEERS]]
    for (shape, coverage, mode), times in lines.items():
        own = times.get("cuda")
        line = [" x ".join(map(str, shape)), f"{100 * coverage:.0f} %", mode]
        for peer in PEERS:
            time = times.get(peer)
            ratio = f" ({time.ms / own.ms:.2g}x)" if time and own and peer != "cuda" else ""
            line.append(f"{time.ms:.4g}{ratio}" if time else "-")
        cells.append(line)
    cells.insert(1, ["---"] * len(cells[0]))
    head = f"{about['gpu']['name']}; commit {about['commit']}; {about['date']}"
    body = ["| " + " | ".join(line) + " |" for line in cells]
    return "\n".join([head, "", *body, "", METHOD, "", *(f"- {floor}" for floor in floors), ""])


def record(about: dict[str, Any], rows: Sequence[Row], floors: Sequence[Floor]) -> str:
    """Format the figures as JSON, one row per line."""
    top = {**about, "method": METHOD, "floors": [{**asdict(f), "pass": f.passed} for f in floors]}
    entries = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in top.items()]
    results = ",\n".join("  " + json.dumps(asdict(row)) for row in rows)
    return "{\n" + ",\n".join(entries) + ',\n "results": [\n' + results + "\n ]\n}\n"
