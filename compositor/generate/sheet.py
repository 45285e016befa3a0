"""``preview.png``: the first pictures, their masks tinted, with boxes and names."""

import math
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from compositor.data import sheets
from compositor.data.labels import LabelledPicture, decode
from compositor.generate.drawing import FONT, colour, pixels, shown

SIDE = 320
"""A tile's, in pixels."""
MOST_COLUMNS = 8
LETTERS, LINE = 10, 13
"""Height of a name's letters and of its line, in pixels."""
TINT = 0.4
"""Share of an object's colour in its mask."""
Span = tuple[float, float, float, float]
"""Left, top, right and bottom of a name."""


def write(
    pictures: Iterable[LabelledPicture], classes: Sequence[str], path: Path, count: int = 16
) -> None:
    """Draw the first ``count`` pictures on one sheet; what is ignored is grey.

    Raises:
        DataError: A picture is missing or broken, or the disk is full.
    """
    first = list(islice(pictures, count))
    tiles = [_tile(picture, classes) for picture in first]
    # As high as the highest picture: most are wider than high, and tiles are square.
    height = max((SIDE * h // max(h, w) for h, w in (each.size for each in first)), default=SIDE)
    tiles = [tile.crop((0, 0, SIDE, height)) for tile in tiles]
    columns = min(MOST_COLUMNS, math.ceil(math.sqrt(max(len(tiles), 1))))
    sheets.save(tiles, path, columns)


def _tile(picture: LabelledPicture, classes: Sequence[str]) -> Image.Image:
    image = pixels(picture).astype(np.float32)
    drawn = []
    for position, instance in enumerate(picture.instances):
        hue = colour(position, instance.ignore)
        drawn.append((instance.box, hue))
        if instance.mask is not None:
            mask = decode(instance.mask)
            image[mask] += TINT * (np.array(hue) - image[mask])
    tile = sheets.tile(image.round().astype(np.uint8), drawn, SIDE)
    scale = (SIDE - 2) / max(picture.size)
    draw, font = ImageDraw.Draw(tile), ImageFont.truetype(FONT, LETTERS)
    bottom = int(scale * picture.size[0]) + 1
    taken: list[Span] = []
    for instance, (box, hue) in zip(picture.instances, drawn, strict=True):
        name = shown(classes[instance.label], instance.label)
        width = draw.textlength(name, font) + 2
        x = max(0.0, min(scale * box[0] + 1, SIDE - width))
        y = _free(x, x + width, round(scale * box[1]) + 1 - LINE, bottom - LINE, taken)
        taken.append((x, y, x + width, y + LINE))
        draw.rectangle((x, y, x + width - 1, y + LINE - 1), hue)
        draw.text((x + 1, y + LINE / 2), name, "white", font, "lm")
    return tile


def _free(left: float, right: float, wanted: int, lowest: int, taken: Sequence[Span]) -> int:
    """The top nearest to the wanted one at which a line covers no other; the wanted one, or the
    picture's edge, if there is none."""
    beside = [(y1, y2) for x1, y1, x2, y2 in taken if x1 < right and left < x2]
    nearest = min(max(wanted, 0), max(lowest, 0))
    for top in sorted(range(max(lowest, 0) + 1), key=lambda top: abs(top - nearest)):
        if all(top >= y2 or top + LINE <= y1 for y1, y2 in beside):
            return top
    return nearest
