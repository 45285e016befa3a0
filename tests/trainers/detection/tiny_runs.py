"""Command lines and data for runs of seconds, in the layouts on disk."""

from pathlib import Path
from typing import Any

import pytest

from tests.data import tiny_data
from trainers.detection import run as phases
from trainers.detection.sources import Data

TINY = (
    "--scale small --cpu --judged 4 --size 112 112 --seeds 0 --cycles 1 --images-per-cycle 3 "
    "--tries 2 --max-passes 24 --hard 1.1 --target.batch 4 --target.start-iterations 2 "
    "--target.iterations 2 --target.averaged 1 --synthesizer.steps 2 --synthesizer.batch 4 "
    "--discriminator.width 2 --side-by-side 1 "
    "--context.steps 2 --context.candidates 2 --context.least 0"
)


def people(folder: Path, count: int = 6) -> None:
    """VOC and COCO's backgrounds."""
    voc = folder / "VOCdevkit" / "VOC2007"
    identifiers = [f"{n:06}" for n in range(count)]
    for n, identifier in enumerate(identifiers):
        box = (20.0 + n, 10.0, 80.0, 75.0)
        mask = {1: tiny_data.rectangle(90, 120, [int(v) for v in box])}
        tiny_data.voc_image(voc, identifier, [("person", box, 0)], mask)
    sets = {"Main_trainval": identifiers[2:], "Main_test": identifiers[:2]}
    tiny_data.voc_sets(voc, Segmentation_trainval=identifiers[2:], **sets)
    tiny_data.coco(folder / "coco", {f"{n}.jpg": [] for n in range(3)} | {"p.jpg": [person()]})


def person(x: float = 30) -> dict[str, Any]:
    polygon = [x, 10, x + 40, 10, x + 40, 70, x, 70]
    return {"category_id": 3, "bbox": [x, 10, 40, 60], "segmentation": [polygon]}


def arguments(data: Path, output: Path, *more: str) -> list[str]:
    line = f"{TINY} --data {data} --output {output} --cache {output.parent / 'prepared'}"
    return [*line.split(), *more]


def prepared(trainer: Any, line: list[str]) -> Data:
    """The data that a command line of a trainer names."""
    config = trainer.command.parse("trainer", "", trainer.SCALES, line)
    return trainer.read(config).prepare(config)


def watch_tests(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """A list to which each test of T adds its photographs and detections."""
    seen: list[tuple[Any, Any]] = []
    detect_all = phases.detect_all

    def watched(network: Any, photographs: Any, *others: Any) -> Any:
        seen.append((photographs, detect_all(network, photographs, *others)))
        return seen[-1][1]

    monkeypatch.setattr(phases, "detect_all", watched)
    return seen
