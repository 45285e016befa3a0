"""Composites as recipes: the pictures they are made of and how, rendered on demand.

A recipe takes a hundred bytes and its picture a hundred thousand, so a run's cache of hard examples
adds next to nothing to its checkpoints. Rendering a recipe again gives the same bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torchvision.ops import box_area

import compositor
from compositor.data.prepared import Cutouts, Photographs
from compositor.data.records import BACKGROUND
from compositor.scenes.placement import Range
from compositor.scenes.random_placement import PlacementRules, random_placement
from trainers.detection.tones import PLAIN

Target = dict[str, Tensor]
IDENTITY = torch.eye(2, 3)
NOTHING = -1
"""In place of an index: no object, or no artefact."""
CLEAR = 0.1
"""Largest part of an object's box that an artefact may cover or be cut out of, so that it shows no
object."""


class Paste(NamedTuple):
    """How objects are pasted.

    Attributes:
        theta: (n, 2, 3), their placements.
        tone: (n, 2, 3), gain and bias of their colours, from :class:`trainers.detection.tones`.
    """

    theta: Tensor
    tone: Tensor


@dataclass(frozen=True)
class Recipes:
    """What pictures are made of.

    Attributes:
        background: (n,) int64, index in :class:`Scenes`: the backgrounds, then the real pictures.
        foreground: (n, k) int64, the pasted cut-outs, the last on top; -1: none. A real picture has
            none at all.
        theta: (n, k, 2, 3) float32, their placements.
        tone: (n, k, 2, 3) float32, gain and bias of their colours.
        shape: (n,) int64, the cut-out whose mask shapes the artefact; -1: no artefact.
        other: (n,) int64, the background that the artefact is cut out of.
        artefact: (n, 2, 3) float32, the artefact's placement.
        scene: (n,) int64, the number of a scene in :mod:`trainers.detection.drawn`; the other
            columns then mean nothing. -1: none.
    """

    background: Tensor
    foreground: Tensor
    theta: Tensor
    tone: Tensor
    shape: Tensor
    other: Tensor
    artefact: Tensor
    scene: Tensor

    def __len__(self) -> int:
        return len(self.background)

    def __getitem__(self, index: Tensor | slice) -> Self:
        return type(self)(**{name: value[index] for name, value in vars(self).items()})

    def to(self, device: torch.device) -> Self:
        ahead = device.type != "cpu"  # there it could be read before it has come
        return type(self)(**{k: v.to(device, non_blocking=ahead) for k, v in vars(self).items()})

    @property
    def last(self) -> Paste:
        """How the last cut-outs are pasted."""
        return Paste(self.theta[:, -1], self.tone[:, -1])

    def pasted(self, layer: int, paste: Paste) -> Self:
        """The same with one cut-out of each picture pasted another way."""
        theta, tone = self.theta.clone(), self.tone.clone()
        theta[:, layer], tone[:, layer] = paste
        return replace(self, theta=theta, tone=tone)

    @classmethod
    def cat(cls, parts: "Sequence[Recipes]") -> Self:
        """Concatenate recipes."""
        return cls(**{k: torch.cat([vars(p)[k] for p in parts]) for k in vars(parts[0])})


@dataclass(frozen=True)
class Batch:
    """Recipes with their pictures, as uint8.

    Attributes:
        recipes: The batch's recipes.
        backgrounds: (n, 3, H, W).
        cutouts: (n, k, 4, H, W): colour and mask; zeros where nothing is pasted.
        artefacts: (n, 4, H, W): colour and mask; None if no picture has one.
        labels: (n, k) int64, the cut-outs' labels; 0 where nothing is pasted.
        targets: The backgrounds' boxes, labels and ignore.
    """

    recipes: Recipes
    backgrounds: Tensor
    cutouts: Tensor
    artefacts: Tensor | None
    labels: Tensor
    targets: list[Target]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor) -> "Batch":
        return Batch(
            self.recipes[index],
            self.backgrounds[index],
            self.cutouts[index],
            None if self.artefacts is None else self.artefacts[index],
            self.labels[index],
            [self.targets[i] for i in index.tolist()],
        )

    def first(self, count: int) -> "Batch":
        """The same with the first objects of each picture alone."""
        recipes = replace(
            self.recipes,
            foreground=self.recipes.foreground[:, :count],
            theta=self.recipes.theta[:, :count],
            tone=self.recipes.tone[:, :count],
        )
        cutouts, labels = self.cutouts[:, :count], self.labels[:, :count]
        return replace(self, recipes=recipes, cutouts=cutouts, labels=labels)

    def without(self, objects: Tensor) -> "Batch":
        """The same without some of the objects, (n, k) bool."""
        foreground = self.recipes.foreground.masked_fill(objects, NOTHING)
        return replace(
            self,
            recipes=replace(self.recipes, foreground=foreground),
            cutouts=self.cutouts.masked_fill(objects[:, :, None, None, None], 0),
            labels=self.labels.masked_fill(objects, 0),
        )

    def pin_memory(self) -> "Batch":
        artefacts = None if self.artefacts is None else self.artefacts.pin_memory()
        return replace(
            self,
            backgrounds=self.backgrounds.pin_memory(),
            cutouts=self.cutouts.pin_memory(),
            artefacts=artefacts,
        )

    def to(self, device: torch.device) -> "Batch":
        """Move the batch to a device."""
        return Batch(
            self.recipes.to(device),
            self.backgrounds.to(device, non_blocking=True),
            self.cutouts.to(device, non_blocking=True),
            None if self.artefacts is None else self.artefacts.to(device, non_blocking=True),
            self.labels.to(device, non_blocking=True),
            [{k: v.to(device, non_blocking=True) for k, v in t.items()} for t in self.targets],
        )

    def masks(self) -> Tensor:
        """The last cut-outs' masks (n, 1, H, W) float32 in [0, 1]."""
        return self.cutouts[:, -1, 3:].float() / 255

    def colours(self) -> Tensor:
        """The last cut-outs' colours (n, 3, H, W) float32 in [0, 1]."""
        return self.cutouts[:, -1, :3].float() / 255


class Scenes:
    """The pictures that a run composes.

    Args:
        real: The photographs that T trains on.
        backgrounds: What objects are pasted on.
        cutouts: The objects.
        artefacts: Share of the pictures that get a blending artefact (section 3.1).
        layers: How many objects to paste on a background.

    Raises:
        ValueError: The three differ in classes or size.
    """

    def __init__(
        self,
        real: Photographs,
        backgrounds: Photographs,
        cutouts: Cutouts,
        artefacts: float,
        layers: int = 1,
    ) -> None:
        # A plain folder of backgrounds knows no classes.
        if cutouts.classes != real.classes or backgrounds.classes not in (
            (BACKGROUND,),
            real.classes,
        ):
            raise ValueError(
                f"classes: cut-outs have {cutouts.classes}, backgrounds {backgrounds.classes}, "
                f"wanted the real pictures' {real.classes}"
            )
        if not real.size == backgrounds.size == cutouts.size:
            raise ValueError(
                f"size: cut-outs have {cutouts.size}, backgrounds {backgrounds.size}, wanted the "
                f"real pictures' {real.size}"
            )
        self.real, self.backgrounds, self.cutouts = real, backgrounds, cutouts
        self.size, self.classes = real.size, real.classes
        self.artefacts, self.layers = artefacts, layers
        self._limits, self._rules = Range(), PlacementRules(overlap=CLEAR)

    def draw(self, count: int, generator: torch.Generator | None = None) -> Recipes:
        """Pair objects with backgrounds at random; theta is the identity for now."""
        background = torch.randint(len(self.backgrounds), (count,), generator=generator)
        foreground = torch.randint(len(self.cutouts), (count, self.layers), generator=generator)
        return self._with_artefacts(background, foreground, self.artefacts, generator)

    def draw_real(
        self, index: Tensor, generator: torch.Generator | None = None, plain: bool = False
    ) -> Recipes:
        """Real pictures by index (n,), all plain or some with an artefact."""
        nothing = torch.full((len(index), self.layers), NOTHING)
        part = 0.0 if plain else self.artefacts
        return self._with_artefacts(len(self.backgrounds) + index, nothing, part, generator)

    def load(self, recipes: Recipes) -> Batch:
        """Load what recipes are made of, on the CPU."""
        artefacts = None
        if bool((recipes.shape != NOTHING).any()):
            artefacts = torch.stack([*map(self._cut, recipes.other, recipes.shape)])
        pasted = recipes.foreground
        cutouts = torch.stack([self._cutout(int(i)) for i in pasted.flatten()])
        return Batch(
            recipes,
            torch.stack([self._background(int(i)) for i in recipes.background]),
            cutouts.unflatten(0, pasted.shape),
            artefacts,
            self.cutouts.labels[pasted] * (pasted != NOTHING),
            [self._target(int(i)) for i in recipes.background],
        )

    def _with_artefacts(
        self,
        background: Tensor,
        foreground: Tensor,
        part: float,
        generator: torch.Generator | None,
    ) -> Recipes:
        count = len(background)
        shape = torch.randint(len(self.cutouts), (count,), generator=generator)
        other = torch.randint(len(self.backgrounds), (count,), generator=generator)
        wanted = torch.rand(count, generator=generator) < part
        placement, placed = IDENTITY.repeat(count, 1, 1), torch.zeros(count, dtype=torch.bool)
        if bool(wanted.any()):
            masks = torch.stack([self._cutout(int(i))[3:] for i in shape[wanted]]).float() / 255
            frames = compositor.boxes(masks)[0]
            there = [self._target(int(i))["boxes"] for i in background[wanted]]
            taken = [self._target(int(i))["boxes"] for i in other[wanted]]
            places, fits = random_placement(
                frames, self.size, self._limits, self._rules, generator, there
            )
            clear = [_clear(frame, boxes) for frame, boxes in zip(frames, taken, strict=True)]
            placement[wanted], placed[wanted] = places, fits & torch.tensor(clear)
        shape = torch.where(placed, shape, NOTHING)
        scene = torch.full_like(background, NOTHING)
        theta, tone = (one.repeat(*foreground.shape, 1, 1) for one in (IDENTITY, PLAIN))
        return Recipes(background, foreground, theta, tone, shape, other, placement, scene)

    def _background(self, index: int) -> Tensor:
        count = len(self.backgrounds)
        return self.backgrounds.image(index) if index < count else self.real.image(index - count)

    def _target(self, index: int) -> Target:
        count = len(self.backgrounds)
        return (
            self.backgrounds.targets[index] if index < count else self.real.targets[index - count]
        )

    def _cutout(self, index: int) -> Tensor:
        if index == NOTHING:
            return torch.zeros(4, *self.size, dtype=torch.uint8)
        return self.cutouts.image(index)

    def _cut(self, other: Tensor, shape: Tensor) -> Tensor:
        """Colours of a background with the mask of an object."""
        return torch.cat((self._background(int(other)), self._cutout(int(shape))[3:]))


def _clear(frame: Tensor, boxes: Tensor) -> bool:
    """Whether a cut-out with this box (4,) shows next to nothing of the objects (k, 4)."""
    low, high = torch.maximum(frame[:2], boxes[:, :2]), torch.minimum(frame[2:], boxes[:, 2:])
    return bool(((high - low).clamp_min(0).prod(1) <= CLEAR * box_area(boxes)).all())
