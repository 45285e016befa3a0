"""Judge labelled pictures by a detector: how sure it is of each object, and what is hard for it.

    python examples/judge.py --pictures coco --detector torchvision:ssdlite320_mobilenet_v3_large
    python examples/judge.py --pictures VOCdevkit --detector examples/nanodet.py:load \\
        --weights nanodet
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

from compositor.data.read.source import photographs
from compositor.files import DataError
from compositor.selection.detector import detect, labels_by_name, load
from compositor.selection.judge import confidences, is_hard


@dataclass
class Config:
    """Judge labelled pictures by a detector."""

    pictures: Path
    """A COCO file or folder, or a VOCdevkit."""
    detector: str
    """torchvision:NAME, hf:FOLDER, onnx:FILE or module:factory."""
    weights: str | None = None
    """The detector's weights; none: torchvision's own, or what the others bring along."""
    below: float = 0.5
    """An object is hard if the detector's confidence for it is below this."""
    share: float = 0.5
    """A picture is hard if at least this share of its objects is."""


def main(config: Config) -> None:
    """Print a line for each picture that shows an object, and how many of them are hard."""
    detector = load(config.detector, config.weights)
    data = photographs(config.pictures)
    labels = torch.tensor(labels_by_name(detector, data.classes))
    hard = []
    for record in data.records:
        items, skips = record.loaded()
        for skip in skips:
            print(f"left out: {skip}", file=sys.stderr)
        if not items or items[0].annotation.ignore.all():
            continue
        (photograph,) = items
        image = torch.tensor(photograph.image).permute(2, 0, 1)[None] / 255
        objects = photograph.annotation
        boxes, known = torch.tensor(objects.boxes), labels[torch.tensor(objects.labels)]
        found = confidences(detect(detector, image)[0], boxes, known)
        sure = found[~torch.tensor(objects.ignore)]
        hard.append(is_hard(sure, config.below, config.share))
        numbers = " ".join(f"{value:.2f}" for value in sure.tolist())
        print(f"{photograph.name} {'hard' if hard[-1] else 'easy'}: {numbers}")
    print(f"{sum(hard)} of {len(hard)} pictures are hard")


if __name__ == "__main__":
    try:
        main(tyro.cli(Config, description=__doc__))
    except (DataError, ValueError) as error:
        sys.exit(f"error: {error}")
