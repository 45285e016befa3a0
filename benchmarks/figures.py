"""From pytest-benchmark's raw files to lines of figures."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.cases import COPY, OPS
from benchmarks.peers import MODES
from benchmarks.scenes import DTYPES


@dataclass(frozen=True)
class Figure:
    """One peer's measurements in one line."""

    ms: float  # median over sweeps of each sweep's median
    fastest_ms: float  # of all rounds
    rounds: int
    peak_mib: float | None


@dataclass
class Line:
    """One line of the table: the same work by every peer."""

    op: str
    shape: tuple[int, ...]
    dtype: str
    threads: int
    objects: int
    coverage: float | None  # as asked for
    shrunk: bool
    mode: str
    covered: float  # as measured
    figures: dict[str, Figure] = field(default_factory=dict)
    floor_ms: float | None = None

    @property
    def own_ms(self) -> float:
        """Our time."""
        return self.figures["compositor"].ms

    def ratio(self, peer: str) -> float:
        """Return the peer's time as a multiple of ours."""
        return self.figures[peer].ms / self.own_ms


def summarise(raws: Iterable[dict[str, Any]]) -> list[Line]:
    """Gather the sweeps of every case in pytest-benchmark's files into lines."""
    sweeps: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    copies: dict[tuple[Any, ...], list[dict[str, Any]]] = {}  # the same for any object
    for raw in raws:
        for run in raw["benchmarks"]:
            info = run["extra_info"]
            where = (info["op"], tuple(info["shape"]), info["dtype"], info["threads"])
            if info["peer"] == COPY:
                copies.setdefault(where, []).append(run)
            else:
                what = (info["objects"], info["coverage"], info["shrunk"])
                key = (*where, *what, info["mode"], info["covered"])
                sweeps.setdefault((key, info["peer"]), []).append(run)

    lines: dict[tuple[Any, ...], Line] = {}
    for (where, peer), runs in sweeps.items():
        line = lines.setdefault(where, Line(*where))
        line.figures[peer] = _figure(runs)
        if where[:4] in copies:  # the backward for theta moves as many bytes again
            line.floor_ms = _figure(copies[where[:4]]).ms * (1 + MODES.index(line.mode))
    return sorted(lines.values(), key=_place)


def _place(line: Line) -> tuple[float, ...]:
    """Order lines for the reader, whatever the order they were measured in."""
    floats = line.dtype in DTYPES
    dtype = list(DTYPES).index(line.dtype) if floats else 0
    where = (OPS.index(line.op), floats, *line.shape[2:], dtype, line.objects, line.shape[0])
    return (*where, line.threads, MODES.index(line.mode), line.coverage or 0, line.shrunk)


def _figure(runs: Sequence[dict[str, Any]]) -> Figure:
    stats = [run["stats"] for run in runs]
    peak = runs[0]["extra_info"]["peak_bytes"]
    return Figure(
        ms=1e3 * statistics.median(one["median"] for one in stats),
        fastest_ms=1e3 * min(one["min"] for one in stats),
        rounds=sum(one["rounds"] for one in stats),
        peak_mib=None if peak is None else peak / 2**20,
    )
