"""Command lines and data for runs of seconds, in the layouts on disk."""

from pathlib import Path
from typing import Any

import torch

from tests.data import tiny_data

TINY = (
    "--scale small --cpu --judged 4 --size 112 112 --seeds 0 --cycles 1 --images-per-cycle 3 "
    "--tries 2 --max-passes 24 --hard 1.1 --target.batch 4 --target.start-iterations 2 "
    "--target.iterations 2 --target.averaged 1 --synthesizer.steps 2 --synthesizer.batch 4 "
    "--discriminator.width 2 --side-by-side 1"
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


def state(path: Path) -> dict[str, Any]:
    """A checkpoint without the times it took."""
    content: dict[str, Any] = torch.load(path, weights_only=True)
    for record in content["header"]["history"]:
        record.pop("seconds", None)
    return content


def same(first: Any, second: Any) -> bool:
    """Whether two checkpoints are the same, tensors by bits."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)
