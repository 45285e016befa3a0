"""Writes a detection experiment's results: results.json, and tables in the paper's layout."""

import json
import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from compositor import files
from compositor.data.records import Ignored
from trainers.detection import ways
from trainers.detection.best import History, best_run, best_told
from trainers.detection.paper import GMU_CLASSES, SWITCHES, TABLE_2, TABLE_3, TABLE_4
from trainers.provenance import provenance

Layout = Literal["table 2", "table 3", "table 4", "plain", "segmentation"]
"""Layout of the tables: the paper's, with its figures beside ours; plain: table 4's, ours only;
segmentation: the same of IoU."""
Measure = Literal["ap", "iou"]
"""The name of T's figures in records and results."""

MEASURES: Mapping[Measure, str] = {"ap": "AP", "iou": "mean IoU"}
RULES: Mapping[Ignored, str] = {"difficult": "VOC's", "crowd": "COCO's"}
"""Whose rules an AP follows, by what is ignored."""
BEFORE = "before"
NAMES: dict[str, str] = {BEFORE: "before"} | {way: rules.title for way, rules in ways.RULES.items()}


def summarise(
    layout: Layout,
    config: Mapping[str, Any],
    data: Mapping[str, str],
    ignored: Ignored,
    runs: Mapping[str, Mapping[int, History]],
) -> dict[str, Any]:
    """All of results.json.

    Args:
        layout: Which table to print. For table 2 the ways are the ablation's columns: ``"1"`` with
            nothing on, up to ``"6"`` with all of :data:`trainers.detection.paper.SWITCHES`.
        config: The experiment's config; ``points`` (101 or 11) says how AP was interpolated.
        data: Descriptions of the data's sources; ``test`` is the test set's.
        ignored: Which of its objects are neither right nor wrong to find.
        runs: The history of each way and seed, all ways with the same seeds. A record holds ``ap``,
            as :func:`~trainers.detection.average_precision.average_precision` returns it (the first
            and the last must), ``search``, the cycle's
            :class:`~compositor.selection.search.Tally` as a dictionary, if there was a search,
            ``spent``, what :class:`~trainers.detection.spent.Spent` counts, if it was counted, and
            anything else to keep. In the layout ``segmentation`` it holds ``iou`` in place of
            ``ap``, of the same form.

    Returns:
        Plain values only, so that results.json, when read back, gives the same tables. Figures are
        in percent: the mean and standard deviation over the seeds, and those of the gain over the
        same run's first record; None if there is only one seed, or no figure.

    Raises:
        ValueError: The ways' seeds differ.
    """
    seeds = [list(histories) for histories in runs.values()]
    if any(found != seeds[0] for found in seeds):
        raise ValueError(f"runs: got seeds {seeds}, wanted the same for every way")
    of = measure(layout)
    ends = {way: [h[-1][of] for h in histories.values()] for way, histories in runs.items()}
    starts = {way: [h[0][of] for h in histories.values()] for way, histories in runs.items()}
    first = next(iter(runs))
    summary = {
        "layout": layout,
        "config": config,
        "seeds": seeds[0],
        **provenance(),
        "data": data,
        "ignored": ignored,
        of: {BEFORE: _average(starts[first], starts[first])}
        | {way: _average(ends[way], starts[way]) for way in runs},
        "search": {way: _search(list(histories.values())) for way, histories in runs.items()},
        "spent": {way: _spent(list(histories.values())) for way, histories in runs.items()},
        "best": {
            way: [best_run(history, of, way) for history in histories.values()]
            for way, histories in runs.items()
        },
        "cycles": runs,
    }
    plain = _plain(summary)
    assert isinstance(plain, dict)
    return plain


def write(folder: Path, results: Mapping[str, Any]) -> None:
    """Write results.json and tables.md into the folder, and print the tables."""
    text = tables(results)
    files.write(folder / "results.json", json.dumps(results, indent=1, allow_nan=False) + "\n")
    files.write(folder / "tables.md", text + "\n")
    print(text)


def measure(layout: Layout) -> Measure:
    """What a layout's tables show."""
    return "iou" if layout == "segmentation" else "ap"


def tables(results: Mapping[str, Any]) -> str:
    """Format the tables in Markdown, from what :func:`summarise` returns or results.json holds."""
    layout, seeds = results["layout"], len(results["seeds"])
    over = f"mean {'± standard deviation ' if seeds > 1 else ''}of {seeds} seed{'s' * (seeds > 1)}"
    how = f"{results['config']['points']} points, {RULES[results['ignored']]} rules"
    what = f"AP (%, {how})" if measure(layout) == "ap" else "IoU (%)"
    title = f"{what} on {results['data']['test']}, {over}"
    beside = f"; the paper's {layout} beside it" if layout.startswith("table") else ""
    if layout == "table 2":
        return f"{title}{beside}\n\n{_grid(_ablation(results))}"
    parts = [f"{title}{beside if layout == 'table 4' else ''}", _grid(_per_iou(results))]
    before = results[measure(layout)][BEFORE]
    if len(before["per_class"]) > 1:
        first = next(iter(before["mean"]))
        at = f" at IoU {first}" if measure(layout) == "ap" else ""
        parts += [f"Each class{at}{beside}", _grid(_per_class(results, first))]
    return "\n\n".join(parts)


def _average(ends: list[Mapping[str, Any]], starts: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Figures over the seeds, for the mean and for each class, at each IoU."""

    def figures(rows: list[Mapping[Any, Any]], first: list[Mapping[Any, Any]]) -> Any:
        return {at: _figure([r[at] for r in rows], [f[at] for f in first]) for at in rows[0]}

    return {
        "mean": figures([e["mean"] for e in ends], [s["mean"] for s in starts]),
        "per_class": {
            name: figures(
                [e["per_class"][name] for e in ends], [s["per_class"][name] for s in starts]
            )
            for name in ends[0]["per_class"]
        },
    }


def _figure(ends: list[float | None], starts: list[float | None]) -> dict[str, Any]:
    """Mean and spread, in percent, of an AP and of its gain, each seed's over its own start."""
    values = [100 * end for end in ends if end is not None]
    pairs = zip(ends, starts, strict=True)
    gains = [100 * (end - start) for end, start in pairs if end is not None and start is not None]
    return {
        "mean": statistics.mean(values) if values else None,
        "spread": statistics.stdev(values) if len(values) > 1 else None,
        "gain": statistics.mean(gains) if gains else None,
        "gain_spread": statistics.stdev(gains) if len(gains) > 1 else None,
        "per_seed": [None if end is None else 100 * end for end in ends],
    }


def _search(histories: list[History]) -> dict[str, Any]:
    """The cost of finding the composites, summed over cycles and seeds."""
    tallies = [r["search"] for history in histories for r in history if r.get("search")]
    names = tallies[0] if tallies else ()
    total: dict[str, Any] = {name: sum(tally[name] for tally in tallies) for name in names}
    for name in ("accepted", "taken"):
        count = total.get(name)
        total[f"passes_per_{name}"] = total["passes"] / count if count else None
    return total


def _spent(histories: list[History]) -> dict[str, float]:
    """What a run cost beside its search, T's start left out, mean of the seeds; empty: unknown.

    A run that began before this was counted does not know it.
    """
    records = [record.get("spent", {}) for history in histories for record in history]
    if not all(records):
        return {}
    return {name: sum(one[name] for one in records) / len(histories) for name in records[0]}


def _per_iou(results: Mapping[str, Any]) -> list[list[str]]:
    """Table 4: one row per IoU, one column per way, then what each cost."""
    ap, search = results[measure(results["layout"])], results["search"]
    seeds = len(results["seeds"])
    theirs = TABLE_4 if results["layout"] == "table 4" else {}
    rows = [["IoU", *map(_name, ap), *(f"paper: {name}" for name in theirs)]]
    for iou in ap[BEFORE]["mean"]:
        ours = [_cell(ap[way]["mean"][iou], gain=way != BEFORE) for way in ap]
        rows.append([iou, *ours, *(_number(column.get(iou), 2) for column in theirs.values())])
    best = results.get("best", {})  # older results have none; empty for folds
    if any(run["cycle"] < run["cycles"] for runs in best.values() for run in runs):
        ours = [best_told(best.get(way, ())) for way in ap]
        rows.append(["mean, best cycle", *ours, *("-" for _ in theirs)])
    spent = results.get("spent", {})  # older results have none
    trained = {way: _for_synthesizer(search[way], cost, seeds) for way, cost in spent.items()}
    minutes = {way: _number(cost["cpu_seconds"] / 60, 1) for way, cost in spent.items() if cost}
    for name, cells in (
        ("composites held, all seeds", _counts(search, "taken")),
        ("composites made, all seeds", _counts(search, "proposed")),
        ("passes of T per hard one, to choose", _counts(search, "passes_per_accepted")),
        ("to train S, forward + backward", trained),
        ("shortfall, all seeds", _counts(search, "shortfall")),
        ("CPU minutes a run", minutes),
    ):
        if not {"-", "0", "0.0"}.issuperset(cells.values()):
            rows.append([name, *(cells.get(way, "-") for way in ap), *("-" for _ in theirs)])
    return rows


def _counts(search: Mapping[str, Any], key: str) -> dict[str, str]:
    costs = {way: costs.get(key) for way, costs in search.items()}
    return {way: _number(cost, 1 if isinstance(cost, float) else 0) for way, cost in costs.items()}


def _for_synthesizer(search: Mapping[str, Any], spent: Mapping[str, float], seeds: int) -> str:
    """T's passes per hard composite while S trained; the search's are of all seeds."""
    if not (search.get("accepted") and spent.get("synthesizer")):
        return "-"
    passes = spent["target"] * seeds / search["accepted"]
    return f"{passes:.1f} + {passes:.1f}"


def _per_class(results: Mapping[str, Any], iou: str) -> list[list[str]]:
    """Table 3: one row per way, one column per class, then their mean."""
    of = measure(results["layout"])
    ap = results[of]
    classes = list(ap[BEFORE]["per_class"])
    rows = [["", *classes, "mAP" if of == "ap" else "mean"]]
    for way, figures in ap.items():
        cells = [_cell(figures["per_class"][name][iou]) for name in classes]
        rows.append([_name(way), *cells, _cell(figures["mean"][iou], gain=way != BEFORE)])
    if results["layout"] == "table 3":
        columns = [_gmu_column(name) for name in classes]
        for name, theirs in TABLE_3.items():
            known = [None if column is None else theirs[column] for column in columns]
            rows.append([f"paper: {name}", *(_number(v, 1) for v in (*known, theirs[-1]))])
    return rows


def _gmu_column(name: str) -> int | None:
    """The index of this class in table 3."""
    found = [i for i, prefixes in enumerate(GMU_CLASSES) if name.lower().startswith(prefixes)]
    return found[0] if found else None


def _ablation(results: Mapping[str, Any]) -> list[list[str]]:
    """Table 2: one column per way, with its switches and its AP at two IoUs."""
    ap = results["ap"]
    rows = [["Column No.", *map(_name, ap)]]
    for number, switch in enumerate(SWITCHES, 1):
        on = ["✓" if way != BEFORE and number < int(way) else "" for way in ap]
        rows.append([switch, *on])
    for which, iou in enumerate(("0.5", "0.8")):
        rows.append([f"AP {iou}", *(_cell(ap[way]["mean"][iou]) for way in ap)])
        theirs = [TABLE_2["Baseline" if way == BEFORE else way][which] for way in ap]
        rows.append([f"paper: AP {iou}", *(_number(value, 2) for value in theirs)])
    return rows


def _name(way: str) -> str:
    return NAMES.get(way, way)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _cell(figure: Mapping[str, Any], gain: bool = False) -> str:
    """``61.3 ±0.4 (+1.2)``: mean, spread and, as in the paper's table 4, the gain."""
    cell = _number(figure["mean"], 1)
    if figure["spread"] is not None:
        cell += f" ±{figure['spread']:.1f}"
    if gain and figure["gain"] is not None:
        cell += f" ({figure['gain']:+.1f})"
    return cell


def _grid(rows: list[list[str]]) -> str:
    """Format rows as a Markdown table with aligned columns; the first is the header."""
    widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (w + 1) + ":" for w in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _plain(value: Any) -> Any:
    """Convert a value for JSON: keys as strings, tensors as lists, NaN and inf as None."""
    if isinstance(value, Mapping):
        return {f"{k:g}" if isinstance(k, float) else str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, torch.Tensor):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)
