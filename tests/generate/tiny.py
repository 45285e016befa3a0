"""Tiny sources, and what a data set's folder holds."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compositor.data.labels import LabelledPicture
from compositor.generate import Config
from compositor.generate.statistics import Statistics
from compositor.scenes.law import Law, Look, Placement
from tests.data import tiny_data

LAW = Law(Placement(objects=(1, 3), scale=(0.3, 0.6), visible=0.2), Look(noise=(0.0, 0.02)))


def sources(folder: Path) -> tuple[Path, Path]:
    """RGBA cut-outs of two classes, and backgrounds."""
    for kind in ("ball", "box"):
        for n in range(3):
            colours = tiny_data.picture(40, 50, n + 5 * (kind == "box"))
            y, x = np.mgrid[:40, :50]
            round_ = (x - 25) ** 2 + (y - 20) ** 2 < (12 + n) ** 2
            square = tiny_data.rectangle(40, 50, (8, 8, 40 - n, 32))
            alpha = (round_ if kind == "ball" else square).astype(np.uint8) * 255
            path = folder / "cutouts" / kind / f"{n}.png"
            tiny_data.save(path, np.dstack((colours, alpha)))
    for n in range(4):
        pixels = tiny_data.picture(70 + 10 * n, 100, n)
        tiny_data.save(folder / "grounds" / f"{n}.jpg", pixels, quality=95)
    return folder / "cutouts", folder / "grounds"


def config(folder: Path, output: str, **options: Any) -> Config:
    cutouts, grounds = sources(folder)
    settings: dict[str, Any] = {"count": 120, "size": (48, 64), "law": LAW, "seed": 3}
    return Config((cutouts,), (grounds,), folder / output, **(settings | options))


def content(folder: Path, below: str = "shards") -> dict[str, bytes]:
    """All files of a data set, hidden ones too."""
    root = folder / below
    return {
        str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()
    }


def counted(pictures: Iterable[LabelledPicture], classes: Sequence[str]) -> Statistics:
    """What there is to tell of the pictures."""
    found = Statistics(classes)
    for picture in pictures:
        found.add(picture)
    return found
