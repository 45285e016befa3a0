"""Makes a data set's scenes, each from the seed and its number alone."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch

from compositor.data.labels import Split
from compositor.data.records import LeftOut
from compositor.generate.config import Config
from compositor.generate.judge import Judge
from compositor.generate.material import COARSEST, Sources, is_val
from compositor.scenes import draw as drawing
from compositor.scenes.canvas import covering, cut, enlargement
from compositor.scenes.compose import Scene, compose
from compositor.selection.judge import is_hard

TOO_EASY = "no hard scene found"
"""The reason for leaving a scene out."""


@dataclass
class Tally:
    """Cost and yield of a shard.

    Attributes:
        scenes: Pictures made.
        composed: Scenes composed, those that were too easy included.
        passes: Pictures that the detector looked at.
        objects: Objects pasted and labelled.
        unplaced: Objects of the pictures made for which no place was found.
        hidden: Objects of the pictures made taken away because too little of them showed.
    """

    scenes: int = 0
    composed: int = 0
    passes: int = 0
    objects: int = 0
    unplaced: int = 0
    hidden: int = 0


@dataclass(frozen=True)
class Made:
    """A scene with its number, what it was made of, and how many objects it lost on the way."""

    number: int
    split: Split
    scene: Scene
    background: str
    quality: int
    unplaced: int
    hidden: int


@dataclass
class Maker:
    """Makes scenes.

    Args:
        config: The options.
        sources: What scenes are made of.
        judge: The detector; None: every scene is kept.
    """

    config: Config
    sources: Sources
    judge: Judge | None = None
    tally: Tally = field(default_factory=Tally)

    def start(self) -> None:
        """Count from zero."""
        self.tally = Tally()
        for material in self.sources.splits.values():
            material.backgrounds.left_out = {}

    def left_out(self) -> LeftOut:
        """Backgrounds that could not be used since the start, by reason."""
        found: LeftOut = {}
        for material in self.sources.splits.values():
            for reason, names in material.backgrounds.left_out.items():
                found.setdefault(reason, []).extend(names)
        return found

    def make(self, numbers: range) -> Iterator[Made | int]:
        """Make scenes in the order of their numbers; of one left out as too easy, its number."""
        if self.judge is None:
            for number in numbers:
                yield self._once(number, 0)
            return
        pending, made = list(numbers), dict[int, Made]()
        for attempt in range(self.config.tries if self.config.keep == "hard" else 1):
            proposed = [self._once(number, attempt) for number in pending]
            judged = self.judge([one.scene for one in proposed])
            self.tally.passes += len(judged)
            for one, scene in zip(proposed, judged, strict=True):
                if self.config.keep == "all" or self._hard(scene):
                    made[one.number] = replace(one, scene=scene)
            pending = [number for number in pending if number not in made]
        for number in numbers:
            yield made.get(number, number)

    def _once(self, number: int, attempt: int) -> Made:
        split: Split = "val" if is_val(number, self.config.val) else "train"
        material, law = self.sources.splits[split], self.config.law
        observed = self.sources.observed
        random = drawing.generator(self.config.seed, number)
        choice = drawing.choose(law, material.bank, len(material.backgrounds), observed, random)
        size = None if self.config.size == "native" else self.config.size
        canvas = cut(material.backgrounds.load(choice.background), size, random)
        other = None
        if choice.other is not None:
            photograph = material.backgrounds.load(choice.other)
            # In the place of one that cannot be used comes the next, which may be the canvas's own;
            # of native sizes it may have to be enlarged more.
            alike = photograph.name == canvas.name
            if not alike and enlargement(photograph, canvas.size) <= COARSEST:
                other = cut(covering(photograph, canvas.size), canvas.size, random).image
        random = drawing.generator(self.config.seed, number, attempt)
        recipe = drawing.draw(
            law, material.bank, choice, canvas.size, canvas.boxes, observed, random
        )
        scene = compose(recipe, material.bank, canvas, law.placement.visible, other, random)
        self.tally.composed += 1
        unplaced = len(choice.cutouts) - len(recipe.layers)
        hidden = len(recipe.layers) - len(scene.layers)
        return Made(number, split, scene, canvas.name, recipe.quality, unplaced, hidden)

    def _hard(self, scene: Scene) -> bool:
        """Whether enough of the pasted objects are hard."""
        pasted = [i.confidence or 0.0 for i in scene.instances if i.cutout is not None]
        return is_hard(torch.tensor(pasted), self.config.hard, self.config.share)
