"""Labelled pictures with every kind of object that a writer must get right, in two splits."""

from pathlib import Path

import numpy as np

from compositor.data.images import box_of
from compositor.data.labels import Instance, LabelledPicture, encode
from compositor.data.records import BACKGROUND
from tests.data.tiny_data import picture, rectangle, save

CLASSES = (BACKGROUND, "red fox", "Füchslein 狐", "a <b> & 'c': \"d\"")
SIZE = (40, 56)


def masks() -> dict[str, np.ndarray]:
    """By what is special about them; none overlaps another."""
    split = rectangle(*SIZE, (4, 2, 12, 20)) & ~rectangle(*SIZE, (0, 8, 56, 11))
    holes = rectangle(*SIZE, (14, 2, 30, 20))
    for hole in ((16, 4, 18, 6), (20, 4, 27, 9), (17, 12, 20, 18), (23, 12, 24, 13)):
        holes &= ~rectangle(*SIZE, hole)
    holes[12, 20], holes[13, 21] = False, False  # holes that touch by their corners
    corners = rectangle(*SIZE, (34, 2, 38, 6)) | rectangle(*SIZE, (38, 6, 44, 12))
    return {
        "in two parts": split,
        "with holes": holes,
        "joined by a corner": corners,
        "one pixel": rectangle(*SIZE, (50, 3, 51, 4)),
        "at the border": rectangle(*SIZE, (40, 20, 56, 40)) & ~rectangle(*SIZE, (48, 30, 50, 40)),
        "in the corner": rectangle(*SIZE, (0, 24, 9, 40)),
    }


def instance(label: int, mask: np.ndarray, **others: object) -> Instance:
    x1, y1, x2, y2 = box_of(mask)
    return Instance(label, (x1, y1, x2, y2), encode(mask), int(mask.sum()), **others)


def pictures(folder: Path) -> list[LabelledPicture]:
    """Number 4 has all masks, 5 no object, 6 (of val) an ignored object, 7 ones without masks."""
    found = masks()
    shown = [instance(1 + n % 3, mask) for n, mask in enumerate(found.values())]
    shown[1] = instance(
        2, found["with holes"], visibility=0.75, truncation=0.5, cutout="foxes/狐 1.png"
    )
    ignored = instance(1, found["with holes"], ignore=True)
    unmasked = Instance(1, (4.0, 5.0, 20.0, 33.0), None, 448)
    judged = instance(1, found["in two parts"], confidence=0.125)
    objects = {
        4: tuple(shown),
        5: (),
        6: (judged, ignored),
        7: (instance(2, found["in the corner"]), unmasked),
    }
    made = []
    for number, instances in objects.items():
        file = folder / f"{number:06}.jpg"
        save(file, picture(*SIZE, seed=number), quality=95)
        split = "val" if number in (6, 7) else "train"
        made.append(LabelledPicture(number, file, SIZE, "meadow.jpg", 11, split, instances))
    return made
