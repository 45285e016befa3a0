"""Turns lines of figures into a table for each op and one small JSON file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from benchmarks import peers
from benchmarks.cases import BLEND, GENERATE, RENDER
from benchmarks.figures import Line
from benchmarks.generate import peers as generate_peers
from benchmarks.promise import Floor
from benchmarks.render import packages
from benchmarks.render import peers as render_peers

METHOD = (
    "ms: median over the sweeps of each sweep's median; a sweep times every peer in turn. (x): as a"
    " multiple of our time. MiB: how far resident memory peaks above the inputs, including the"
    " result, the least of three calls."
    " floor: the bytes that the op cannot avoid, (3 C + 1) values per pixel forward and as many"
    " again backward, at the bandwidth of a copy of as many bytes timed in the same sweeps; (x):"
    " our time as a multiple of the floor. object: the warped masks' share of the canvas, measured;"
    " a tenth is a smaller mask under the same maps, shrunk: the same mask shrunk by the map."
    " backward: theta's gradient only."
    " render: so many objects on each of N canvases; of uint8 with labels of what is seen, segpaste"
    " and CopyPaste at places of their own, segpaste without warping; of float32 as a chain over"
    " the layers. first picture: from 100 RGBA files, in the page cache, to the first JPEG."
)
PEERS = {BLEND: peers.PEERS, RENDER: render_peers.NAMES, GENERATE: generate_peers.PEERS}


def _number(value: float) -> str:
    """Format with at least three digits, and every digit before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def _head(op: str) -> list[str]:
    own, *others = PEERS[op]
    pasted, floor = ("object", ["floor"]) if op == BLEND else ("objects", [])
    return ["N x C x H x W", "dtype", "threads", pasted, "pass", own, *floor, *others]


def _cells(line: Line) -> list[str]:
    own = line.figures["compositor"]
    pasted = f"{100 * line.covered:.1f} %{' shrunk' * line.shrunk}"
    cells = [
        " x ".join(map(str, line.shape)),
        line.dtype,
        str(line.threads),
        pasted if line.op == BLEND else f"{line.objects}: {pasted}",
        line.mode,
    ]
    for peer in PEERS[line.op]:
        figure = line.figures.get(peer)
        if figure is None:
            cells.append("-")
            continue
        ratio = "" if figure is own else f" ({_number(line.ratio(peer))}x)"
        memory = "" if figure.peak_mib is None else f", {_number(figure.peak_mib)} MiB"
        cells.append(f"{_number(figure.ms)} ms{ratio}{memory}")
    if line.floor_ms is not None:
        cells.insert(6, f"{_number(line.floor_ms)} ms ({_number(own.ms / line.floor_ms)}x)")
    return cells


def _table(op: str, lines: Sequence[Line]) -> list[str]:
    rows = [_head(op), *(_cells(line) for line in lines if line.op == op)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * width for width in widths])
    return [
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]


def table(about: dict[str, Any], lines: Sequence[Line], floors: Sequence[Floor]) -> str:
    """Format everything as Markdown that also reads well in a terminal."""
    machine, versions = about["machine"], about["versions"]
    commit = about["commit"] + (", with uncommitted changes" if about["dirty"] else "")
    return "\n".join(
        [
            f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, load"
            f" {machine['load']} before; commit {commit};"
            f" {about['date']}; `{about['command']}`",
            "",
            ", ".join(f"{name} {number}" for name, number in versions.items()),
            "",
            *(row for op in PEERS for row in (f"`{op}`", "", *_table(op, lines), "")),
            *(f"Not installed, so not measured: {peer}.\n" for peer in packages.missing()),
            METHOD,
            "",
            f"{sum(not floor.passed for floor in floors)} of {len(floors)} floors are missed.",
            "",
            *(f"- {floor}" for floor in floors),
            "",
        ]
    )


def record(about: dict[str, Any], lines: Sequence[Line], floors: Sequence[Floor]) -> str:
    """Format the figures as JSON, with one line of the file per line of the table."""

    def rounded(value: float | None) -> float | None:
        return None if value is None else float(f"{value:.4g}")

    def compact(line: Line) -> str:
        figures = {
            peer: [rounded(f.ms), rounded(f.fastest_ms), f.rounds, rounded(f.peak_mib)]
            for peer, f in line.figures.items()
        }
        entry = {
            "op": line.op,
            "shape": line.shape,
            "dtype": line.dtype,
            "threads": line.threads,
            "objects": line.objects,
            "coverage": rounded(line.covered),
            "shrunk": line.shrunk,
            "pass": line.mode,
            "floor_ms": rounded(line.floor_ms),
            **figures,
        }
        return json.dumps(entry)

    columns = ["ms (median)", "ms (fastest round)", "rounds", "MiB (peak over the inputs)"]
    verdicts = [
        {
            "floor": f.what,
            "wanted": rounded(f.wanted),
            "aim": rounded(f.aim),
            "measured": rounded(f.measured),
            "pass": f.passed,
        }
        for f in floors
    ]
    top = {**about, "method": METHOD, "floors": verdicts, "columns": columns}
    entries = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in top.items()]
    results = ",\n".join("  " + compact(line) for line in lines)
    return "{\n" + ",\n".join(entries) + ',\n "results": [\n' + results + "\n ]\n}\n"
