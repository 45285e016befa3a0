"""Draws contact sheets: the cut-outs kept, and those whose annotations disagree (figure 10)."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from compositor.data.images import box_of
from compositor.data.prepared import Cutouts
from compositor.data.records import Cutout, Record, Records, Skip
from compositor.files import replacing

TILE = 128
"""Side in pixels."""
COLUMNS, ROWS = 12, 8
OBJECTS = 12
"""Objects drawn for each reason."""
GREY, GREEN, YELLOW = (128, 128, 128), (0, 220, 0), (255, 210, 0)

Box = Sequence[float]
Colour = tuple[int, int, int]


def contact_sheet(cutouts: Cutouts, path: Path) -> None:
    """Draw cut-outs spread evenly over the set, on grey, with each mask's box in green."""
    tiles = []
    for index in spread(len(cutouts), COLUMNS * ROWS):
        pixels = cutouts.image(index).numpy().transpose(1, 2, 0)
        mask = pixels[..., 3] > 0
        tiles.append(tile(_on_grey(pixels[..., :3], mask), [(box_of(mask), GREEN)]))
    save(tiles, path)


def clean_up_sheet(records: Records[Cutout], cutouts: Cutouts, path: Path) -> None:
    """Draw objects that the clean-up left out, by reason, and some it kept (the paper's figure 10).

    A row has four objects of three tiles each: the photograph with the annotated box in yellow, the
    mask, and the cut-out with the mask's own box in green.

    Args:
        records: What the cut-outs were prepared from.
        cutouts: The cut-outs, which know what was left out.
        path: Where to write the picture.
    """
    kept = [cutouts.names[index] for index in spread(len(cutouts), OBJECTS)]
    left_out = {reason: names[:OBJECTS] for reason, names in cutouts.left_out.items()}
    by_name = {record.name: record for record in records.records}
    tiles: list[Image.Image] = []
    for reason, names in (left_out | {"kept": kept}).items():
        for name in names:
            # An object's name is its image's, with a number if an image can have several.
            record = by_name.get(name) or by_name.get(name.rpartition("/")[0])
            if record is not None and (cutout := _find(record, name)) is not None:
                tiles += _three(cutout, reason)
        tiles += [Image.new("RGB", (TILE, TILE), "white")] * (-len(tiles) % COLUMNS)
    save(tiles, path)


def _find(record: Record[Cutout], name: str) -> Cutout | None:
    with contextlib.suppress(Skip):  # the whole image is skipped: there is no object to show
        for item in record.load():
            cutout = item.cutout if isinstance(item, Skip) else item
            if cutout is not None and cutout.name == name:
                return cutout
    return None


def _three(cutout: Cutout, caption: str) -> list[Image.Image]:
    annotated = [] if cutout.box is None else [(cutout.box, YELLOW)]
    photograph = tile(cutout.image, annotated)
    ImageDraw.Draw(photograph).text(
        (2, 0), caption, fill="white", stroke_fill="black", stroke_width=2
    )
    mask = np.repeat(np.where(cutout.mask, 255, 0).astype(np.uint8)[..., None], 3, axis=2)
    own = [(box_of(cutout.mask), GREEN)]
    return [
        photograph,
        tile(mask, annotated),
        tile(_on_grey(cutout.image, cutout.mask), own),
    ]


def _on_grey(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.where(mask[..., None], image, np.array(GREY, np.uint8))


def tile(
    image: NDArray[np.uint8], boxes: Sequence[tuple[Box, Colour]], side: int = TILE
) -> Image.Image:
    """Scale a picture to a tile, keeping its aspect ratio, and draw boxes given in its pixels."""
    height, width = image.shape[:2]
    scale = (side - 2) / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    tile = Image.new("RGB", (side, side), "white")
    tile.paste(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR), (1, 1))
    for (x1, y1, x2, y2), colour in boxes:
        corners = (x1, y1, max(x1, x2 - 1), max(y1, y2 - 1))  # of less than a pixel, too
        ImageDraw.Draw(tile).rectangle([scale * v + 1 for v in corners], None, colour)
    return tile


def spread(length: int, count: int) -> list[int]:
    """The indices of so many things, or fewer, spread evenly over a list of this length."""
    return [int(i) for i in np.linspace(0, length - 1, min(count, length)).round()]


def save(tiles: Sequence[Image.Image], path: Path, columns: int = COLUMNS) -> None:
    """Write a sheet of tiles of one size, in rows."""
    rows = -(-len(tiles) // columns)
    width, height = tiles[0].size if tiles else (TILE, TILE)
    sheet = Image.new("RGB", (columns * width, max(rows, 1) * height), "white")
    for number, each in enumerate(tiles):
        sheet.paste(each, (number % columns * width, number // columns * height))
    with replacing(path) as partial:
        sheet.save(partial)
