"""Turns lines of figures into one table and one small JSON file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from benchmarks.figures import Line
from benchmarks.peers import PEERS
from benchmarks.promise import Floor

METHOD = (
    "ms: median over the sweeps of each sweep's median; a sweep times every peer in turn. (x): as a"
    " multiple of our time. MiB: how far resident memory peaks above the inputs, including the"
    " result, the least of three calls."
    " floor: the bytes that the op cannot avoid, (3 C + 1) values per pixel forward and as many"
    " again backward, at the bandwidth of a copy of as many bytes timed in the same sweeps; (x):"
    " our time as a multiple of the floor. object: the warped masks' share of the canvas, measured;"
    " a tenth is a smaller mask under the same maps, shrunk: the same mask shrunk by the map."
    " backward: theta's gradient only."
)


def _number(value: float) -> str:
    """Format with at least three digits, and every digit before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def _cells(line: Line) -> list[str]:
    own = line.figures["compositor"]
    cells = [
        " x ".join(map(str, line.shape)),
        line.dtype,
        str(line.threads),
        f"{100 * line.covered:.1f} %{' shrunk' * line.shrunk}",
        line.mode,
    ]
    for peer in PEERS:
        figure = line.figures.get(peer)
        if figure is None:
            cells.append("-")
            continue
        ratio = "" if figure is own else f" ({_number(line.ratio(peer))}x)"
        memory = "" if figure.peak_mib is None else f", {_number(figure.peak_mib)} MiB"
        cells.append(f"{_number(figure.ms)} ms{ratio}{memory}")
    cells.insert(6, f"{_number(line.floor_ms)} ms ({_number(own.ms / line.floor_ms)}x)")
    return cells


def table(about: dict[str, Any], lines: Sequence[Line], floors: Sequence[Floor]) -> str:
    """Format everything as Markdown that also reads well in a terminal."""
    head = ["N x C x H x W", "dtype", "threads", "object", "pass", "compositor", "floor"]
    rows = [[*head, *PEERS[1:]], *map(_cells, lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * width for width in widths])
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
            *(
                "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |"
                for row in rows
            ),
            "",
            METHOD,
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
            "shape": line.shape,
            "dtype": line.dtype,
            "threads": line.threads,
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
            "measured": rounded(f.measured),
            "pass": f.passed,
        }
        for f in floors
    ]
    top = {**about, "method": METHOD, "floors": verdicts, "columns": columns}
    entries = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in top.items()]
    results = ",\n".join("  " + compact(line) for line in lines)
    return "{\n" + ",\n".join(entries) + ',\n "results": [\n' + results + "\n ]\n}\n"
