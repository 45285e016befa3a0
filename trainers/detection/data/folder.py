"""Backgrounds from plain folders, and from the frames of UW's RGB-D Scenes v2.

The layout of RGB-D Scenes v2, ``rgbd-scenes-v2/imgs/scene_01/00000-color.png`` with scenes 01 to 14
and a depth map beside each frame, is confirmed by public code that reads it, ``image_extractor.py``
of andrefdre/Dora_the_mug_finder_SAVI.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from trainers.detection.data import images
from trainers.detection.data.records import BACKGROUND, Annotation, Photograph, Record, Records
from trainers.files import DataError

STRIDE = 8
"""Frames of a video from one background to the next: neighbours show the same. About as many are
left of RGB-D Scenes v2 as Cut-Paste-Learn used (1548)."""


def backgrounds(folder: Path) -> Records[Photograph]:
    """List all pictures of a folder and of those in it.

    Raises:
        DataError: The folder is missing or holds no picture.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: is no folder")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in images.SUFFIXES)
    if not paths:
        raise DataError(f"{folder}: has no picture ({', '.join(images.SUFFIXES)})")
    return _records(f"pictures in {folder}", folder, paths)


def uw_scenes(folder: Path, stride: int = STRIDE) -> Records[Photograph]:
    """List every ``stride``-th colour frame of each scene of RGB-D Scenes v2.

    Args:
        folder: ``rgbd-scenes-v2``, the folder that holds it, or its ``imgs``.
        stride: From 1.

    Raises:
        DataError: No scene is there.
    """
    paths: list[Path] = []
    for place in (folder / "rgbd-scenes-v2" / "imgs", folder / "imgs", folder):
        for scene in sorted(place.glob("scene_*")):
            paths += sorted(scene.glob("*-color.png"))[::stride]
        if paths:
            return _records(f"RGB-D Scenes v2 in {folder}, 1 frame of {stride}", place, paths)
    raise DataError(
        f"{folder}: has no imgs/scene_*/*-color.png; unpack rgbd-scenes-v2_imgs there, from "
        "rgbd-dataset.cs.washington.edu/dataset/rgbd-scenes-v2"
    )


def _records(source: str, root: Path, paths: Sequence[Path]) -> Records[Photograph]:
    records = []
    for path in paths:
        name = str(path.relative_to(root))
        records.append(Record(name, (path,), partial(_load, name, path)))
    return Records(source, (BACKGROUND,), records)


def _load(name: str, path: Path) -> Iterator[Photograph]:
    yield Photograph(name, images.read(path, name), Annotation.of())
