"""Renders scenes, and labels what can be seen of each object."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import cos, radians, sin

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ImageFilter
from torch import Tensor

import compositor
from compositor import affine
from compositor._arguments import NO_THRESHOLD
from compositor.data.frames import pillow
from compositor.data.labels import Instance, encode_each
from compositor.data.records import Box
from compositor.ops.layers import Labels
from compositor.scenes.bank import OUTLINE, Bank, BankedCutout
from compositor.scenes.canvas import Canvas, uncovered
from compositor.scenes.draw import outline
from compositor.scenes.motion import moved
from compositor.scenes.poisson import blended
from compositor.scenes.recipe import Layer, Recipe

FLAT = 1000.0
"""Sigma of which three taps are alike to a millionth: a Gaussian that is a box."""
STEPS = (np.arange(OUTLINE) + 0.5) / OUTLINE
"""Centres of an outline's pixels, as shares of the frame."""


@dataclass(frozen=True)
class Scene:
    """A rendered scene.

    Attributes:
        image: (H, W, 3) uint8.
        layers: The layers that are left, in order.
        instances: The background's objects, then those of the layers, as far as they are labelled.
    """

    image: NDArray[np.uint8]
    layers: tuple[Layer, ...]
    instances: tuple[Instance, ...]


def compose(
    recipe: Recipe,
    bank: Bank,
    canvas: Canvas,
    visible: float,
    other: Tensor | None,
    random: np.random.Generator,
) -> Scene:
    """Render a scene.

    An object of which less than ``visible`` shows in the end is taken away, the least visible
    first, and what it hid shows again.

    Args:
        recipe: What to render.
        bank: The cut-outs.
        canvas: The background.
        visible: Least share of an object that must show.
        other: The background (3, H, W) that an artefact is cut out of.
        random: For the noise.
    """
    ground = canvas.image
    shape = recipe.artefact
    if shape is not None and other is not None:
        theta = thetas([shape], bank, recipe.size)
        mask = bank[shape.cutout].level(shape.size).mask
        # The other background lies where this one does, seen through the object's shape.
        ground = _through(ground, other, mask, theta, shape.sigma)
    layers = list(recipe.layers)
    theta = thetas(layers, bank, recipe.size)
    whole = np.array([on_canvas(layer, bank[layer.cutout], recipe.size) for layer in layers])
    while True:
        picture, labels = _render(layers, bank, ground, theta)
        shown = whole * (labels.area / labels.covered.clamp_min(1)).numpy()
        # A distractor has no label that could be wrong.
        shown[[not bank[layer.cutout].label for layer in layers]] = 1
        if not len(layers) or shown.min() >= visible:
            break
        worst = int(shown.argmin())
        del layers[worst]
        whole = np.delete(whole, worst)
        theta = torch.cat((theta[:worst], theta[worst + 1 :]))
    if any(layer.blend in ("box", "poisson") for layer in layers):
        picture = _one_by_one(layers, bank, ground, theta)
    owner = labels.owner[0].numpy()
    instances = [
        *uncovered(canvas.objects, owner, visible),
        *_pasted(layers, bank, labels, owner, whole),
    ]
    return Scene(_finished(picture, recipe, random), tuple(layers), tuple(instances))


def thetas(layers: Sequence[Layer], bank: Bank, size: tuple[int, int]) -> Tensor:
    """The layers' theta (L, 2, 3) float64, for any level of their cut-outs."""
    rows = []
    for layer in layers:
        cutout = bank[layer.cutout]
        sx, sy = layer.scale
        # From the object's centre to that of the frame, which goes on to the right and below.
        dx = (cutout.frame[1] - cutout.size[1]) / 2 * sx
        dy = (cutout.frame[0] - cutout.size[0]) / 2 * sy
        c, s = cos(radians(layer.angle)), sin(radians(layer.angle))
        x = layer.centre[0] - size[1] / 2 + c * dx + s * dy
        y = layer.centre[1] - size[0] / 2 - s * dx + c * dy
        rows.append((layer.angle, 0.0, sx * cutout.frame[1], sy * cutout.frame[0], x, y))
    parameters = torch.tensor(rows, dtype=torch.float64).reshape(-1, 6)
    return affine.from_parameters(parameters, (1, 1), size)


def _render(
    layers: Sequence[Layer], bank: Bank, ground: Tensor, theta: Tensor, radius: int | None = None
) -> tuple[Tensor, Labels]:
    levels = [bank[layer.cutout].level(layer.size) for layer in layers]
    pictures, labels = compositor.render(
        ground[None],
        [level.colours for level in levels],
        [level.mask for level in levels],
        theta,
        image=torch.zeros(len(layers), dtype=torch.int64),
        gain=torch.tensor([layer.gain for layer in layers]).reshape(-1, 3),
        bias=torch.tensor([layer.bias for layer in layers]).reshape(-1, 3),
        threshold=NO_THRESHOLD,
        sigma=torch.tensor([layer.sigma for layer in layers]),
        radius=radius,
        return_labels=True,
    )
    return pictures[0], labels


def _one_by_one(layers: Sequence[Layer], bank: Bank, ground: Tensor, theta: Tensor) -> Tensor:
    """The picture where some layers are blended by a box or by Poisson's equation; its labels are
    those of the picture in which Gaussians blend them."""
    for k, layer in enumerate(layers):
        one, radius = layer, None
        if layer.blend == "box":
            one, radius = replace(layer, sigma=FLAT), 1
        pasted, labels = _render([one], bank, ground, theta[k : k + 1], radius)
        if layer.blend == "poisson":
            mask = labels.owner[0].numpy() == 0
            pixels = [picture.permute(1, 2, 0).numpy() for picture in (pasted, ground)]
            pasted = torch.from_numpy(blended(pixels[0], pixels[1], mask)).permute(2, 0, 1)
        ground = pasted.contiguous()
    return ground


def _through(ground: Tensor, other: Tensor, mask: Tensor, theta: Tensor, sigma: float) -> Tensor:
    """The canvas (3, H, W) with another one where a placed mask is."""
    _, alpha = compositor.blend(
        torch.zeros(1, 1, *mask.shape[1:]),
        mask[None] / 255,
        torch.zeros(1, 1, *ground.shape[1:]),
        theta,
        threshold=NO_THRESHOLD,
        sigma=sigma,
        return_alpha=True,
    )
    return torch.lerp(ground.float(), other.float(), alpha[0]).round().to(torch.uint8)


def on_canvas(layer: Layer, cutout: BankedCutout, size: tuple[int, int]) -> float:
    """The share of a placed object that is on a canvas of ``size`` (H, W).

    What :func:`compositor.visible_fraction` finds of its outline, in a fifth of the time: without
    autograd, and most objects are inside.
    """
    x1, y1, x2, y2 = outline(cutout, layer.angle, layer.scale, layer.centre)
    if x1 >= 0 and y1 >= 0 and x2 <= size[1] and y2 <= size[0]:
        return 1.0
    sx, sy = layer.scale
    c, s = cos(radians(layer.angle)), sin(radians(layer.angle))
    # Of the outline's pixels: from the object's centre, in its own pixels.
    right = STEPS * cutout.frame[1] - cutout.size[1] / 2
    down = (STEPS * cutout.frame[0] - cutout.size[0] / 2)[:, None]
    wide, high = sx * cutout.frame[1] / OUTLINE, sy * cutout.frame[0] / OUTLINE
    inside_x = _inside(
        layer.centre[0] + c * sx * right + s * sy * down, abs(c * wide) + abs(s * high), size[1]
    )
    inside_y = _inside(
        layer.centre[1] - s * sx * right + c * sy * down, abs(s * wide) + abs(c * high), size[0]
    )
    return float((cutout.outline * inside_x * inside_y).sum() / cutout.outline.sum())


def _inside(middle: NDArray[np.float64], extent: float, side: int) -> NDArray[np.float64]:
    """The share of each pixel's extent about its middle that is between 0 and ``side``."""
    low, high = (middle - extent / 2).clip(0, side), (middle + extent / 2).clip(0, side)
    share: NDArray[np.float64] = (high - low) / extent
    return share


def _pasted(
    layers: Sequence[Layer],
    bank: Bank,
    labels: Labels,
    owner: NDArray[np.int32],
    whole: NDArray[np.float64],
) -> list[Instance]:
    rows = zip(
        layers,
        labels.boxes.tolist(),
        labels.area.tolist(),
        labels.covered.tolist(),
        whole.tolist(),
        strict=True,
    )
    masks = encode_each(owner, len(layers))
    found = []
    for mask, (layer, corners, area, covered, part) in zip(masks, rows, strict=True):
        cutout = bank[layer.cutout]
        if not (cutout.label and area):
            continue
        box: Box = tuple(corners)
        found.append(
            Instance(
                cutout.label,
                box,
                mask,
                int(area),
                visibility=area / covered,
                truncation=max(1 - part, 0.0),
                cutout=cutout.name,
            )
        )
    return found


def _finished(picture: Tensor, recipe: Recipe, random: np.random.Generator) -> NDArray[np.uint8]:
    """The picture (H, W, 3) with a camera's blur, motion and noise."""
    pixels = picture.numpy().transpose(1, 2, 0)
    if recipe.blur:
        blurred = pillow(pixels).filter(ImageFilter.GaussianBlur(recipe.blur))
        pixels = np.asarray(blurred)
    if recipe.motion:
        pixels = moved(pixels, *recipe.motion)
    if recipe.noise:
        noise = random.standard_normal(pixels.shape, np.float32) * (255 * recipe.noise)
        pixels = np.rint((pixels + noise).clip(0, 255)).astype(np.uint8)
    return pixels
