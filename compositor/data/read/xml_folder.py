"""VOC's XML without its development kit: a file a picture, as LabelImg, CVAT and Roboflow leave it.

The files lie beside the pictures, or in ``Annotations`` with the pictures in ``JPEGImages`` or
``images``. A picture without a file is not annotated, and left out.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from compositor.data.images import SUFFIXES
from compositor.data.read.listing import Instance, Listed, Listing
from compositor.data.read.voc_xml import read_objects
from compositor.data.read.walk import printable
from compositor.data.records import BACKGROUND, Skip
from compositor.files import DataError, there

ANNOTATIONS, PICTURES = "Annotations", ("JPEGImages", "images")


def splits(folder: Path) -> dict[str, Path]:
    """Folders of XML by their names: a folder, or its ``Annotations``, or its sub-folders."""
    if folder.absolute().name.startswith("VOC") and (folder / "ImageSets").is_dir():
        return {}  # of the development kit, whose image sets say what is what
    for place in (folder, folder / ANNOTATIONS):
        if any(place.glob("*.xml")):
            return {place.absolute().name: place}
    return {path.parent.name: path.parent for path in sorted(folder.glob("*/*.xml"))}


def read(folder: Path) -> Listing:
    """Read a folder of XML, and find its pictures.

    Raises:
        DataError: No file has a picture, or none annotates an object.
    """
    left_out: defaultdict[str, list[str]] = defaultdict(list)
    root = folder.parent if folder.name == ANNOTATIONS else folder
    places = [folder] if root == folder else [root / name for name in PICTURES]
    pictures = _pictures(places)
    # Of pictures whose names differ in the suffix alone the first is meant.
    by_stem = {path.stem: path for path in reversed(pictures)}
    used: set[Path] = set()
    listed, kinds = [], set()
    for file in sorted(folder.glob("*.xml")):
        if (picture := by_stem.get(file.stem)) is None:
            left_out[".xml file without a picture"].append(printable(file.name))
            continue
        used.add(picture)
        name = str(picture.relative_to(root))
        try:
            if printable(name) != name:
                raise Skip("name that is not UTF-8", printable(name))
            size, objects = read_objects(file, name)
        except Skip as skip:
            left_out[skip.reason].append(skip.name)
            continue
        kinds |= {one.kind for one in objects}
        instances = [Instance(one.name, one.kind, one.box, one.difficult, None) for one in objects]
        listed.append(Listed(name, picture, file, size, instances))
    left_out["picture without an .xml file"] += [
        printable(str(path.relative_to(root))) for path in pictures if path not in used
    ]
    kinds -= {BACKGROUND, ""}  # an object without a name is of no class
    if not listed:
        where = " or ".join(map(str, places))
        raise DataError(
            f"{folder}: none of its .xml files can be read and has a picture in {where}"
        )
    if not kinds:
        raise DataError(f"{folder}: annotates no object of a class")
    lost = {reason: names for reason, names in left_out.items() if names}
    return Listing(folder, tuple(sorted(kinds)), {}, listed, lost, "VOC's XML", "difficult")


def _pictures(places: Sequence[Path]) -> list[Path]:
    """The pictures in some folders, as far as these are there."""
    found = (path for place in places if place.is_dir() for path in sorted(place.iterdir()))
    return [path for path in found if path.suffix.lower() in SUFFIXES and there(path)]
