"""One scene: its numbers drawn from a law, then rendered and labelled."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from compositor.scenes.bank import Bank
from compositor.scenes.canvas import Canvas
from compositor.scenes.compose import Scene, compose
from compositor.scenes.draw import choose, draw
from compositor.scenes.law import Law
from compositor.scenes.observed import Observed
from compositor.scenes.recipe import Choice, Recipe


class Grounds(Protocol):
    """What scenes need of their backgrounds; see :class:`compositor.scenes.Backgrounds`."""

    def __len__(self) -> int: ...

    def canvas(self, index: int, random: np.random.Generator) -> Canvas:
        """The canvas (3, H, W) of a background, and its own objects."""
        ...

    def other(self, index: int, canvas: Canvas, random: np.random.Generator) -> Tensor | None:
        """Another background (3, H, W) uint8 for an artefact on a canvas; None: it is of no use."""
        ...


@dataclass(frozen=True)
class Drawn:
    """A scene, and what it was made of.

    Attributes:
        choice: Its background and cut-outs, by their indices.
        canvas: The background, brought to the canvas's size.
        recipe: How the cut-outs were placed and what they look like; those for which no place was
            found are not in it.
        scene: The picture (H, W, 3) uint8 and its labels, of what can be seen of each object.
    """

    choice: Choice
    canvas: Canvas
    recipe: Recipe
    scene: Scene


def scene(
    law: Law,
    bank: Bank,
    backgrounds: Grounds,
    random: np.random.Generator,
    *,
    observed: Observed | None = None,
    attempt: np.random.Generator | None = None,
) -> Drawn:
    """Draw a scene, and render and label it.

    Args:
        law: What it is drawn from, such as one of :data:`compositor.scenes.PRESETS`.
        bank: The cut-outs.
        backgrounds: The backgrounds.
        random: Draws what the scene is made of; the same state gives the same scene, bit for bit.
        observed: What annotated pictures look like, for a matched law.
        attempt: Draws how the cut-outs are placed, and all that follows, so that a scene can be
            tried again with the same ones; None: ``random`` goes on.

    Raises:
        ValueError: The law is matched, and nothing was observed.
        DataError: None of the backgrounds can be used.
    """
    choice = choose(law, bank, len(backgrounds), observed, random)
    canvas = backgrounds.canvas(choice.background, random)
    other = None
    if choice.other is not None:
        other = backgrounds.other(choice.other, canvas, random)
    random = attempt or random
    recipe = draw(law, bank, choice, canvas.size, canvas.boxes, observed, random)
    made = compose(recipe, bank, canvas, law.placement.visible, other, random)
    return Drawn(choice, canvas, recipe, made)
