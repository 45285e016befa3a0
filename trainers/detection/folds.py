"""One experiment over several folds: each by itself, then their means, run for run."""

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from accelerate import PartialState

from trainers.config import plain
from trainers.detection import experiment, report
from trainers.detection.experiment import ConfigType, Read
from trainers.detection.report import Layout


def run(
    config: ConfigType, folds: Sequence[ConfigType], read: Read[ConfigType], layout: Layout
) -> None:
    """Run every fold, and write the tables of their means.

    Args:
        config: The experiment's config, whose output folder gets the means.
        folds: Of each fold, the config, with an output folder of its own.
        read: Lists the data that a config names.
        layout: The layout of the tables.
    """
    for fold in folds:
        experiment.run(fold, read, layout)
    files = [fold.output / "results.json" for fold in folds]
    if PartialState().is_main_process and not config.check:
        found = [json.loads(file.read_text()) for file in files]
        report.write(config.output, combined(found, plain(config)))


def combined(found: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> dict[str, Any]:
    """The results of all folds as one: each run's AP is its mean over the folds.

    Args:
        found: Of each fold, what its results.json holds.
        config: The experiment's config.
    """
    first = found[0]
    data = {name: "; ".join(each["data"][name] for each in found) for name in first["data"]}
    histories = {
        way: {int(seed): _ends([each["cycles"][way][seed] for each in found]) for seed in runs}
        for way, runs in first["cycles"].items()
    }
    results = report.summarise(first["layout"], config, data, first["ignored"], histories)
    return results | {"best": {}}  # each fold has its own


def _ends(histories: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """One run's first and last record: AP is the folds' mean, and their costs are added up."""
    starts, ends = ([history[at]["ap"] for history in histories] for at in (0, -1))
    firsts = [history[0] for history in histories]
    others = [record for history in histories for record in history[1:]]
    return [
        {"ap": _average(starts), "spent": _summed(firsts, "spent")},
        {
            "ap": _average(ends),
            **{name: _summed(others, name) for name in ("search", "spent")},
        },
    ]


def _summed(records: Sequence[Mapping[str, Any]], name: str) -> dict[str, float]:
    """The numbers that all records have under a name, added up; empty if some have none."""
    found = [record.get(name) or {} for record in records]
    if not (found and all(found)):
        return {}
    return {key: sum(one[key] for one in found) for key in found[0]}


def _average(aps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean of APs as results.json has them, with IoUs as strings; None is left out."""

    def mean(every: Sequence[Mapping[str, float | None]]) -> dict[float, float | None]:
        known = {iou: [v for one in every if (v := one[iou]) is not None] for iou in every[0]}
        return {float(iou): statistics.mean(v) if v else None for iou, v in known.items()}

    names = aps[0]["per_class"]
    return {
        "per_class": {name: mean([ap["per_class"][name] for ap in aps]) for name in names},
        "mean": mean([ap["mean"] for ap in aps]),
    }
