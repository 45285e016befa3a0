"""A stand-in for GMU Kitchen if its scenes are not available: cut-outs pasted on photographs.

It has GMU's layout and folds, so that all other code is the same. Figures on it are not GMU
Kitchen's and are labelled so. Views and photographs in the test scenes are in no other picture.
"""

import hashlib
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

import compositor
from compositor.data import storage
from compositor.data.frames import centre
from compositor.data.read import gmu
from compositor.data.records import Cutout, Photograph, Records
from compositor.data.write import voc
from compositor.files import replacing
from compositor.scenes.placement import Range, Visibility, outlines
from compositor.scenes.random_placement import PlacementRules, random_placement

VERSION = 2
"""Version of how pictures are made by the rules below: changing it makes them again."""
SIZE = (240, 320)
PICTURES = 24
"""Pictures in each of the nine scenes."""
OBJECTS = (2, 5)
"""Objects per picture: at least the first, fewer than the second."""
TEST_VIEWS = 4
"""One view in so many is kept for the test scenes."""
LIMITS = Range(scale=(0.25, 0.6))
RULES = PlacementRules(overlap=0.3)
VISIBILITY = Visibility()
LIGHT = (0.7, 1.3)
"""Least and largest factor of an object's colours."""
FILL = 0.7
SEED = 20190618


def make(cache: Path, objects: Records[Cutout], photographs: Records[Photograph]) -> Path:
    """Write the nine scenes unless they already exist.

    Args:
        cache: Holds the folder of ``gmu_scene_001`` to ``_009``, whose name depends on the sources'
            content and the rules.
        objects: The views of the objects to paste.
        photographs: What they are pasted on.

    Returns:
        The folder.
    """
    key = f"{storage.state(objects)} {storage.state(photographs)} {_rules()}"
    root = cache / f"stand-in-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    if (root / "done").exists():
        return root
    random = torch.Generator().manual_seed(SEED)
    learnt = training(objects, photographs)
    views = (learnt[0].records, objects.records[::TEST_VIEWS])
    grounds = (learnt[1].records, photographs.records[1::2])
    for scene in tqdm(gmu.SCENES, "stand-in scenes", unit="scene", disable=None):
        tested = scene in gmu.FIRST_FOLD
        cutouts = [cutout for record in views[tested] for cutout in record.loaded()[0]]
        for number in range(1, PICTURES + 1):
            ground: list[Photograph] = []
            while not ground:  # skips a broken picture
                ground = _one_of(grounds[tested], random).loaded()[0]
            count = OBJECTS[0] + int(torch.randint(OBJECTS[1] - OBJECTS[0], (), generator=random))
            chosen = [_one_of(cutouts, random) for _ in range(count)]
            picture, found = _compose(ground[0].image, chosen, random)
            named = [(objects.classes[label], box) for label, box in found]
            _write(root / scene, f"rgb_{number}", picture, named)
    (root / "done").touch()
    return root


def training(
    objects: Records[Cutout], photographs: Records[Photograph]
) -> tuple[Records[Cutout], Records[Photograph]]:
    """The views and photographs that are in no test scene."""
    views = [record for n, record in enumerate(objects.records) if n % TEST_VIEWS]
    return (
        replace(objects, source=f"{objects.source}, without one in {TEST_VIEWS}", records=views),
        replace(
            photographs,
            source=f"{photographs.source}, every second",
            records=photographs.records[::2],
        ),
    )


def _rules() -> str:
    """Everything that the pictures depend on besides their sources."""
    layout = (gmu.SCENES, gmu.FIRST_FOLD, PICTURES, TEST_VIEWS, SEED)
    picture = (SIZE, OBJECTS, LIMITS, RULES, VISIBILITY, LIGHT, FILL)
    return repr((VERSION, layout, picture))


def _compose(
    ground: NDArray[np.uint8], cutouts: Sequence[Cutout], random: torch.Generator
) -> tuple[Tensor, list[tuple[int, Tensor]]]:
    """Make a picture (3, H, W) uint8; also return label and box of what shows of each object, but
    for those that later ones hide."""
    canvas = _picture(np.asarray(Image.fromarray(ground).resize(SIZE[::-1])))
    frames = torch.stack([_picture(centre(cutout, SIZE, FILL)) for cutout in cutouts])
    colours, masks = frames[:, :3], frames[:, 3:]
    shapes = masks.float() / 255
    extents, _ = compositor.boxes(shapes)
    theta, placed, taken = torch.zeros(len(frames), 2, 3), [], torch.zeros(0, 4)
    for index, extent in enumerate(extents.split(1)):
        theta[index], fits = random_placement(extent, SIZE, LIMITS, RULES, random, [taken])
        if fits:
            there = outlines(shapes[index][None], theta[index][None], SIZE)
            taken = torch.cat((taken, there))
            placed.append(index)
    source = torch.tensor(placed, dtype=torch.int64)
    light = LIGHT[0] + (LIGHT[1] - LIGHT[0]) * torch.rand(len(placed), 1, generator=random)
    pictures, labels = compositor.render(
        canvas[None],
        colours,
        masks,
        theta[source],
        image=torch.zeros_like(source),
        source=source,
        gain=light.expand(-1, 3),
        return_labels=True,
    )
    hidden = 1 - labels.area / labels.covered.clamp_min(1)
    seen = (labels.area > 0) & (hidden <= VISIBILITY.covered)
    return pictures[0], [
        (cutouts[placed[layer]].label, labels.boxes[layer]) for layer in seen.nonzero().flatten()
    ]


def _picture(pixels: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())


def _write(scene: Path, name: str, picture: Tensor, objects: Sequence[tuple[str, Tensor]]) -> None:
    root = ElementTree.Element("annotation")
    for kind, box in objects:
        voc.add_object(root, kind, box.tolist())
    with replacing(scene / "Images" / f"{name}.png") as partial:
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(partial)
    with replacing(scene / "Annotations" / f"{name}.xml") as partial:
        ElementTree.ElementTree(root).write(partial)


def _one_of(choice: Sequence[Any], random: torch.Generator) -> Any:
    return choice[int(torch.randint(len(choice), (), generator=random))]
