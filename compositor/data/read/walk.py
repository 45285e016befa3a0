"""Lists all files below a folder, for every reader of plain folders."""

import os
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from compositor.data.images import SUFFIXES
from compositor.data.records import LeftOut, counted
from compositor.files import DataError, there


def files(folder: Path) -> tuple[list[Path], LeftOut]:
    """All files in a folder and its sub-folders, sorted, and what is left out: hidden, broken.

    Links to folders are followed, each folder once: by its own name where it lies below, and
    otherwise by its first link's.
    """
    found: list[Path] = []
    left_out: defaultdict[str, list[str]] = defaultdict(list)

    def lost(reason: str, path: str) -> None:
        left_out[reason].append(printable(os.path.relpath(path, folder)))

    seen: set[str] = set()
    waiting = [str(folder)]
    while waiting:
        walked = os.walk(
            waiting.pop(0), onerror=lambda e: lost("folder that cannot be read", e.filename)
        )
        for here, folders, names in walked:
            real = os.path.realpath(here)
            if real in seen:
                lost("link to a folder that is read already", here)
                folders.clear()
                continue
            seen.add(real)
            for name in filter(hidden, (*folders, *names)):
                lost("hidden file or folder", os.path.join(here, name))
            folders[:] = sorted(name for name in folders if not hidden(name))
            places = (os.path.join(here, name) for name in folders)
            waiting += [place for place in places if os.path.islink(place)]
            for name in names:
                if hidden(name):
                    continue
                path = os.path.join(here, name)
                if printable(path) != path:
                    lost("name that is not UTF-8", path)
                elif there(Path(path)):
                    found.append(Path(path))
                elif os.path.islink(path):
                    lost("link to a missing file", path)
    return sorted(found), {reason: sorted(names) for reason, names in left_out.items()}


def hidden(name: str) -> bool:
    """Whether a name is hidden, or macOS's own in a zip file: what it holds is not the user's."""
    return name.startswith(".") or name == "__MACOSX"


def pictures(folder: Path, without: Collection[Path] = ()) -> tuple[list[Path], LeftOut]:
    """All files of :func:`files` whose names are pictures', and the others, as left out.

    Raises:
        DataError: The folder is missing or holds no picture.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: is not a folder")
    listed, left_out = files(folder)
    paths = [path for path in listed if path.suffix.lower() in SUFFIXES]
    if not paths:
        looked = ", ".join(filter(None, (*SUFFIXES, counted(left_out))))
        raise DataError(f"{folder}: has no picture ({looked})")
    known = {*paths, *without}
    if others := [str(path.relative_to(folder)) for path in listed if path not in known]:
        left_out = {"no picture by its name": others, **left_out}
    return [path for path in paths if path not in without], left_out


def printable(name: str) -> str:
    """The name, with bytes that are not UTF-8 escaped."""
    return name.encode("utf-8", "backslashreplace").decode()
