"""Draws scenes: recipes of numbers, each determined by the seed, its number and the attempt."""

from dataclasses import dataclass, replace
from math import cos, exp, log, radians, sin, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compositor.scenes.bank import Bank, BankedCutout
from compositor.scenes.law import Blend, Law
from compositor.scenes.motion import LENGTHS
from compositor.scenes.observed import Observed, covered_share

Boxes = NDArray[np.float64]
BOX_SIGMA = sqrt(2 / 3)
"""Of the Gaussian that blurs as much as a mean over 3 x 3 pixels: for the labels."""


@dataclass(frozen=True)
class Layer:
    """A pasted cut-out.

    Attributes:
        cutout: Its index in the bank.
        angle: Degrees, counter-clockwise as seen.
        scale: Along x and along y, canvas pixels per pixel of the cut-out; x negative: mirrored.
        centre: (x, y) of the object's box before turning, in canvas pixels.
        gain: Factor of each colour.
        bias: Added to each colour, as a share of the full range.
        blend: How it is blended.
        sigma: Blur of its edge in pixels.
    """

    cutout: int
    angle: float
    scale: tuple[float, float]
    centre: tuple[float, float]
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bias: tuple[float, float, float] = (0.0, 0.0, 0.0)
    blend: Blend = "gaussian"
    sigma: float = 1.0

    @property
    def size(self) -> float:
        """By what the cut-out's sides grow, on average."""
        return sqrt(abs(self.scale[0]) * self.scale[1])


@dataclass(frozen=True)
class Choice:
    """What a scene is made of, the same at every attempt.

    Attributes:
        background: Its index.
        cutouts: The objects, then the distractors, by their indices in the bank.
        other: Another background, for an artefact; None: there is none.
    """

    background: int
    cutouts: tuple[int, ...]
    other: int | None


@dataclass(frozen=True)
class Recipe:
    """A scene as numbers.

    Attributes:
        size: (H, W) of the canvas in pixels.
        layers: What is pasted, the last on top.
        artefact: The shape in which the other background shows, beneath all; None: there is none.
        noise: Standard deviation, as a share of the full range.
        blur: Sigma of the whole picture, in pixels.
        quality: The JPEG's.
        motion: Length in pixels and angle of the whole picture's motion blur; None: there is none.
    """

    size: tuple[int, int]
    layers: tuple[Layer, ...]
    artefact: Layer | None
    noise: float
    blur: float
    quality: int
    motion: tuple[int, float] | None = None


def generator(seed: int, number: int, attempt: int | None = None) -> np.random.Generator:
    """The random numbers of one scene: of its choice, or of an attempt."""
    entropy = [seed, number] if attempt is None else [seed, number, attempt]
    return np.random.default_rng(np.array(entropy, np.uint32))


def choose(
    law: Law, bank: Bank, backgrounds: int, observed: Observed | None, random: np.random.Generator
) -> Choice:
    """Draw a scene's background and cut-outs.

    Raises:
        ValueError: The law is matched, and nothing was observed.
    """
    placement = law.placement
    background = int(random.integers(backgrounds))
    other = None
    if random.random() < law.look.artefacts and backgrounds > 1:
        other = (background + int(random.integers(1, backgrounds))) % backgrounds
    if random.random() < law.empty:
        return Choice(background, (), other)
    if not placement.matched:
        count = int(random.integers(placement.objects[0], placement.objects[1] + 1))
    elif observed is None:
        raise ValueError("law.placement.matched: got no annotated pictures to match")
    else:
        count = _one(observed.numbers, random)
    chosen = [_object(law, bank, random) for _ in range(count)]
    if len(bank.distractors):
        low, high = placement.distractors
        extra = int(random.integers(low, high + 1))
        chosen += [_one(bank.distractors, random) for _ in range(extra)]
    return Choice(background, tuple(chosen), other)


def draw(
    law: Law,
    bank: Bank,
    choice: Choice,
    size: tuple[int, int],
    there: Boxes,
    observed: Observed | None,
    random: np.random.Generator,
) -> Recipe:
    """Draw how a scene's cut-outs are placed and what they look like.

    Args:
        law: What to draw from.
        bank: The cut-outs.
        choice: What the scene is made of.
        size: (H, W) of the canvas.
        there: (k, 4) boxes of the background's own objects, in canvas pixels.
        observed: For a matched law.
        random: The attempt's generator.

    Returns:
        The recipe; objects for which no place was found are not in it.
    """
    layers: list[Layer] = []
    taken = there
    for index in choice.cutouts:
        shape = _shape(law, bank[index], size, observed, random)
        if shape is None:
            continue
        angle, scale, overlap = shape
        place = _place(law, bank[index], angle, scale, overlap, size, taken, random)
        if place is None:
            continue
        centre, box = place
        taken = np.concatenate((taken, box[None]))
        layers.append(_coloured(law, Layer(index, angle, scale, centre), random))
    artefact = None if choice.other is None else _artefact(law, bank, size, taken, random)
    if law.placement.order == "random":
        layers = [layers[k] for k in random.permutation(len(layers))]
    elif law.placement.order == "size":
        layers.sort(key=lambda layer: -bank[layer.cutout].area * layer.size**2)
    look = law.look
    noise, blur = random.uniform(*look.noise), random.uniform(*look.blur)
    quality = int(random.integers(look.quality[0], look.quality[1] + 1))
    motion = None
    if look.motion and random.random() < look.motion:
        motion = LENGTHS[int(random.integers(len(LENGTHS)))], random.uniform(0, 180)
        layers = [replace(layer, blend="hard", sigma=0.0) for layer in layers]
    return Recipe(size, tuple(layers), artefact, noise, blur, quality, motion)


def outline(
    cutout: BankedCutout, angle: float, scale: tuple[float, float], centre: tuple[float, float]
) -> Boxes:
    """The box (4,) around a placed cut-out's turned box."""
    c, s = abs(cos(radians(angle))), abs(sin(radians(angle)))
    half_h, half_w = cutout.size[0] * scale[1] / 2, cutout.size[1] * abs(scale[0]) / 2
    along_x, along_y = c * half_w + s * half_h, s * half_w + c * half_h
    x, y = centre
    return np.array([x - along_x, y - along_y, x + along_x, y + along_y])


def _one(values: NDArray[np.integer[Any]], random: np.random.Generator) -> int:
    """Any of these: what ``random.choice`` draws, in a fifth of its time."""
    return int(values[random.integers(len(values))])


def _object(law: Law, bank: Bank, random: np.random.Generator) -> int:
    if law.placement.classes == "given":
        return _one(bank.objects, random)
    classes = list(bank.by_label.values())
    return _one(classes[int(random.integers(len(classes)))], random)


def _shape(
    law: Law,
    cutout: BankedCutout,
    size: tuple[int, int],
    observed: Observed | None,
    random: np.random.Generator,
) -> tuple[float, tuple[float, float], float] | None:
    """Angle, scales, and how much of another box may be covered; None if nothing fits."""
    placement = law.placement
    h, w = cutout.size
    for _ in range(placement.attempts):
        angle = random.uniform(-placement.angle, placement.angle)
        flip = -1 if random.random() < placement.flip else 1
        limit, overlap = log(placement.aspect), placement.overlap
        if placement.matched and observed is not None:
            alike = _one(observed.alike(cutout.label), random)
            overlap = min(overlap, float(observed.overlaps[alike]))
            scale = float(observed.sizes[alike]) * min(size) / sqrt(h * w)
            stretch = log(observed.aspects[alike]) - log(w / h)
            stretch = min(max(stretch, -limit), limit) / 2
        else:
            low, high = map(log, placement.scale)
            scale = exp(random.uniform(low, high))
            scale *= 1 if placement.own else min(size) / max(h, w)
            stretch = random.uniform(-limit, limit) / 2
        scales = (flip * scale * exp(stretch), scale * exp(-stretch))
        x1, y1, x2, y2 = outline(cutout, angle, scales, (0.0, 0.0))
        wide = w * abs(scales[0]) >= placement.side and h * scales[1] >= placement.side
        sharp = scale <= placement.enlarged
        if sharp and wide and x2 - x1 < size[1] and y2 - y1 < size[0]:
            return angle, scales, overlap
    return None


def _place(
    law: Law,
    cutout: BankedCutout,
    angle: float,
    scale: tuple[float, float],
    overlap: float,
    size: tuple[int, int],
    taken: Boxes,
    random: np.random.Generator,
) -> tuple[tuple[float, float], Boxes] | None:
    """A centre, and the object's box there; None if every place covers too much."""
    x1, y1, x2, y2 = outline(cutout, angle, scale, (0.0, 0.0))
    low_x, low_y = x1 * (2 * law.placement.truncation - 1), y1 * (2 * law.placement.truncation - 1)
    for _ in range(law.placement.attempts):
        centre = (
            random.uniform(low_x, size[1] - low_x),
            random.uniform(low_y, size[0] - low_y),
        )
        box = np.array([x1, y1, x2, y2]) + np.array(centre * 2)
        if not len(taken) or bool((covered_share(taken, box[None]) <= overlap).all()):
            return centre, box
    return None


def _coloured(law: Law, layer: Layer, random: np.random.Generator) -> Layer:
    look = law.look
    shift = random.uniform(-look.brightness, look.brightness)
    contrast = random.uniform(-look.contrast, look.contrast)
    blend = look.blends[int(random.integers(len(look.blends)))]
    sigma = random.uniform(*look.sigma)
    red, green, blue = (1 + contrast) * (1 + random.uniform(-look.colour, look.colour, 3))
    # Contrast grows about the middle of the range.
    bias = shift - contrast / 2
    return Layer(
        layer.cutout,
        layer.angle,
        layer.scale,
        layer.centre,
        (float(red), float(green), float(blue)),
        (bias, bias, bias),
        blend,
        {"hard": 0.0, "box": BOX_SIGMA}.get(blend, sigma),
    )


def _artefact(
    law: Law,
    bank: Bank,
    size: tuple[int, int],
    taken: Boxes,
    random: np.random.Generator,
) -> Layer | None:
    index = _one(bank.objects, random)
    shape = _shape(law, bank[index], size, None, random)
    if shape is None:
        return None
    angle, scale, _ = shape
    place = _place(law, bank[index], angle, scale, 0.1, size, taken, random)
    if place is None:
        return None
    sigma = random.uniform(*law.look.sigma)
    return Layer(index, angle, scale, place[0], sigma=sigma)
