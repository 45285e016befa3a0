"""Generate a labelled data set from balloons and landscapes that are drawn for it.

It leaves the drawings, so that the folders show what your own have to look like, and the data set:

    python examples/dataset.py --output balloons

With your own, no script is needed:

    python -m compositor.generate --cutouts OBJECTS --backgrounds PHOTOGRAPHS --output scenes
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from drawings import balloon, landscape
from pictures import to_bytes, to_image
from torch import Tensor

from compositor.files import DataError, replacing
from compositor.generate import Config as DataSet
from compositor.generate import generate

CLASSES = ("red balloon", "blue balloon", "purple balloon")


@dataclass
class Config:
    """Generate a data set of balloons over landscapes."""

    output: Path = Path("balloons")
    """Folder for the drawings and the data set."""
    count: int = 100
    """Number of pictures."""
    seed: int = 0
    """Seed of the drawings' landscapes and of the scenes."""


def main(config: Config) -> None:
    """Draw cut-outs and backgrounds, and generate the data set."""
    cutouts, backgrounds = config.output / "cutouts", config.output / "backgrounds"
    scenes = DataSet(
        cutouts=(cutouts,),
        backgrounds=(backgrounds,),
        output=config.output / "scenes",
        count=config.count,
        seed=config.seed,
        formats=("coco", "yolo"),
    )
    scenes.check()
    for index, name in enumerate(CLASSES):
        save(torch.cat(balloon(index), 1), cutouts / name / "1.png")
    for index in range(6):
        save(landscape(index, 360, 480, config.seed + index), backgrounds / f"{index}.png")
    print(f"wrote {generate(scenes)}")


def save(picture: Tensor, path: Path) -> None:
    """Write a picture (1, 3 or 4, H, W) in [0, 1]."""
    with replacing(path) as partial:
        to_image(to_bytes(picture[0])).save(partial)


if __name__ == "__main__":
    try:
        main(tyro.cli(Config, description=__doc__))
    except (DataError, ValueError) as error:
        sys.exit(f"error: {error}")
