"""Draws scenes: recipes of numbers, each determined by the seed, its number and the attempt."""

from dataclasses import replace
from itertools import zip_longest
from math import cos, exp, log, radians, sin, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compositor.scenes.bank import Bank, BankedCutout
from compositor.scenes.law import Law
from compositor.scenes.motion import LENGTHS
from compositor.scenes.observed import Observed, covered_share
from compositor.scenes.recipe import Choice, Layer, Recipe

Boxes = NDArray[np.float64]
BOX_SIGMA = sqrt(2 / 3)
"""Of the Gaussian that blurs as much as a mean over 3 x 3 pixels: for the labels."""
SHIFT = 0.1
"""How far an object of a layout is moved either way, as a share of its sides."""


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
    alike: tuple[int, ...] = ()
    if not placement.matched:
        count = int(random.integers(placement.objects[0], placement.objects[1] + 1))
        chosen = [_object(law, bank, random) for _ in range(count)]
    elif observed is None:
        raise ValueError("law.placement.matched: got no annotated pictures to match")
    elif placement.layout:
        layout = observed.layout(int(random.integers(len(observed.numbers))))
        alike = tuple(k for k in layout if int(observed.labels[k]) in bank.by_label)
        chosen = [_like(law, bank, observed, k, random) for k in alike]
    else:
        count = _one(observed.numbers, random)
        chosen = [_object(law, bank, random) for _ in range(count)]
    if len(bank.distractors):
        low, high = placement.distractors
        extra = int(random.integers(low, high + 1))
        chosen += [_one(bank.distractors, random) for _ in range(extra)]
    return Choice(background, tuple(chosen), other, alike)


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
    mirrored = bool(choice.alike) and random.random() < law.placement.flip
    for index, alike in zip_longest(choice.cutouts, choice.alike):
        shape = _shape(law, bank[index], size, observed, alike, random)
        if shape is None:
            continue
        angle, scale, overlap = shape
        around, apart = None, taken
        if alike is not None and observed is not None:
            x, y = observed.places[alike]
            # The layout says how its objects overlap each other.
            around, apart = ((1 - x if mirrored else x) * size[1], y * size[0]), there
        place = _place(law, bank[index], angle, scale, overlap, size, apart, around, random)
        if place is None:
            continue
        centre, box = place
        taken = np.concatenate((taken, box[None]))
        layers.append(_coloured(law, Layer(index, angle, scale, centre), random))
    artefact = None if choice.other is None else _artefact(law, bank, size, taken, random)
    if law.placement.order == "random":
        layers = [layers[k] for k in random.permutation(len(layers))]
    elif law.placement.order == "lower":
        layers = [layers[k] for k in taken[len(there) :, 3].argsort(kind="stable")]
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


def _like(law: Law, bank: Bank, observed: Observed, alike: int, random: np.random.Generator) -> int:
    """A cut-out of an observed object's class that can be stretched to its aspect, if any can."""
    known = bank.by_label[int(observed.labels[alike])]
    stretch, limit = bank.aspects[known] / observed.aspects[alike], law.placement.aspect
    near = known[(stretch <= limit) & (stretch >= 1 / limit)]
    return _one(near if len(near) else known, random)


def _shape(
    law: Law,
    cutout: BankedCutout,
    size: tuple[int, int],
    observed: Observed | None,
    alike: int | None,
    random: np.random.Generator,
) -> tuple[float, tuple[float, float], float] | None:
    """Angle, scales, and how much of another box may be covered; None if nothing fits.

    A matched one takes after any of the observed objects, or after the one that is given.
    """
    placement = law.placement
    h, w = cutout.size
    for _ in range(placement.attempts):
        angle = random.uniform(-placement.angle, placement.angle)
        flip = -1 if random.random() < placement.flip else 1
        limit, overlap = log(placement.aspect), placement.overlap
        if placement.matched and observed is not None:
            one = _one(observed.alike(cutout.label), random) if alike is None else alike
            overlap = min(overlap, float(observed.overlaps[one]))
            scale = float(observed.sizes[one]) * min(size) / sqrt(h * w)
            if alike is not None:  # another draw would be no smaller
                scale = min(scale, placement.enlarged)
            stretch = log(observed.aspects[one]) - log(w / h)
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
    around: tuple[float, float] | None,
    random: np.random.Generator,
) -> tuple[tuple[float, float], Boxes] | None:
    """A centre, anywhere or around a point, and the object's box there; None if every place covers
    too much."""
    x1, y1, x2, y2 = outline(cutout, angle, scale, (0.0, 0.0))
    low_x, low_y = x1 * (2 * law.placement.truncation - 1), y1 * (2 * law.placement.truncation - 1)
    least, most = np.array([low_x, low_y]), np.array([size[1] - low_x, size[0] - low_y])
    if around is not None:
        shift = SHIFT * np.array([x2 - x1, y2 - y1])
        least, most = (around - shift).clip(least, most), (around + shift).clip(least, most)
    for _ in range(law.placement.attempts):
        centre = (random.uniform(least[0], most[0]), random.uniform(least[1], most[1]))
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
    shape = _shape(law, bank[index], size, None, None, random)
    if shape is None:
        return None
    angle, scale, _ = shape
    place = _place(law, bank[index], angle, scale, 0.1, size, taken, None, random)
    if place is None:
        return None
    sigma = random.uniform(*law.look.sigma)
    return Layer(index, angle, scale, place[0], sigma=sigma)
