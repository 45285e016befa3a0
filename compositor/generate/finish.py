"""Turns shards that are all there into the formats, and into what to look at."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch
from tqdm import tqdm

import compositor
from compositor import files
from compositor.data.records import counted
from compositor.data.write import coco, voc, yolo
from compositor.data.write.checks import checked
from compositor.data.write.parts import Writer
from compositor.files import DataError, replacing_folder
from compositor.generate import gallery, likeness, sheet, statistics
from compositor.generate.config import Config, Format
from compositor.generate.gallery import Lost
from compositor.generate.material import Sources
from compositor.generate.processes import Job, Workers
from compositor.generate.scenes import TOO_EASY, Tally
from compositor.generate.shards import Shards
from compositor.generate.statistics import Statistics

REPORT = "report.json"


def written(folder: Path) -> int | None:
    """When a data set was finished last, as its file system counts; None: it never was."""
    report = folder / REPORT
    return report.stat().st_mtime_ns if report.is_file() else None


def write(workers: Workers) -> None:
    """Write the formats, the pictures of the whole, and at the very end the report.

    Raises:
        DataError: There is no picture to write.
    """
    config, sources, shards = workers.job.config, workers.job.sources, workers.job.shards
    real = sources.real  # read before what was left out is summed
    tally, left_out = _summed(sources, shards)
    if not tally.scenes:
        raise DataError(
            f"{config.output}: none of {config.count} scenes is hard: in no try ({config.tries} "
            f"each) did {config.share:.0%} of the objects get a confidence below {config.hard:g}; "
            "raise --hard or --tries, or lower --share"
        )
    if not tally.objects and tally.unplaced + tally.hidden:
        raise DataError(
            f"{config.output}: no object is in any scene: {tally.unplaced} found no place, "
            f"{tally.hidden} showed too little; see law.placement's scale, side and enlarged"
        )
    formats(workers)
    counts = _shown(config, sources, shards, tally, left_out)
    banks = [material.bank for material in sources.splits.values()]
    cutouts = [bank[index] for bank in banks for index in bank.objects.tolist()]
    report = {
        "pictures": tally.scenes,
        "objects": tally.objects,
        "classes": list(sources.classes[1:]),
        "by_class": {
            name: counts.labels[label] for label, name in enumerate(sources.classes) if label
        },
        # How many pictures show each: a detector leaves few of those that it finds anywhere.
        "by_cutout": {each.name: counts.cutouts[each.name] for each in cutouts},
        "by_confidence": counts.by_confidence(),
        "distances": likeness.distances(counts.measured, real),
        "tally": asdict(tally),
        "left_out": {reason: asdict(lost) for reason, lost in left_out.items()},
        "settings": {name: repr(value) for name, value in vars(config).items()},
        "versions": {"compositor": compositor.__version__, "torch": torch.__version__},
    }
    # Or a power cut could leave files empty that the report says are there.
    os.sync()
    files.write(config.output / REPORT, json.dumps(report, indent=1))


def line(folder: Path) -> str:
    """What a report says, in a line."""
    report = json.loads((folder / REPORT).read_text())
    parts = [f"wrote {folder}: {report['pictures']} pictures, {report['objects']} objects"]
    if missing := [name for name, count in report["by_class"].items() if not count]:
        parts.append(f"no object of {', '.join(missing)}")
    if unplaced := report["tally"]["unplaced"]:
        parts.append(f"no place was found for {unplaced} more")
    left_out = {reason: Lost(**lost) for reason, lost in report["left_out"].items()}
    if easy := left_out.pop(TOO_EASY, None):
        scenes = report["pictures"] + len(easy)
        parts.append(
            f"{len(easy)} of {scenes} scenes gave no picture, being too easy: for more, raise "
            "--count; to reject fewer, raise --tries and write to another folder"
        )
    if left_out:
        parts.append(f"left out: {counted(left_out)}")
    return "; ".join(parts)


def formats(workers: Workers) -> None:
    """Write the formats, those that an earlier run has written too: they show other pictures."""
    config, sources, shards = workers.job.config, workers.job.sources, workers.job.shards
    for name in _wanted(config):
        with replacing_folder(config.output / name) as place:
            parts = workers.map(partial(_part, name, place), range(len(shards)))
            shown = tqdm(parts, name, len(shards), unit="shard", disable=None)
            _writer(name, sources).whole(place, shown)


def check(config: Config, sources: Sources) -> None:
    """Raise a ValueError if a format cannot hold the classes: before a scene is made, not after."""
    for name in _wanted(config):
        _writer(name, sources)


def _wanted(config: Config) -> list[Format]:
    return [
        name
        for name in get_args(Format)
        if name in config.formats or (config.output / name).is_dir()
    ]


def _writer(name: Format, sources: Sources) -> Writer[Any]:
    classes = sources.classes
    writers: dict[Format, Callable[[], Writer[Any]]] = {
        "coco": partial(coco.Writer, classes, sources.ids),
        "coco-polygons": partial(coco.Writer, classes, sources.ids, polygons=True),
        "yolo": partial(yolo.Writer, classes),
        "yolo-seg": partial(yolo.Writer, classes, segments=True),
        "voc": partial(voc.Writer, classes),
    }
    return writers[name]()


def _part(name: Format, place: Path, job: Job, shard: int) -> Any:
    writer = _writer(name, job.sources)
    return writer.part(place, checked(job.shards.of(shard), writer.classes))


def _shown(
    config: Config, sources: Sources, shards: Shards, tally: Tally, left_out: Mapping[str, Lost]
) -> Statistics:
    """Write what to look at; return what it counts."""
    classes = sources.classes
    if config.preview:
        sheet.write(shards.pictures(), classes, config.output / "preview.png", config.preview)
    judged = None
    if config.detector is not None:
        judged = f"{tally.scenes:,} of {config.count:,} scenes kept, {tally.passes:,} passes of the"
        judged += " detector"
    page = config.output / "report.html"
    pictures = shards.pictures()
    counted = gallery.write(pictures, classes, left_out, page, judged=judged, real=sources.real)
    statistics.write(counted, config.output / "statistics.png", sources.real)
    return counted


def _summed(sources: Sources, shards: Shards) -> tuple[Tally, dict[str, Lost]]:
    """What all shards cost and left out."""
    total = Tally()
    left_out: dict[str, Lost] = {}
    # Shards meet the same files, but each has scenes of its own, which no memory must hold.
    known: dict[str, set[str]] = {}

    def add(found: Mapping[str, Sequence[str]]) -> None:
        for reason, names in found.items():
            if reason != TOO_EASY:
                met = known.setdefault(reason, set())
                names = [name for name in names if name not in met]
                met.update(names)
            left_out.setdefault(reason, Lost()).add(names)

    add(sources.left_out)
    for shard in range(len(shards)):
        summary = shards.summary(shard)
        total += Tally(**summary["tally"])
        add(summary["left_out"])
    return total, left_out
