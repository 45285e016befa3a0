"""Turns shards that are all there into the formats, and into what to look at."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

import torch
from tqdm import tqdm

import compositor
from compositor import files
from compositor.data.labels import LabelledPicture
from compositor.data.write import coco, voc, yolo
from compositor.files import DataError
from compositor.generate import gallery, sheet, statistics
from compositor.generate.config import Config
from compositor.generate.material import LeftOut, Sources, told
from compositor.generate.scenes import Tally
from compositor.generate.shards import Shards
from compositor.generate.statistics import Statistics

REPORT = "report.json"


def written(folder: Path) -> int | None:
    """When a data set was finished last, as its file system counts; None: it never was."""
    report = folder / REPORT
    return report.stat().st_mtime_ns if report.is_file() else None


def write(config: Config, sources: Sources, shards: Shards) -> None:
    """Write the formats, the pictures of the whole, and at the very end the report.

    Raises:
        DataError: There is no picture to write.
    """
    tally, left_out = _summed(sources, shards)
    if not tally.scenes:
        raise DataError(f"{config.output}: none of {config.count} scenes was hard enough")
    if not tally.objects and tally.unplaced + tally.hidden:
        raise DataError(
            f"{config.output}: no object is in any scene: {tally.unplaced} found no place, "
            f"{tally.hidden} showed too little; see law.placement's scale, side and enlarged"
        )
    _formats(config, sources, shards, tally.scenes)
    report = {
        "pictures": tally.scenes,
        "objects": tally.objects,
        "classes": list(sources.classes[1:]),
        "by_class": _shown(config, sources, shards, left_out),
        "tally": asdict(tally),
        "left_out": left_out,
        "settings": {name: repr(value) for name, value in vars(config).items()},
        "versions": {"compositor": compositor.__version__, "torch": torch.__version__},
    }
    files.write(config.output / REPORT, json.dumps(report, indent=1))


def line(folder: Path) -> str:
    """What a report says, in a line."""
    report = json.loads((folder / REPORT).read_text())
    parts = [f"wrote {folder}: {report['pictures']} pictures, {report['objects']} objects"]
    if missing := [name for name, count in report["by_class"].items() if not count]:
        parts.append(f"no object of {', '.join(missing)}")
    if unplaced := report["tally"]["unplaced"]:
        parts.append(f"{unplaced} more found no place")
    if left_out := report["left_out"]:
        parts.append(f"left out: {told(left_out)}")
    return "; ".join(parts)


def _formats(config: Config, sources: Sources, shards: Shards, count: int) -> None:
    """Write the formats, those that an earlier run has written too: they show other pictures."""
    writers: dict[str, Callable[[Path, Iterable[LabelledPicture]], None]] = {
        "coco": lambda folder, pictures: coco.write(folder, pictures, sources.classes, sources.ids),
        "coco-polygons": lambda folder, pictures: coco.write(
            folder, pictures, sources.classes, sources.ids, polygons=True
        ),
        "yolo": lambda folder, pictures: yolo.write(folder, pictures, sources.classes),
        "yolo-seg": lambda folder, pictures: yolo.write(folder, pictures, sources.classes, True),
        "voc": lambda folder, pictures: voc.write(folder, pictures, sources.classes),
    }
    for name, write_format in writers.items():
        folder = config.output / name
        if name in config.formats or folder.is_dir():
            bar = tqdm(shards.pictures(), name, count, unit="picture", disable=None)
            write_format(folder, bar)


def _shown(config: Config, sources: Sources, shards: Shards, left_out: LeftOut) -> dict[str, int]:
    """Write what to look at; return how many objects each class has."""
    classes = sources.classes
    if config.preview:
        sheet.write(shards.pictures(), classes, config.output / "preview.png", config.preview)
    counted = Statistics.of(shards.pictures(), classes)
    statistics.write(counted, config.output / "statistics.png")
    gallery.write(shards.pictures(), classes, left_out, config.output / "report.html")
    return {name: counted.labels[label] for label, name in enumerate(classes) if label}


def _summed(sources: Sources, shards: Shards) -> tuple[Tally, LeftOut]:
    """What all shards cost and left out."""
    total = dict.fromkeys(asdict(Tally()), 0)
    left_out = {reason: list(names) for reason, names in sources.left_out.items()}
    for shard in range(len(shards)):
        summary = shards.summary(shard)
        for name, number in summary["tally"].items():
            total[name] += number
        for reason, names in summary["left_out"].items():
            known = left_out.setdefault(reason, [])
            known += [name for name in names if name not in known]
    return Tally(**total), left_out
