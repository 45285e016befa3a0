"""``preview.png``: the first pictures, their masks tinted, with boxes and names."""

import math
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from compositor.data import sheets
from compositor.data.labels import LabelledPicture, decode
from compositor.generate.drawing import colour, pixels, short

SIDE = 320
"""A tile's, in pixels."""
MOST_COLUMNS = 8
TINT = 0.4
"""Share of an object's colour in its mask."""


def write(
    pictures: Iterable[LabelledPicture], classes: Sequence[str], path: Path, count: int = 16
) -> None:
    """Draw the first ``count`` pictures on one sheet; what is ignored is grey.

    Raises:
        DataError: A picture is missing or broken, or the disk is full.
    """
    shown = list(islice(pictures, count))
    tiles = [_tile(picture, classes) for picture in shown]
    # As high as the highest picture: most are wider than high, and tiles are square.
    height = max((SIDE * h // max(h, w) for h, w in (each.size for each in shown)), default=SIDE)
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
    draw, font = ImageDraw.Draw(tile), ImageFont.load_default(11)
    for instance, (box, hue) in zip(picture.instances, drawn, strict=True):
        name = short(classes[instance.label])
        x, y = scale * box[0] + 1, max(scale * box[1] - 12, 0)
        x = max(0.0, min(x, SIDE - draw.textlength(name, font)))
        draw.rectangle(draw.textbbox((x + 1, y), name, font), hue)
        draw.text((x + 1, y), name, "white", font)
    return tile
