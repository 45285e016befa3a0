"""VOC's XML without its development kit: a file a picture, as LabelImg, CVAT and Roboflow leave it.

The files lie beside the pictures, or in a folder beside these or beside ``JPEGImages`` or
``images``. A picture without a file is not annotated, and left out. Which split has what, the lists
of ``ImageSets/Main`` say, if there are any beside ``Annotations``, and otherwise the folders.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from compositor.data.images import SUFFIXES
from compositor.data.read import image_sets
from compositor.data.read.listing import Instance, Listed, Listing
from compositor.data.read.voc_xml import read_objects
from compositor.data.read.walk import printable
from compositor.data.records import BACKGROUND, Skip
from compositor.files import DataError, there

ANNOTATIONS, PICTURES = "Annotations", ("JPEGImages", "images", "")
UNANNOTATED = "picture without an .xml file"
XML = "*.[xX][mM][lL]"
START = re.compile(rb"<annotation[\s>]")
"""How VOC's XML starts, unlike CVAT's own and other programs'."""


def splits(folder: Path) -> dict[str, Path]:
    """Folders of XML by the splits that they hold: a folder, its ``Annotations``, which may hold
    several, or its sub-folders."""
    name = _name(folder)
    if name.startswith("VOC") and any(folder.glob("ImageSets/*/*.txt")):
        return {}  # of the development kit, whose image sets say what is what
    within = folder / ANNOTATIONS
    if (sets := _sets(within)) and _annotates(within, f"**/{XML}"):
        return dict.fromkeys(sets, within)
    for place in (folder, within):
        if _annotates(place):
            return {_name(place): place}
    return {place.name: place for place in sorted(folder.glob("*/")) if _annotates(place)}


def read(folder: Path, split: str | None = None) -> Listing:
    """Read a folder of XML, and find its pictures.

    Args:
        folder: One of those that :func:`splits` finds.
        split: One of those that it holds; None: all.

    Raises:
        DataError: No file has a picture, or none annotates an object.
    """
    left_out: defaultdict[str, list[str]] = defaultdict(list)
    shown = cache(_pictures)

    def picture(places: Iterable[Path], name: str) -> Path | None:
        """The first of a name: those in a folder may differ in the suffix alone."""
        found = (shown((place / name).parent).get(Path(name).name) for place in places)
        return next((paths[0] for paths in found if paths), None)

    sets = _sets(folder)
    # What image sets list may lie in sub-folders.
    found = sorted(folder.glob(f"**/{XML}" if sets else XML))
    files = {str(path.relative_to(folder).with_suffix("")): path for path in found}
    beside = any(picture([folder], name) for name in files)
    root = folder if beside else folder.parent
    places = [folder] if beside else [root / name for name in PICTURES]
    source, names = folder, list(files)
    if split in sets:
        source = image_sets.file(folder.parent, "Main", split)
        if not (names := image_sets.identifiers(source)):
            raise DataError(f"{source}: lists no image")
    used: set[Path] = set()
    listed, kinds = [], set()
    for each in names:
        file, path = files.get(each), picture(places, each)
        if file is None or path is None:
            reason = "missing .xml file" if file is None else ".xml file without a picture"
            left_out[reason].append(printable(each if file is None else file.name))
            continue
        used.add(path)
        name = str(path.relative_to(root))
        try:
            if printable(name) != name:
                raise Skip("name that is not UTF-8", printable(name))
            size, objects = read_objects(file, name)
        except Skip as skip:
            left_out[skip.reason].append(skip.name)
            continue
        kinds |= {one.kind for one in objects}
        instances = [Instance(one.name, one.kind, one.box, one.difficult, None) for one in objects]
        listed.append(Listed(name, path, file, size, instances))
    if source == folder:  # and not one of several sets
        folders = dict.fromkeys([*places, *sorted({path.parent for path in used})])
        left_out[UNANNOTATED] += [
            printable(str(path.relative_to(root)))
            for place in folders
            for paths in shown(place).values()
            for path in paths
            if path not in used
        ]
    kinds -= {BACKGROUND, ""}  # an object without a name is of no class
    if not listed:
        where = " or ".join(map(str, places))
        raise DataError(
            f"{source}: none of its .xml files can be read and has a picture in {where}"
        )
    if not kinds:
        raise DataError(f"{source}: annotates no object of a class")
    lost = {reason: names for reason, names in left_out.items() if names}
    return Listing(source, tuple(sorted(kinds)), {}, listed, lost, "VOC's XML", "difficult")


def _name(folder: Path) -> str:
    return Path(os.path.abspath(folder)).name  # that of . is empty


def _sets(folder: Path) -> list[str]:
    """The image sets beside a folder of XML."""
    return image_sets.names(folder.parent, "Main") if folder.name == ANNOTATIONS else []


def _annotates(folder: Path, pattern: str = XML) -> bool:
    """Whether a folder holds a file that starts like VOC's XML."""
    return any(there(path) and _starts(path) for path in folder.glob(pattern))


def _starts(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return START.search(file.read(1024)) is not None
    except OSError:
        return False


def _pictures(folder: Path) -> dict[str, list[Path]]:
    """The pictures in a folder, by their names without suffix; none if it is not there."""
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() in SUFFIXES and there(path):
            found[path.stem].append(path)
    return found
