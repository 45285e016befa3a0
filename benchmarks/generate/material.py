"""What is written: a seeded data set of synthetic cut-outs on synthetic backgrounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from benchmarks.render.scenes import BYTES, make_layers
from compositor.data.records import Annotation, Cutout, Photograph, Record
from compositor.generate import Config
from compositor.generate.material import Material, Sources
from compositor.scenes.backgrounds import Backgrounds
from compositor.scenes.bank import Bank, banked
from compositor.scenes.canvas import Canvas
from compositor.scenes.compose import Scene, compose
from compositor.scenes.draw import generator
from compositor.scenes.drawn import scene
from compositor.scenes.law import Law, Look, Placement
from compositor.scenes.recipe import Recipe

BACKGROUNDS = 16
QUALITY = 95
# Levels of noise, without which the smooth pictures would be easier to encode than photographs.
GRAIN = 6


@dataclass(frozen=True)
class DataSet:
    """A data set that is still to be written, all that it is made of held in memory.

    Attributes:
        config: The options, one worker and no output folder yet.
        sources: Cut-outs and backgrounds.
        recipes: Of each scene what is pasted and where.
        canvases: Of each scene its background.
        scenes: Of each scene picture and labels, as our code makes them.
    """

    config: Config
    sources: Sources
    recipes: tuple[Recipe, ...]
    canvases: tuple[Canvas, ...]
    scenes: tuple[Scene, ...]

    @property
    def bank(self) -> Bank:
        return self.sources.splits["train"].bank

    @property
    def covered(self) -> float:
        """The share of the pictures that the objects own."""
        owned = sum(found.area for scene in self.scenes for found in scene.instances)
        return owned / sum(scene.image.size / 3 for scene in self.scenes)


@lru_cache(maxsize=1)
def make_data_set(count: int, size: tuple[int, int], objects: int) -> DataSet:
    """Make what ``count`` pictures of ``size`` (H, W) are written from.

    Objects keep their aspect and colours and are not mirrored, so that peers can paste them, too.
    """
    law = Law(
        Placement((objects, objects), angle=30.0, flip=0.0, aspect=1.0),
        Look(sigma=(1.0, 1.0), brightness=0.0, contrast=0.0, colour=0.0, quality=(QUALITY,) * 2),
    )
    config = Config(
        (Path("cut-outs"),), (Path("backgrounds"),), count=count, size=size, law=law, preview=0
    )
    sources = _sources(size)
    material = sources.splits["train"]
    made = [
        scene(
            law,
            material.bank,
            material.backgrounds,
            generator(config.seed, number),
            attempt=generator(config.seed, number, 0),
        )
        for number in range(count)
    ]
    return DataSet(
        config,
        sources,
        tuple(drawn.recipe for drawn in made),
        tuple(drawn.canvas for drawn in made),
        tuple(drawn.scene for drawn in made),
    )


def composed(
    recipes: Sequence[Recipe],
    canvases: Sequence[Canvas],
    bank: Bank,
    law: Law,
) -> list[Scene]:
    """Render and label all scenes; nothing in them is random any more."""
    random, visible = np.random.default_rng(0), law.placement.visible
    pairs = zip(recipes, canvases, strict=True)
    return [compose(recipe, bank, canvas, visible, None, random) for recipe, canvas in pairs]


def _sources(size: tuple[int, int]) -> Sources:
    layers = make_layers((BACKGROUNDS, 3, *size), BYTES, 1)
    random = np.random.default_rng(0)

    def grained(colours: np.ndarray) -> np.ndarray:
        """Turn (3, h, w) into a photograph's (h, w, 3)."""
        pixels = colours.transpose(1, 2, 0) + random.normal(0, GRAIN, (*colours.shape[1:], 1))
        return pixels.clip(0, 255).astype(np.uint8)

    cutouts = [
        banked(Cutout(f"cut-out {n}", grained(colours.numpy()), mask[0].numpy() > 0, 1))
        for n, (colours, mask) in enumerate(zip(layers.foreground, layers.mask, strict=True))
    ]

    def record(number: int) -> Record[Photograph]:
        image = grained(layers.background[number].numpy())
        photograph = Photograph(f"background {number}", image, Annotation.of())
        return Record(photograph.name, (), lambda: [photograph])

    backgrounds = Backgrounds([record(n) for n in range(BACKGROUNDS)], size)
    classes = ("__background__", "ellipse")
    splits = {"train": Material(Bank(cutouts), backgrounds)}
    return Sources(classes, None, splits, (), {}, "synthetic")
