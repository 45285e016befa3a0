"""Reads plain folders: of backgrounds, of cut-outs, and of the frames of UW's RGB-D Scenes v2.

The layout of RGB-D Scenes v2, ``rgbd-scenes-v2/imgs/scene_01/00000-color.png`` with scenes 01 to 14
and a depth map beside each frame, is confirmed by public code that reads it, ``image_extractor.py``
of andrefdre/Dora_the_mug_finder_SAVI.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from compositor.data import images
from compositor.data.cleanup import DEFAULT, CleanUp
from compositor.data.read import walk
from compositor.data.records import (
    BACKGROUND,
    Annotation,
    Cutout,
    Photograph,
    Record,
    Records,
    Skip,
)
from compositor.files import DataError

STRIDE = 8
"""Video frames from one background to the next, since neighbours look the same. RGB-D Scenes v2
yields about as many as Cut-Paste-Learn used (1548)."""


def backgrounds(folder: Path) -> Records[Photograph]:
    """List all pictures in a folder and its sub-folders.

    Raises:
        DataError: The folder is missing or holds no picture.
    """
    paths, others = walk.pictures(folder)
    return _records(f"pictures in {folder}", folder, paths, others)


def cutouts(
    folder: Path,
    names: Sequence[str] | None = None,
    clean_up: CleanUp = DEFAULT,
    masked: Collection[tuple[Path, Path]] = (),
) -> Records[Cutout]:
    """List cut-out objects: pictures whose alpha channel is their mask.

    Args:
        folder: Holds one sub-folder per class, named after it.
        names: The classes, labelled from 1; None: all sub-folders, in alphabetical order, or, of a
            folder that has only pictures, one class with the folder's name.
        clean_up: Decides which objects to leave out. The frame is the object's own and cuts none.
        masked: Pictures in the folder that have masks of their own, and these: they are no
            cut-outs here. If there are any, other pictures without an alpha channel make no class.

    Raises:
        DataError: The folder is missing, or no class's sub-folder holds a picture.
    """
    paths, others = walk.pictures(folder, {file for pair in masked for file in pair})
    if masked:
        paths, others = _with_alpha(folder, paths, others)
    parents = {path: path.relative_to(folder).parts[:-1] for path in paths}
    deep = any(parents.values()) or any(picture.parent != folder for picture, _ in masked)
    flat = names is None and not deep and bool(paths)
    if flat:
        names = [folder.resolve().name]
    elif names is None:
        names = sorted({kind[0] for kind in parents.values() if kind})
    labels = {name: label for label, name in enumerate(names, 1)}
    clean_up = replace(clean_up, max_cut=4)
    records, strangers = [], []
    for path in paths:
        name = path.relative_to(folder)
        kind = names[0] if flat else next(iter(parents[path]), "")
        if label := labels.get(kind):
            load = partial(_load_cutout, str(name), path, label, clean_up)
            records.append(Record(str(name), (path,), load))
        else:
            strangers.append(str(name))
    if not records and not masked:
        raise DataError(f"{folder}: has no picture in a sub-folder {' or '.join(names)}")
    left_out = others | ({"in no sub-folder of a class": strangers} if strangers else {})
    source = f"cut-outs in {folder}, {clean_up}"
    return Records(source, (BACKGROUND, *names), records, left_out)


def uw_scenes(folder: Path, stride: int = STRIDE) -> Records[Photograph]:
    """List every ``stride``-th colour frame of each scene of RGB-D Scenes v2.

    Args:
        folder: ``rgbd-scenes-v2``, the folder that holds it, or its ``imgs``.
        stride: At least 1.

    Raises:
        DataError: There is no scene.
    """
    paths: list[Path] = []
    for place in (folder / "rgbd-scenes-v2" / "imgs", folder / "imgs", folder):
        for scene in sorted(place.glob("scene_*")):
            paths += sorted(scene.glob("*-color.png"))[::stride]
        if paths:
            return _records(f"RGB-D Scenes v2 in {folder}, 1 frame of {stride}", place, paths, {})
    raise DataError(
        f"{folder}: has no imgs/scene_*/*-color.png; unpack rgbd-scenes-v2_imgs there, from "
        "rgbd-dataset.cs.washington.edu/dataset/rgbd-scenes-v2"
    )


def _with_alpha(
    folder: Path, paths: Sequence[Path], left_out: Mapping[str, list[str]]
) -> tuple[list[Path], dict[str, list[str]]]:
    """The pictures that have an alpha channel, and the others, as left out."""
    kept = []
    lost = {reason: list(names) for reason, names in left_out.items()}
    for path in paths:
        name = str(path.relative_to(folder))
        try:
            if images.has_alpha(path, name):
                kept.append(path)
            else:
                lost.setdefault("no mask and no alpha channel", []).append(name)
        except Skip as skip:
            lost.setdefault(skip.reason, []).append(name)
    return kept, lost


def _records(
    source: str, root: Path, paths: Sequence[Path], left_out: Mapping[str, Sequence[str]]
) -> Records[Photograph]:
    records = []
    for path in paths:
        name = str(path.relative_to(root))
        records.append(Record(name, (path,), partial(_load, name, path)))
    return Records(source, (BACKGROUND,), records, left_out)


def _load(name: str, path: Path) -> Iterator[Photograph]:
    yield Photograph(name, images.read(path, name), Annotation.of())


def _load_cutout(name: str, path: Path, label: int, clean_up: CleanUp) -> Iterator[Cutout | Skip]:
    pixels, alpha = images.read_alpha(path, name)
    low, high = alpha.min(), alpha.max()
    if low == high:
        raise Skip("alpha of a single level", name)
    # Any two levels are a mask; with a soft edge, the mask is what is at least half opaque.
    mask = alpha == high
    if not (mask | (alpha == low)).all():
        mask = alpha >= 128
    if not mask.any():
        raise Skip("empty mask", name)
    yield clean_up.judge(Cutout(name, pixels, mask, label, surroundings=False))
