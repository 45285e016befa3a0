"""Cut-outs for scenes: read from files or drawn, and made ready to be pasted at a size."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from drawings import PALETTES, balloon
from pictures import read, to_bytes
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

import compositor

REACH = 16
"""How far a cut-out's colours are continued beyond it, in pixels, for blurs of sigma up to 5."""


class Cutout(NamedTuple):
    """An object: bytes of colours (3, h, w) and of its mask (1, h, w), which reaches all edges."""

    name: str
    colours: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Cutouts:
    """The objects of a command line by index; without files, balloons."""

    pictures: list[Path]
    masks: tuple[Path, ...]
    inverted: bool

    def __post_init__(self) -> None:
        if self.masks and len(self.masks) != len(self.pictures):
            raise ValueError(
                f"--mask: got {len(self.masks)} for {len(self.pictures)} foregrounds, wanted one"
                " for each"
            )
        if self.inverted and not self.masks:
            raise ValueError("--invert-mask: got no --mask to invert")

    def __len__(self) -> int:
        return len(self.pictures) or len(PALETTES)

    def load(self, index: int) -> Cutout:
        """Read the object, or draw it."""
        if not self.pictures:
            colours, mask = (to_bytes(part[0]) for part in balloon(index))
            return _trimmed(f"balloon {index + 1}", colours, mask)
        path = self.pictures[index]
        if self.masks:
            colours, mask = read(path, "RGB"), read(self.masks[index], "L")
            mask = ((mask > 127) ^ self.inverted).to(torch.uint8) * 255
            if mask.shape[1:] != colours.shape[1:]:
                got, wanted = tuple(mask.shape[1:]), tuple(colours.shape[1:])
                raise ValueError(f"{self.masks[index]}: got size {got}, wanted {wanted} as {path}")
        else:
            colours, mask = read(path, "RGBA").split((3, 1))
            if mask.min() == 255:
                raise ValueError(f"{path}: got no transparent pixel, wanted some or a --mask")
        if mask.max() < 128:
            raise ValueError(f"{path}: got an empty mask, wanted an object (or --invert-mask)")
        return _trimmed(path.name, colours, mask)


def _trimmed(name: str, colours: Tensor, mask: Tensor) -> Cutout:
    x1, y1, x2, y2 = compositor.boxes(mask[None] > 0)[0][0].int().tolist()
    return Cutout(name, colours[:, y1:y2, x1:x2], mask[:, y1:y2, x1:x2])


def shrunk(cutout: Cutout, scale_x: float, scale_y: float) -> Cutout:
    """A cut-out with no more pixels than it gets on the canvas, and colours beyond its edge.

    Samples of one that shrinks would miss pixels, as in any bilinear sampling. A blurred edge
    reaches beyond the object, where a cut-out is black or shows the scene it was cut from, which
    would appear as a fringe.
    """
    h, w = cutout.mask.shape[1:]
    size = math.ceil(h * min(scale_y, 1)), math.ceil(w * min(scale_x, 1))
    mask = cutout.mask[None] / 255
    weight = (mask > 0.5).float()
    parts = torch.cat((cutout.colours[None] / 255 * weight, weight, mask), 1)
    if size != (h, w):
        parts = interpolate(parts, size, mode="bilinear", antialias=True)
    colours, weight, mask = parts.split((3, 1, 1), 1)
    colours, known = colours / weight.clamp_min(1e-6), (weight > 0.01).float()
    for _ in range(REACH):
        near, weight = avg_pool2d(colours * known, 3, 1, 1), avg_pool2d(known, 3, 1, 1)
        colours = torch.where(known > 0, colours, near / weight.clamp_min(1e-6))
        known = (weight > 0).float()
    return Cutout(cutout.name, to_bytes(colours[0]), to_bytes(mask[0]))
