"""GMU Kitchen: nine kitchen scenes with 11 object instances, in three folds.

The layout is confirmed by public code that reads it, ``convert_GMU_Kitchen_COCO.py`` of
zeldrinn/syndata-generation: ``gmu_scene_00N/{Images/rgb_M.png, Annotations/rgb_M.xml}``, N from 1
to 9, with XML as in Pascal VOC. The same code names the scenes that fold 1 is tested on (2, 4, 5)
and leaves boxes of up to 50 x 30 pixels out of the evaluation, as Cut-Paste-Learn does (page 7).

No public code confirms the other folds. They are read from ``folds.txt`` beside the scenes: line K
names the scenes that fold K is tested on, such as ``gmu_scene_001 gmu_scene_003``.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from compositor.data.read import voc
from compositor.data.records import (
    BACKGROUND,
    Annotation,
    Photograph,
    Record,
    Records,
    Skip,
)
from compositor.files import DataError, lines

NAMES = (
    "coca_cola_glass_bottle",
    "coffee_mate_french_vanilla",
    "honey_bunches_of_oats_honey_roasted",
    "hunts_sauce",
    "mahatma_rice",
    "nature_valley_soft_baked_oatmeal_squares_cinnamon_brown_sugar",
    "nature_valley_sweet_and_salty_nut_almond",
    "palmolive_orange",
    "pop_secret_light_butter",
    "pringles_bbq",
    "red_bull",
)
"""The instances' names, as in BigBIRD; labels from 1."""
SCENES = tuple(f"gmu_scene_{number:03}" for number in range(1, 10))
FIRST_FOLD = ("gmu_scene_002", "gmu_scene_004", "gmu_scene_005")
"""The scenes that fold 1 is tested on."""
MIN_AREA = 50 * 30
"""Square pixels: an object whose box is no larger is neither right nor wrong to find."""


def photographs(
    folder: Path,
    fold: int,
    split: Literal["train", "test"],
    names: Sequence[str] = NAMES,
) -> Records[Photograph]:
    """List the photographs of a fold's training or test scenes, those without objects included.

    Args:
        folder: Holds the nine scenes, and ``folds.txt`` for the folds after the first.
        fold: The fold's number, from 1.
        split: "test": the scenes that the fold names; "train": all others.
        names: The instances to detect, labelled from 1.

    Raises:
        DataError: A scene is missing or has no picture, or the fold is unknown.
    """
    held_out = tested(folder, fold)
    scenes = [scene for scene in SCENES if (scene in held_out) == (split == "test")]
    classes = (BACKGROUND, *names)
    records, lost = [], []
    for scene in scenes:
        pictures = sorted((folder / scene / "Images").glob("*.png"))
        if not pictures:
            raise DataError(
                f"{folder / scene / 'Images'}: has no *.png; unpack the scenes there, from "
                "cs.gmu.edu/~robot/gmu-kitchens.html"
            )
        alone = {path.stem for path in (folder / scene / "Annotations").glob("*.xml")}
        lost += sorted(f"{scene}/{stem}" for stem in alone - {path.stem for path in pictures})
        for picture in pictures:
            annotation = folder / scene / "Annotations" / f"{picture.stem}.xml"
            name = f"{scene}/{picture.stem}"
            load = partial(_load, name, picture, annotation, classes)
            records.append(Record(name, (picture, annotation), load))
    left_out = {"missing .png file": lost} if lost else {}
    return Records(f"GMU Kitchen fold {fold} {split} in {folder}", classes, records, left_out)


def _load(
    name: str, picture: Path, annotation: Path, classes: Sequence[str]
) -> Iterator[Photograph | Skip]:
    for photograph in voc.load_photograph(name, picture, annotation, classes, keep_empty=True):
        if isinstance(photograph, Skip):
            yield photograph
            continue
        found = photograph.annotation
        sides = found.boxes[:, 2:] - found.boxes[:, :2]
        ignore = found.ignore | (sides.prod(1) <= MIN_AREA)
        yield Photograph(name, photograph.image, Annotation(found.boxes, found.labels, ignore))


def tested(folder: Path, fold: int) -> tuple[str, ...]:
    """The scenes that a fold is tested on; see :func:`photographs`."""
    path = folder / "folds.txt"
    folds = [tuple(line.split()) for line in lines(path)] if path.is_file() else [FIRST_FOLD]
    if not 1 <= fold <= len(folds):
        raise DataError(
            f"{path}: wanted the scenes that fold {fold} is tested on in line {fold}, such as "
            f"'{' '.join(FIRST_FOLD)}'; only {len(folds)} folds are known"
        )
    scenes = folds[fold - 1]
    if unknown := [scene for scene in scenes if scene not in SCENES]:
        raise DataError(f"{path}: got {', '.join(unknown)}, wanted {SCENES[0]} to {SCENES[-1]}")
    return scenes
