"""Objects in Pascal VOC's XML, a format that other data sets use too."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import NamedTuple

from compositor.data.records import Box, Skip
from compositor.files import number, there


class Object(NamedTuple):
    """An object in a VOC XML.

    Attributes:
        name: Its image's name, and its position in the XML.
        kind: Its class.
        box: 0-based and exclusive; None if the file has no valid box.
        difficult: Whether it is neither right nor wrong to find.
    """

    name: str
    kind: str
    box: Box | None
    difficult: bool


def read_objects(path: Path, name: str) -> tuple[tuple[int, int] | None, list[Object]]:
    """Read a VOC XML: the image's size (H, W), or None if not given, and the objects.

    Raises:
        Skip: The file is missing or is not such XML.
    """
    if not there(path):
        raise Skip("missing .xml file", name)
    try:
        root = ElementTree.parse(path).getroot()
    except PermissionError:
        raise Skip(".xml file without permission to read it", name) from None
    except (ElementTree.ParseError, ValueError, LookupError, OSError):
        raise Skip("broken .xml file", name) from None
    height, width = (number(root.findtext(f"size/{side}")) for side in ("height", "width"))
    objects = []
    for position, element in enumerate(root.iter("object"), 1):
        x1, y1, x2, y2 = (
            number(element.findtext(f"bndbox/{s}")) for s in ("xmin", "ymin", "xmax", "ymax")
        )
        box = None
        if x1 is not None and y1 is not None and x2 is not None and y2 is not None:
            box = (x1 - 1, y1 - 1, x2, y2)
        kind = element.findtext("name", "").strip()
        difficult = number(element.findtext("difficult")) == 1
        objects.append(Object(f"{name}/object {position}", kind, box, difficult))
    # Tools that do not know the size may write 0 or -1.
    size = (int(height), int(width)) if height and width and min(height, width) > 0 else None
    return size, objects
