r"""Paste many cut-outs on each background, and draw the labels of what of them can be seen.

The picture that it writes has each composite and, beside it, the same with its labels: masks tinted
in a colour per object, boxes, and how much of each object others hide (occluded) and the frame cuts
off (truncated). Without files it flies balloons that it draws itself. This made the README's:

    python examples/scene.py --seed 5 --output examples/composites.png

It takes any files that Pillow reads, and folders of them. A foreground's mask is its alpha channel
or a file of its own:

    python examples/scene.py --foreground cutouts/ --background photographs/ --objects 20
    python examples/scene.py --foreground mug.jpg --mask mug.pbm --invert-mask \
        --background kitchen.jpg --box 320 400 480 600
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
import tyro
from cutouts import Cutouts
from drawings import landscape
from overlay import Box, beside_its_labels, grid
from pictures import check_output, listed, read, to_bytes, write
from torch import Tensor

import compositor
from compositor import affine
from compositor.scenes.bank import BankedCutout

TURN, SHEAR, STRETCH = 25.0, 0.15, 0.1
"""How far an object is turned either way, in degrees, sheared, and stretched, as shares."""
FARTHEST = 10**6


@dataclass
class Config:
    """Paste cut-outs on backgrounds and draw the labels of what can be seen."""

    foreground: tuple[Path, ...] = ()
    """Pictures to cut objects from, or folders of them; none: draw balloons."""
    mask: tuple[Path, ...] = ()
    """One mask per foreground, white on the object; none: the foregrounds' alpha channels."""
    invert_mask: bool = False
    """The object is black in the mask files, as in BigBIRD."""
    background: tuple[Path, ...] = ()
    """Pictures to paste on, or folders of them; none: draw landscapes."""
    count: int = 2
    """Number of composites. Foregrounds and backgrounds are each used once before any is again."""
    objects: int = 8
    """Objects per composite, the last on top."""
    size: tuple[float, float] = (0.15, 0.45)
    """Least and largest size of an object: its longer side over the background's shorter one."""
    box: tuple[tuple[int, int, int, int], ...] = ()
    """Instead of --objects and --size: a box for each, x1 y1 x2 y2 in pixels, right and bottom
    exclusive, on the canvas or beyond it. Files are then used in their order."""
    seed: int = 0
    """Seed of the random choices and places."""
    sigma: float = 1.0
    """Blur of the cut-outs' edges, in pixels."""
    output: Path = Path("composites.png")
    """The picture to write."""

    def check(self) -> None:
        """Raise if an option is out of range."""
        for option, value in (("--count", self.count), ("--objects", self.objects)):
            if value < 1:
                raise ValueError(f"{option}: got {value}, wanted 1 or more")
        if not 0 < self.size[0] <= self.size[1] <= 2:
            raise ValueError(f"--size: got {self.size}, wanted 0 < least <= largest <= 2")
        for box in self.box:
            if not (box[0] < box[2] and box[1] < box[3]):
                raise ValueError(f"--box: got {box}, wanted x1 < x2 and y1 < y2")
            if max(map(abs, box)) > FARTHEST:
                raise ValueError(f"--box: got {box}, wanted no side beyond {FARTHEST} pixels")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"--seed: got {self.seed}, wanted 0 to {2**63 - 1}")
        check_output(self.output)


class Scene(NamedTuple):
    """A picture (3, H, W) uint8 of L objects, their labels, and the part (L,) of each beyond it."""

    picture: Tensor
    labels: compositor.Labels
    truncated: Tensor

    def boxes(self) -> list[Box | None]:
        """Boxes of what can be seen."""
        pairs = zip(self.labels.boxes.int().tolist(), self.labels.area.tolist(), strict=True)
        return [tuple(box) if area else None for box, area in pairs]

    def notes(self) -> list[str]:
        """How much of each object is missing."""
        occluded = 1 - self.labels.area / self.labels.covered.clamp_min(1)
        occluded[self.labels.covered == 0] = 0
        pairs = zip(occluded.tolist(), self.truncated.tolist(), strict=True)
        return [f"{hidden:.0%} occluded, {beyond:.0%} truncated" for hidden, beyond in pairs]


def main(config: Config) -> None:
    """Make the composites, print a line for each object, and write the picture."""
    config.check()
    cutouts = Cutouts(listed(config.foreground), config.mask, config.invert_mask)
    load = lru_cache(maxsize=16)(cutouts.load)
    grounds = listed(config.background)
    generator = torch.Generator().manual_seed(config.seed)
    objects = len(config.box) or config.objects
    foregrounds = turns(len(cutouts), config, generator)
    backgrounds = turns(len(grounds) or 3, config, generator)
    panels = []
    for number in range(config.count):
        first = number * objects
        chosen = [load(foregrounds[k % len(cutouts)]) for k in range(first, first + objects)]
        ground = backgrounds[number % len(backgrounds)]
        canvas = read(grounds[ground], "RGB") if grounds else to_bytes(landscape(ground)[0])
        scene = compose(chosen, canvas, config, generator)
        boxes, notes = scene.boxes(), scene.notes()
        panels.append(beside_its_labels(scene.picture, scene.labels.owner[0], boxes, notes))
        for k, (cutout, box, note) in enumerate(zip(chosen, boxes, notes, strict=True), 1):
            seen = "box {} {} {} {}".format(*box) if box else "not visible"
            print(f"composite {number + 1}, {k} {cutout.name}: {seen}, {note}")
    write(grid(panels), config.output)
    print(f"wrote {config.output}")


def turns(count: int, config: Config, generator: torch.Generator) -> list[int]:
    """The order in which files are used: at random unless boxes are given for them."""
    order = torch.randperm(count, generator=generator).tolist()
    return sorted(order) if config.box else order


def compose(
    cutouts: Sequence[BankedCutout], canvas: Tensor, config: Config, generator: torch.Generator
) -> Scene:
    """Paste cut-outs on a canvas (3, H, W) uint8, the last on top."""
    size = canvas.shape[1:]
    if config.box:
        boxes = torch.tensor(config.box, dtype=torch.float32).split(1)
        thetas = [
            affine.from_boxes(cutout.levels[0].mask[None] / 255, box, size, threshold=0)
            for cutout, box in zip(cutouts, boxes, strict=True)
        ]
    else:
        thetas = [random_theta(cutout, size, config.size, generator) for cutout in cutouts]
    ready, truncated = [], []
    for cutout, theta in zip(cutouts, thetas, strict=True):
        # Shrunk by more than half, it would lose pixels: a smaller level serves the same theta.
        scales = affine.to_parameters(theta, cutout.frame, size)[0, 2:4]
        ready.append(cutout.level(float(scales.abs().max())))
        mask = cutout.levels[0].mask[None] / 255
        truncated.append(1 - compositor.visible_fraction(mask, theta, size))
    pictures, labels = compositor.render(
        canvas[None],
        [level.colours for level in ready],
        [level.mask for level in ready],
        torch.cat(thetas),
        image=torch.zeros(len(ready), dtype=torch.int64),
        threshold=0,
        sigma=config.sigma,
        return_labels=True,
    )
    return Scene(pictures[0], labels, torch.cat(truncated))


def random_theta(
    cutout: BankedCutout,
    canvas: torch.Size,
    limits: tuple[float, float],
    generator: torch.Generator,
) -> Tensor:
    """Draw a placement (1, 2, 3) with its centre anywhere on the canvas, turned a bit."""
    u = torch.rand(6, generator=generator) * 2 - 1
    side = limits[0] + (limits[1] - limits[0]) * (u[0] + 1) / 2
    scale = side * min(canvas) / max(cutout.size)
    parameters = (
        TURN * u[1],
        SHEAR * u[2],
        scale,
        scale * (1 + STRETCH * u[3]),
        u[4] * canvas[1] / 2,
        u[5] * canvas[0] / 2,
    )
    return affine.from_parameters(torch.stack(parameters)[None], cutout.frame, canvas)


if __name__ == "__main__":
    try:
        main(tyro.cli(Config, description=__doc__))
    except ValueError as error:
        sys.exit(f"error: {error}")
