"""Checks of what the writers are given: labels that would break a reader are never written."""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from compositor.data.labels import LabelledPicture
from compositor.data.records import BACKGROUND

UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")
"""Unicode's categories of what no class's name may hold: XML and YAML have no place for it."""


def names(classes: Sequence[str]) -> list[str]:
    """The names of the classes, less the background's.

    Raises:
        ValueError: The background is not the first, or a name is not usable or comes twice.
    """
    if not classes or classes[0] != BACKGROUND:
        raise ValueError(f"classes: got {list(classes)[:3]}, wanted {BACKGROUND} first")
    found = list(classes[1:])
    for name in found:
        if not name.strip() or name != name.strip():
            raise ValueError(f"classes: got {name!r}, wanted a name without spaces at its ends")
        if any(unicodedata.category(character) in UNPRINTABLE for character in name):
            raise ValueError(f"classes: got {name!r}, wanted a name without control characters")
    if twice := {name for name in found if found.count(name) > 1}:
        raise ValueError(f"classes: got {min(twice)!r} twice, wanted each name once")
    return found


def checked(
    pictures: Iterable[LabelledPicture], classes: Sequence[str]
) -> Iterator[LabelledPicture]:
    """Pass pictures on, each checked.

    Raises:
        ValueError: Two pictures share a number; an object's label is no class, it has no area, its
            box is empty or not in the picture, or its mask is of another size.
    """
    numbers: set[int] = set()
    for picture in pictures:
        if picture.number in numbers:
            raise ValueError(
                f"{picture.file.name}: got number {picture.number} for the second time"
            )
        numbers.add(picture.number)
        height, width = picture.size
        for position, instance in enumerate(picture.instances):
            where = f"{picture.file.name}, object {position}"
            if not 1 <= instance.label < len(classes):
                wanted = f"1 to {len(classes) - 1}"
                raise ValueError(f"{where}: got the label {instance.label}, wanted {wanted}")
            x1, y1, x2, y2 = instance.box
            if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height and instance.area > 0):
                raise ValueError(
                    f"{where}: got the box {instance.box} of {instance.area} pixels, wanted one "
                    f"with an area, in {width} x {height}"
                )
            if instance.mask is not None and tuple(instance.mask["size"]) != picture.size:
                size = tuple(instance.mask["size"])
                raise ValueError(f"{where}: got a mask of {size}, wanted {picture.size}")
        yield picture
