"""Writes an experiment's results: results.json, its pictures and a table."""

import json
import statistics
from itertools import accumulate
from typing import Any

from compositor import files
from trainers import checkpoint
from trainers.affnist import pictures
from trainers.affnist.config import Config
from trainers.affnist.tasks import TASKS
from trainers.config import plain
from trainers.provenance import provenance
from trainers.side_by_side import Histories, History

PAPER: dict[str, dict[str, Any]] = {
    "shallow": {
        "where": "figure 7",
        "points": {
            "synthesizer": [[0, 17.0], [5000, 80.0], [12000, 90.0]],
            "random": [[0, 17.0], [5000, 40.0], [25000, 90.0]],
        },
    },
    "deep": {"where": "table 1", "final": 99.01, "points": {}},
}
"""The paper's accuracies (%) for each network: [added images, accuracy] from the text on figure 7,
or the final accuracy."""


def write(config: Config, sources: dict[str, str], histories: Histories, seconds: float) -> None:
    """Write the files into the output folder and print the table."""
    results = summarise(config, sources, histories) | {"seconds": round(seconds, 1)}
    files.write(config.output / "results.json", json.dumps(results, indent=1) + "\n")
    pictures.curve(config.output / "curve.png", results)
    adding = [way for way in config.ways if way != "baseline"] or config.ways
    way = "synthesizer" if "synthesizer" in adding else adding[0]
    seed = config.seeds[0]
    content = checkpoint.load(checkpoint.run_path(config.output, way, seed))
    pictures.hard_examples(
        config.output / "hard_examples.png",
        content["parts"]["cache"]["fields"],
        histories[way][seed],
        f"{way}, seed {seed}, {sources['affnist'].split(' (')[0]}",
    )
    firsts = {way: runs[seed] for way, runs in histories.items()}
    pictures.placements(config.output / "placements.png", firsts)
    print(table(results))
    names = "results.json, curve.png, hard_examples.png, placements.png"
    print(f"{config.output}: {names} ({seconds / 60:.1f} min)")


def summarise(config: Config, sources: dict[str, str], histories: Histories) -> dict[str, Any]:
    """Everything in results.json except the time it took."""
    results: dict[str, Any] = {
        "config": plain(config),
        "seeds": list(config.seeds),
        **provenance(),
        "data": sources,
        "paper": PAPER[config.target.network] if config.task == "class" else {"points": {}},
    }
    of = TASKS[config.task].measure
    results["curve"] = {way: _curve(runs, of) for way, runs in histories.items()}
    results["spread"] = {way: _spread(runs, of) for way, runs in histories.items()}
    results["per_seed"] = {
        way: {str(seed): [[r["added"], r[of]] for r in run] for seed, run in runs.items()}
        for way, runs in histories.items()
    }
    results["search"] = {way: _search(runs) for way, runs in histories.items()}
    results["spent"] = {way: _spent(runs) for way, runs in histories.items()}
    results["cycles"] = {
        way: {str(seed): run for seed, run in runs.items()} for way, runs in histories.items()
    }
    return results


def _curve(runs: dict[int, History], measure: str) -> list[list[float]]:
    """[added images, accuracy or error] of each cycle, averaged over the seeds."""
    cycles = zip(*runs.values(), strict=True)
    return [[statistics.mean(r[k] for r in cycle) for k in ("added", measure)] for cycle in cycles]


def _spread(runs: dict[int, History], measure: str) -> list[float] | None:
    """Each cycle's standard deviation of the measure over the seeds; None for one seed."""
    if len(runs) < 2:
        return None
    cycles = zip(*runs.values(), strict=True)
    return [statistics.stdev(record[measure] for record in cycle) for cycle in cycles]


def _search(runs: dict[int, History]) -> dict[str, Any]:
    """The cost of finding the images, summed over the seeds."""

    def ratio(records: History, below: str) -> float | None:
        count = sum(record[below] for record in records)
        return sum(record["passes"] for record in records) / count if count else None

    cycles = [list(cycle) for cycle in zip(*(run[1:] for run in runs.values()), strict=True)]
    everything = [record for cycle in cycles for record in cycle]
    return {
        "passes_per_accepted": ratio(everything, "accepted"),
        "passes_per_added": ratio(everything, "taken"),
        "passes_per_accepted_by_cycle": [ratio(cycle, "accepted") for cycle in cycles],
        "shortfall": sum(record["shortfall"] for record in everything),
    }


def _spent(runs: dict[int, History]) -> dict[str, list[float]]:
    """What a run had spent by the end of each cycle, T's start not counted; mean of the seeds.

    By :class:`~trainers.affnist.sampling.Tally`'s names; ``trained``: images in T's own updates;
    ``seconds`` by the clock and ``cpu_seconds`` of all its threads, tests included.
    """
    names = ["made", "passes", "backward", "synthesizer", "reference", "trained"]
    names += ["seconds", "cpu_seconds"]
    cycles = list(zip(*(run[1:] for run in runs.values()), strict=True))
    return {
        name: [0, *accumulate(statistics.mean(r.get(name, 0) for r in cycle) for cycle in cycles)]
        for name in names
    }


def table(results: dict[str, Any]) -> str:
    """The measure's mean and spread over the seeds at up to six cycles, and the cost."""
    task = TASKS[results["config"]["task"]]
    curves, spreads = results["curve"], results["spread"]
    length = max(len(curve) for curve in curves.values())
    columns = sorted({round(i * (length - 1) / 5) for i in range(6)})
    most = [max(curve[i][0] for curve in curves.values()) for i in columns]
    rows = [["added images", *(f"{added:.0f}" for added in most)]]
    rows[0] += ["T/hard", "T/added", "T back", "S", "ref", "made", "shortfall", "min", "CPU min"]
    for way, curve in curves.items():
        row = [pictures.NAMES.get(way, way)]
        for i in columns:
            spread = f" ±{spreads[way][i]:.{task.digits}f}" if spreads[way] else ""
            row.append(f"{curve[i][1]:.{task.digits}f}{spread}")
        cost = results["search"][way]
        for key in ("passes_per_accepted", "passes_per_added"):
            row.append("-" if cost[key] is None else f"{cost[key]:.1f}")
        spent = {name: values[-1] for name, values in results["spent"][way].items()}
        for name in ("backward", "synthesizer", "reference", "made"):
            row.append(f"{spent[name] / max(curve[-1][0], 1):.1f}")
        minutes = (f"{spent[name] / 60:.1f}" for name in ("seconds", "cpu_seconds"))
        rows.append([*row, str(cost["shortfall"]), *minutes])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    seeds = len(results["seeds"])
    head = (
        f"{task.measure.capitalize()} ({task.unit}) of T's averaged weights on "
        f"{results['data']['affnist']}, mean of {seeds} "
        f"seed(s), {pictures.MIXES[results['config']['target']['mix']]}"
    )
    costs = (
        "T/hard, T/added: T's forward passes per hard image found and per image added. Per image "
        "added: T back, backward\npasses through T; S, S's passes; ref, the reference's; made, "
        "composites rendered. min: wall time per run."
    )
    paper = results["paper"]
    if "where" not in paper:
        return "\n".join([head, *lines, costs])
    theirs = [
        f"{pictures.NAMES[way]} " + ", ".join(f"{y:.0f} at {x}" for x, y in points)
        for way, points in paper["points"].items()
    ]
    if "final" in paper:
        theirs.append(f"{paper['final']} at the end")
    return "\n".join([head, *lines, costs, f"Paper, {paper['where']}: {'; '.join(theirs)}"])
