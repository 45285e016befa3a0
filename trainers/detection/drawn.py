"""Scenes of several objects drawn from a law of the generator's, without S."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from compositor.data.labels import Instance
from compositor.data.prepared import Photographs
from compositor.data.records import Annotation, Cutout
from compositor.files import DataError
from compositor.scenes.bank import Bank, BankedCutout, banked
from compositor.scenes.canvas import Canvas
from compositor.scenes.draw import generator
from compositor.scenes.drawn import scene
from compositor.scenes.law import Law
from compositor.scenes.observed import Observed, observe
from trainers.detection.scenes import NOTHING, Batch, Recipes, Scenes, Target

NUMBERS = 2**31
"""How many scenes a law has."""


class DrawnScenes(Scenes):
    """Draws whole scenes of a law where :class:`Scenes` draws an object and its background.

    A scene has no blending artefact; real pictures are drawn as there. It is rendered when it is
    loaded, always to the same bits, and takes the background's place in the batch. Targets say
    which objects are ``pasted``, (n,) bool.

    Args:
        scenes: What they are made of.
        law: What they are drawn from; matched: to the real pictures.
        seed: Two of them differ in every scene.

    Raises:
        DataError: The law is matched, and no object of the real pictures is known.
    """

    def __init__(self, scenes: Scenes, law: Law, seed: int) -> None:
        super().__init__(scenes.real, scenes.backgrounds, scenes.cutouts, scenes.artefacts)
        self.law, self.seed = law, seed
        self._observed = observed(scenes) if law.placement.matched else None

    def draw(self, count: int, generator: torch.Generator | None = None) -> Recipes:
        """Draw the numbers of scenes."""
        nothing = torch.full((count,), NOTHING)
        recipes = super().draw_real(torch.zeros_like(nothing), generator, plain=True)
        numbers = torch.randint(NUMBERS, (count,), generator=generator)
        return replace(recipes, scene=numbers)

    def load(self, recipes: Recipes) -> Batch:
        """Load what recipes are made of, and render the scenes among them."""
        batch = super().load(recipes)
        backgrounds = batch.backgrounds.clone()
        targets = [_with_pasted(target) for target in batch.targets]
        for row, number in enumerate(recipes.scene.tolist()):
            if number != NOTHING:
                backgrounds[row], targets[row] = self._scene(number)
        return replace(batch, backgrounds=backgrounds, targets=targets)

    def _scene(self, number: int) -> tuple[Tensor, Target]:
        """A scene's picture (3, H, W) uint8, and the background's objects and those pasted."""
        grounds, random = _Grounds(self.backgrounds), generator(self.seed, number)
        made = scene(self.law, self._bank, grounds, random, observed=self._observed).scene
        image = torch.from_numpy(np.ascontiguousarray(made.image.transpose(2, 0, 1)))
        return image, _target(made.instances)

    @cached_property
    def _bank(self) -> Bank:
        return Bank([self._banked(index) for index in range(len(self.cutouts))])

    def _banked(self, index: int) -> BankedCutout:
        pixels = self.cutouts.image(index).permute(1, 2, 0).numpy()
        label = int(self.cutouts.labels[index])
        cutout = Cutout(self.cutouts.names[index], pixels[..., :3], pixels[..., 3] > 0, label)
        return banked(cutout, max(self.size))


@dataclass(frozen=True)
class _Grounds:
    """Prepared photographs, which are of the canvas's size already."""

    photographs: Photographs

    def __len__(self) -> int:
        return len(self.photographs)

    def canvas(self, index: int, random: np.random.Generator) -> Canvas:
        target = self.photographs.targets[index]
        columns = (target[name].tolist() for name in ("boxes", "labels", "ignore"))
        objects = [
            Instance(label, tuple(box), None, round((box[2] - box[0]) * (box[3] - box[1])), ignore)
            for box, label, ignore in zip(*columns, strict=True)
        ]
        name = self.photographs.names[index]
        return Canvas(name, self.photographs.image(index), tuple(objects))

    def other(self, index: int, canvas: Canvas, random: np.random.Generator) -> Tensor:
        return self.photographs.image(index)


def observed(scenes: Scenes) -> Observed:
    """What the real pictures look like, as they are stretched."""
    columns = ("boxes", "labels", "ignore")
    pictures = [
        (Annotation(*(target[name].numpy() for name in columns)), scenes.size)
        for target in scenes.real.targets
    ]
    found = observe(pictures)
    if found is None:
        raise DataError(
            "ways: got one that is matched, but no object of the real pictures is known"
        )
    return found


def _with_pasted(target: Target) -> Target:
    """A photograph's objects, none of them pasted."""
    return target | {"pasted": torch.zeros_like(target["ignore"])}


def _target(instances: Sequence[Instance]) -> Target:
    return {
        "pasted": torch.tensor([one.cutout is not None for one in instances], dtype=torch.bool),
        "boxes": torch.tensor([one.box for one in instances]).reshape(-1, 4),
        "labels": torch.tensor([one.label for one in instances], dtype=torch.int64),
        "ignore": torch.tensor([one.ignore for one in instances], dtype=torch.bool),
    }
