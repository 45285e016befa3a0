"""Cut-outs for scenes: read from files or drawn."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from drawings import PALETTES, balloon
from pictures import read, to_bytes

from compositor.data.records import Cutout
from compositor.scenes.bank import BankedCutout, banked


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

    def load(self, index: int) -> BankedCutout:
        """Read the object, or draw it, and make it ready to be pasted."""
        if not self.pictures:
            name = f"balloon {index + 1}"
            colours, mask = (to_bytes(part[0]) for part in balloon(index))
        elif self.masks:
            path = self.pictures[index]
            name = path.name
            colours, mask = read(path, "RGB"), read(self.masks[index], "L")
            if mask.shape[1:] != colours.shape[1:]:
                got, wanted = tuple(mask.shape[1:]), tuple(colours.shape[1:])
                raise ValueError(f"{self.masks[index]}: got size {got}, wanted {wanted} as {path}")
            mask = 255 - mask if self.inverted else mask
        else:
            path = self.pictures[index]
            name = path.name
            colours, mask = read(path, "RGBA").split((3, 1))
            if mask.min() == 255:
                raise ValueError(f"{path}: got no transparent pixel, wanted some or a --mask")
        solid = mask[0].numpy() > 127
        if not solid.any():
            raise ValueError(f"{path}: got an empty mask, wanted an object (or --invert-mask)")
        return banked(Cutout(name, np.asarray(colours.permute(1, 2, 0)), solid, 1))
