"""Reads a COCO annotation file without trusting it: checks it once, and matches its ids.

Ids are numbers or names, and ``"7"`` is 7. Classes go by their names. Anything that matches no
picture or class is counted; anything ambiguous is refused.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from compositor.data.images import SUFFIXES
from compositor.data.read.listing import Instance, Listed, Listing, place
from compositor.data.read.walk import printable
from compositor.data.records import Box
from compositor.files import DataError, number, there

Id = int | str
SINGULAR = {"images": "image", "annotations": "annotation", "categories": "category"}
"""The lists in a file, and the name of one entry of each."""


def read(path: Path, folders: Sequence[Path]) -> Listing:
    """Read and check an annotation file, and find its pictures.

    Args:
        path: The file.
        folders: The pictures are in one of these; see :func:`place`.

    Raises:
        DataError: It is not a COCO annotation file, two pictures or two classes share an id, or
            none of its pictures is in any of the folders.
    """
    content = _content(path)
    left_out: defaultdict[str, list[str]] = defaultdict(list)
    categories = _named(content, "categories", "name", path, left_out)
    names = _named(content, "images", "file_name", path, left_out)
    if not categories or not names:
        raise DataError(f"{path}: its images or categories have neither ids nor names")
    sizes: dict[str, tuple[int, int]] = {}
    for entry in content["images"]:
        if isinstance(entry, dict) and (size := _size(entry)):
            sizes.setdefault(names.get(_id(entry.get("id")), ""), size)
    instances = _instances(content["annotations"], names, categories, left_out)
    found = place(path, list(names.values()), folders)
    # A picture listed under two ids is one picture with the annotations of both.
    pictures = [
        Listed(name, found / name, path, sizes.get(name), instances[name])
        for name in dict.fromkeys(names.values())
    ]
    left_out[f"picture that is not listed in {path.name}"] += _unlisted(pictures, found)
    classes = tuple(dict.fromkeys(categories.values()))
    ids = {name: key for key, name in reversed(categories.items()) if isinstance(key, int)}
    return Listing(path, classes, ids, pictures, {k: v for k, v in left_out.items() if v})


def _content(path: Path) -> dict[str, list[Any]]:
    try:
        # From bytes, since some tools write a byte order mark.
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not a COCO annotation file ({error!r})") from error
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in SINGULAR):
        raise DataError(
            f"{path}: is not a COCO annotation file, which has lists {', '.join(SINGULAR)}"
        )
    if empty := [name for name in SINGULAR if not content[name]]:
        raise DataError(f"{path}: its {', '.join(empty)} are empty")
    return content


def _named(
    content: Mapping[str, list[Any]],
    kind: str,
    field: str,
    path: Path,
    left_out: defaultdict[str, list[str]],
) -> dict[Id | None, str]:
    """Names by id, ordered by id.

    Raises:
        DataError: An id has two names.
    """
    names: dict[Id | None, str] = {}
    what = SINGULAR[kind]
    for position, entry in enumerate(content[kind]):
        found = entry if isinstance(entry, dict) else {}
        key, name = _id(found.get("id")), found.get(field)
        if key is None or not isinstance(name, str | int) or name == "":
            left_out[f"{what} without id or {field}"].append(f"{kind}[{position}]")
            continue
        name = str(name)
        if printable(name) != name:
            left_out[f"{what} whose {field} is not UTF-8"].append(f"{kind}[{position}]")
            continue
        if field == "file_name":  # perhaps from Windows
            name = name.replace("\\", "/")
        if names.setdefault(key, name) != name:
            raise DataError(
                f"{path}: {what} id {key} is both {names[key]!r} and {name!r}; give each an id of "
                "its own, and its annotations too"
            )
    return dict(sorted(names.items(), key=lambda item: (isinstance(item[0], str), item[0])))


def _instances(
    entries: Iterable[Any],
    names: Mapping[Id | None, str],
    categories: Mapping[Id | None, str],
    left_out: defaultdict[str, list[str]],
) -> defaultdict[str, list[Instance]]:
    """Each picture's annotations."""
    by_picture: defaultdict[str, list[Instance]] = defaultdict(list)
    taken: Counter[str] = Counter()
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict):
            left_out["annotation that is not an object"].append(f"annotations[{position}]")
            continue
        own = _id(entry.get("id"))
        title = f"annotations[{position}]" if own is None else str(own)
        picture = names.get(_id(entry.get("image_id")))
        if picture is None:
            reason = "annotation of an image that is not listed"
            left_out[reason].append(f"{title} of image {entry.get('image_id')}")
            continue
        name = f"{picture}/{title}"
        taken[name] += 1
        if taken[name] > 1:  # as after a merge
            name = f"{picture}/annotations[{position}]"
        category = categories.get(_id(entry.get("category_id")))
        if category is None:
            left_out["object of a category that is not listed"].append(name)
            continue
        crowd = number(entry.get("iscrowd")) == 1
        box = _box(entry.get("bbox"))
        by_picture[picture].append(Instance(name, category, box, crowd, entry.get("segmentation")))
    return by_picture


def _unlisted(pictures: Sequence[Listed], place: Path) -> list[str]:
    """Pictures in the same folders that are not listed."""
    listed = {picture.path for picture in pictures}
    beside = (path for folder in {path.parent for path in listed} for path in _files(folder))
    return sorted(
        printable(str(path.relative_to(place) if path.is_relative_to(place) else path))
        for path in beside
        if path not in listed and path.suffix.lower() in SUFFIXES
    )


def _files(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if there(path)]
    except (OSError, ValueError):
        return []


def _id(value: Any) -> Id | None:
    """An id as a number if it is one, otherwise as a name; None if it is neither."""
    if isinstance(value, str):
        return int(value) if value.isdecimal() and len(value) < 4000 else value or None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if type(value) is int else None


def _size(entry: Mapping[str, Any]) -> tuple[int, int] | None:
    sides = [number(entry.get(side)) for side in ("height", "width")]
    height, width = (int(side) if side is not None and side > 0 else 0 for side in sides)
    return (height, width) if height and width else None


def _box(value: Any) -> Box | None:
    sides = [number(side) for side in value] if isinstance(value, list) else []
    found = [side for side in sides if side is not None]
    if len(found) != 4 or len(sides) != 4:
        return None
    x, y, width, height = found
    return x, y, x + width, y + height
