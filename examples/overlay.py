"""Draws labels: masks tinted in a colour per object, boxes, and a line of words for each."""

import colorsys
import math
from collections.abc import Sequence

import torch
from pictures import to_image
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

TINT = 0.5
"""How much of a mask's colour there is in its pixels."""
GAP = 4

Box = tuple[int, ...]  # x1, y1, x2, y2
Colour = tuple[int, ...]


def colour(index: int) -> Colour:
    """The colour of an object: hues a golden section apart, so that neighbours differ most."""
    red, green, blue = colorsys.hsv_to_rgb(0.97 + index * 0.618 % 1, 0.75, 1)
    return round(255 * red), round(255 * green), round(255 * blue)


def beside_its_labels(
    picture: Tensor, owner: Tensor, boxes: Sequence[Box | None], notes: Sequence[str]
) -> Image.Image:
    """Lay out a picture, the same with labels, and the notes below.

    Args:
        picture: (3, H, W) uint8.
        owner: (H, W), of each pixel the object that is seen there, or -1.
        boxes: (x1, y1, x2, y2) of each object, right and bottom exclusive; None: not visible.
        notes: A few words on each object.
    """
    plain, labelled = to_image(picture), to_image(tinted(picture, owner, len(boxes)))
    line = max(1, round(max(plain.size) / 250))
    font = ImageFont.load_default(size=10 + 3 * line)
    brush = ImageDraw.Draw(labelled)
    for index, box in enumerate(boxes):
        if box:
            x1, y1, x2, y2 = box
            brush.rectangle((x1, y1, x2 - 1, y2 - 1), outline=colour(index), width=line)
            tag(brush, x1, y1, str(index + 1), font, colour(index))
    below = _legend(notes, 2 * plain.width + GAP, font)
    sheet = Image.new("RGB", (below.width, plain.height + below.height), "white")
    sheet.paste(plain, (0, 0))
    sheet.paste(labelled, (plain.width + GAP, 0))
    sheet.paste(below, (0, plain.height))
    return sheet


def tinted(picture: Tensor, owner: Tensor, objects: int) -> Tensor:
    """Mix the colour of each object into the pixels (3, H, W) that it owns (H, W)."""
    colours = torch.tensor([colour(index) for index in range(objects)]).T
    mixed = torch.lerp(picture.float(), colours[:, owner.clamp_min(0)].float(), TINT)
    return torch.where(owner >= 0, mixed.round().to(torch.uint8), picture)


def tag(
    brush: ImageDraw.ImageDraw,
    x: int,
    y: int,
    text: str,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    fill: Colour,
) -> int:
    """Write on a plate with its corner at (x, y); return where it ends to the right."""
    left, top, right, bottom = font.getbbox("0" * len(text))
    end, low = x + math.ceil(right - left) + 4, y + math.ceil(bottom - top) + 4
    brush.rectangle((x, y, end - 1, low - 1), fill=fill)
    brush.text(((x + end) / 2, (y + low) / 2), text, "black", font, anchor="mm")
    return end


def _legend(
    notes: Sequence[str], width: int, font: ImageFont.ImageFont | ImageFont.FreeTypeFont
) -> Image.Image:
    """The notes in columns beside their objects' numbers, as wide as asked for or as one column."""
    plate = math.ceil(font.getlength("000"))
    column = plate + max(math.ceil(font.getlength(note)) for note in notes) + 4 * GAP
    row = math.ceil(font.getbbox("0,")[3]) + 2 * GAP
    columns = max(1, width // column)
    size = max(width, column), row * math.ceil(len(notes) / columns) + GAP
    picture = Image.new("RGB", size, "white")
    brush = ImageDraw.Draw(picture)
    for index, note in enumerate(notes):
        x, y = index % columns * column, index // columns * row + GAP
        tag(brush, x, y, str(index + 1), font, colour(index))
        brush.text((x + plate + GAP, y), note, "black", font)
    return picture


def grid(panels: Sequence[Image.Image]) -> Image.Image:
    """Lay out panels, which are about twice as wide as high, in rows that make about a square."""
    columns = max(1, round(math.sqrt(len(panels) / 2)))
    rows = [panels[first : first + columns] for first in range(0, len(panels), columns)]
    width = max(each.width for each in panels) + GAP
    heights = [max(each.height for each in row) + GAP for row in rows]
    sheet = Image.new("RGB", (columns * width - GAP, sum(heights) - GAP), "white")
    for number, row in enumerate(rows):
        for column, each in enumerate(row):
            sheet.paste(each, (column * width, sum(heights[:number])))
    return sheet
