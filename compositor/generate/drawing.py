"""What the pictures to look at share: colours of objects, a picture's pixels, text that fits."""

from functools import cache

import numpy as np
from matplotlib.font_manager import findfont, get_font
from numpy.typing import NDArray

from compositor.data import images
from compositor.data.labels import LabelledPicture
from compositor.data.records import Skip
from compositor.files import DataError

COLOURS = (
    (255, 64, 129),
    (0, 200, 83),
    (255, 145, 0),
    (41, 121, 255),
    (213, 0, 249),
    (0, 184, 212),
    (255, 214, 0),
    (221, 44, 0),
)
"""Of objects. They show on photographs, and neighbours in the list are easy to tell apart."""
GREY = (158, 158, 158)
"""For what is ignored."""
FONT = findfont("DejaVu Sans")
"""Comes with Matplotlib, and is its default: Latin, Greek, Cyrillic, Arabic and more letters."""
DRAWN_NAME = 24
"""Characters of a name that a drawing has room for."""


def colour(position: int, ignore: bool) -> tuple[int, int, int]:
    """The colour of an object, by its position in its picture: names tell the class."""
    return GREY if ignore else COLOURS[position % len(COLOURS)]


def pixels(picture: LabelledPicture) -> NDArray[np.uint8]:
    """Decode a picture: (H, W, 3) uint8.

    Raises:
        DataError: It is missing or broken.
    """
    try:
        return images.read(picture.file, picture.file.name)
    except Skip as skip:
        raise DataError(f"{picture.file}: {skip.reason}") from None


def shown(name: str, label: int) -> str:
    """A class's name as drawings have it: shortened, or its number if the font lacks a letter."""
    if not all(ord(letter) in _letters() for letter in name):
        return f"class {label}"
    return name if len(name) <= DRAWN_NAME else f"{name[: DRAWN_NAME - 1]}…"


@cache
def _letters() -> frozenset[int]:
    return frozenset(get_font(FONT).get_charmap())
