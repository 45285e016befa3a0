"""What is timed: our data set on disk, its parts and its start, and the same scenes by a peer."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.generate.material import BACKGROUNDS, QUALITY, DataSet, composed
from benchmarks.render import packages
from compositor.data.frames import pillow
from compositor.generate.finish import formats
from compositor.generate.material import read
from compositor.generate.processes import Job, Workers
from compositor.generate.run import make
from compositor.generate.scenes import Made, Maker
from compositor.generate.shards import Shards
from compositor.scenes.draw import outline

OWN, JPEG, RENDERING, FIRST, VISION_SYNTHESIS = (
    "compositor",
    "JPEG alone",
    "rendering and labels",
    "first picture",
    "vision-synthesis",
)
PEERS = (OWN, JPEG, RENDERING, FIRST, VISION_SYNTHESIS)
# Of a first run: files of cut-outs, and how many times their sides are those of the others, which
# makes them as large as photographed objects are.
FILES, LARGER = 100, 3

_kept: list[tempfile.TemporaryDirectory[str]] = []


def new_folders() -> Iterator[Path]:
    """Yield a new folder each time; all are deleted when the process ends: that is not timed."""
    _kept.append(tempfile.TemporaryDirectory())
    root = Path(_kept[-1].name)
    return (root / str(number) for number in count())


def ours(data: DataSet, workers: int) -> Callable[[], Path]:
    """What the command does for each picture: shards, then COCO's format; not the gallery, which
    shows a few of however many there are."""
    folders = new_folders()

    def run() -> Path:
        config = replace(data.config, output=next(folders), workers=workers)
        shards = Shards(config.output, config.count)
        with Workers(Job(config, data.sources, shards)) as processes:
            make(processes, shards.missing())
            formats(processes)
        return config.output

    return run


def jpeg(data: DataSet, workers: int) -> Callable[[], list[io.BytesIO]]:
    """Encode the same pictures, which are Pillow's already, and write nothing."""
    pictures = [pillow(scene.image) for scene in data.scenes]

    def run() -> list[io.BytesIO]:
        encoded = [io.BytesIO() for _ in pictures]
        for picture, file in zip(pictures, encoded, strict=True):
            picture.save(file, "JPEG", quality=QUALITY)
        return encoded

    return run


def rendering(data: DataSet, workers: int) -> Callable[[], Any]:
    """Render and label the same scenes, and write nothing."""
    return lambda: composed(data.recipes, data.canvases, data.bank, data.config.law)


def first_picture(data: DataSet, workers: int) -> Callable[[], Path]:
    """What a first run does for its first picture: list and decode the files, make the cut-outs
    ready, draw, render and label one scene, and write it."""
    folders = new_folders()
    root = next(folders)
    for kind in ("cut-outs", "backgrounds"):
        (root / kind).mkdir(parents=True)
    for number in range(FILES):
        cutout = data.bank[number % len(data.bank)]
        level, (h, w) = cutout.levels[0], cutout.size
        planes = torch.cat((level.colours, level.mask))[:, :h, :w].numpy()
        picture = pillow(np.pad(planes.transpose(1, 2, 0), ((1, 1), (1, 1), (0, 0))))
        size = (LARGER * picture.width, LARGER * picture.height)
        picture.resize(size).save(root / "cut-outs" / f"{number}.png")
    for number, canvas in enumerate(data.canvases[:BACKGROUNDS]):
        picture = pillow(canvas.image.numpy().transpose(1, 2, 0))
        picture.save(root / "backgrounds" / f"{number}.jpg", quality=QUALITY)
    config = replace(data.config, cutouts=(root / "cut-outs",), backgrounds=(root / "backgrounds",))

    def run() -> Path:
        (made,) = Maker(config, read(config)).make(range(1))
        assert isinstance(made, Made)
        place = next(folders).with_suffix(".jpg")
        pillow(made.scene.image).save(place, quality=made.quality)
        return place

    return run


def vision_synthesis(data: DataSet, workers: int) -> Callable[[], Path]:
    """Compose the same scenes without shadows and colour transfer, and export them as COCO."""
    import vision_synthesis

    composer = packages.composer(data.scenes[0].image.shape[:2])
    cutouts = []
    for cutout in (data.bank[n] for n in range(len(data.bank))):
        level, (h, w) = cutout.levels[0], cutout.size
        planes = [*level.colours.numpy()[::-1], level.mask.numpy()[0]]  # OpenCV writes BGR
        cutouts.append(np.dstack([plane[:h, :w] for plane in planes]))
    canvases = [
        np.ascontiguousarray(canvas.image.numpy()[::-1].transpose(1, 2, 0))
        for canvas in data.canvases
    ]
    specifications, places = [], []
    for scene in data.scenes:
        specifications.append(
            [
                {
                    "image": cutouts[layer.cutout],
                    "label": "ellipse",
                    "rotation_range": (layer.angle, layer.angle),
                    "z_index": float(number),
                }
                for number, layer in enumerate(scene.layers)
            ]
        )
        boxes = [outline(data.bank[o.cutout], o.angle, o.scale, o.centre) for o in scene.layers]
        # At a whole pixel, and by one scale: ours is the same along x and y.
        where = zip(boxes, scene.layers, strict=True)
        places.append([(box[0], box[1], layer.scale[1]) for box, layer in where])
    folders = new_folders()

    def run() -> Path:
        made = [
            composer.compose(canvas, objects, packages.given(where))
            for canvas, objects, where in zip(canvases, specifications, places, strict=True)
        ]
        exporter = vision_synthesis.CocoExporter(next(folders))
        return Path(exporter.export(made))

    return run


_PREPARE: dict[str, Callable[[DataSet, int], Callable[[], Any]]] = {
    OWN: ours,
    JPEG: jpeg,
    RENDERING: rendering,
    FIRST: first_picture,
    VISION_SYNTHESIS: vision_synthesis,
}


def prepare(peer: str, data: DataSet, workers: int) -> Callable[[], Any]:
    """Do what is not timed and return what is."""
    return _PREPARE[peer](data, workers)
