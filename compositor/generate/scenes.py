"""Makes a data set's scenes, each from the seed and its number alone."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch

from compositor.data.labels import Split
from compositor.data.records import LeftOut
from compositor.generate.config import Config
from compositor.generate.judge import Judge
from compositor.generate.material import Sources, is_val
from compositor.scenes.compose import Scene
from compositor.scenes.draw import generator
from compositor.scenes.drawn import scene
from compositor.selection.judge import is_hard
from compositor.selection.search import Counts

TOO_EASY = "too easy at every try"
"""The reason for leaving a scene out."""


@dataclass
class Tally(Counts):
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
            for one, known in zip(proposed, judged, strict=True):
                if self.config.keep == "all" or self._hard(known):
                    made[one.number] = replace(one, scene=known)
            pending = [number for number in pending if number not in made]
        for number in numbers:
            yield made.get(number, number)

    def _once(self, number: int, attempt: int) -> Made:
        split: Split = "val" if is_val(number, self.config.val) else "train"
        material, seed = self.sources.splits[split], self.config.seed
        drawn = scene(
            self.config.law,
            material.bank,
            material.backgrounds,
            generator(seed, number),
            observed=self.sources.observed,
            attempt=generator(seed, number, attempt),
        )
        self.tally.composed += 1
        placed = len(drawn.recipe.layers)
        unplaced, hidden = len(drawn.choice.cutouts) - placed, placed - len(drawn.scene.layers)
        name, quality = drawn.canvas.name, drawn.recipe.quality
        return Made(number, split, drawn.scene, name, quality, unplaced, hidden)

    def _hard(self, judged: Scene) -> bool:
        """Whether enough of the pasted objects are hard."""
        pasted = [i.confidence or 0.0 for i in judged.instances if i.cutout is not None]
        return is_hard(torch.tensor(pasted), self.config.hard, self.config.share)
