"""Objects of pictures pasted on other pictures: one call of ``render``, and what it hides."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from operator import attrgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

import compositor
from compositor import affine
from compositor._targets import Object, Picture, boxes_of, rewritten, solid

THRESHOLD = 0.0
"""Masks are taken as they are, so that an object keeps its size however far it shrinks."""


class Layer(NamedTuple):
    """An object to be pasted.

    Attributes:
        picture: Number of the picture that it is pasted on.
        cutout: What is pasted.
        place: Left, top, width and height there, in pixels.
        flip: Whether it is mirrored.
        sigma: Its blur in pixels.
    """

    picture: int
    cutout: Object
    place: tuple[int, int, float, float]
    flip: bool
    sigma: float


class Part(NamedTuple):
    """What is seen of an object: rows and columns of the picture, and a bool mask of these."""

    where: tuple[slice, slice]
    mask: Tensor


class Scene(NamedTuple):
    """A picture with L layers, its n own objects below them.

    Attributes:
        number: Of the picture.
        layers: The last on top.
        image: (C, H, W).
        parts: Of each layer, then of each own object.
        areas: Of each part, the pixels that are seen, and those that are on the picture.
        boxes: (L, 4), around what is seen of the layers.
    """

    number: int
    layers: Sequence[Layer]
    image: Tensor
    parts: Sequence[Part]
    areas: Sequence[tuple[int, int]]
    boxes: Tensor


def paste(
    pictures: Sequence[Picture], sources: Sequence[Picture], layers: Sequence[Layer]
) -> list[Scene]:
    """Paste layers, those on pictures of one size in one call. Waits for the device once.

    Args:
        pictures: By number.
        sources: What the layers are cut from, by number.
        layers: At least one, picture by picture, the last on top.
    """
    sizes = dict.fromkeys(pictures[layer.picture].size for layer in layers)
    scenes, areas = [], []
    for size in sizes:
        group = [layer for layer in layers if pictures[layer.picture].size == size]
        for scene, measured in _rendered(pictures, sources, group):
            scenes.append(scene)
            areas += measured
    known = iter(torch.stack(areas).view(-1, 2).tolist())
    return [scene._replace(areas=list(islice(known, len(scene.parts)))) for scene in scenes]


def _rendered(
    pictures: Sequence[Picture], sources: Sequence[Picture], layers: Sequence[Layer]
) -> Iterator[tuple[Scene, list[Tensor]]]:
    """Render layers on pictures of one size; yields scenes, and their areas one after the other."""
    groups = {n: list(group) for n, group in groupby(layers, attrgetter("picture"))}
    canvases = torch.stack([pictures[number].image for number in groups])
    cutouts = [_cut(sources[layer.cutout.picture], layer) for layer in layers]
    device, numbers = canvases.device, list(groups)
    images, labels = compositor.render(
        canvases,
        [colours.to(device) for colours, _ in cutouts],
        [mask.to(device) for _, mask in cutouts],
        _thetas(layers, pictures[numbers[0]].size).to(device),
        image=torch.tensor([numbers.index(layer.picture) for layer in layers]).to(device),
        threshold=THRESHOLD,
        sigma=torch.tensor([layer.sigma for layer in layers], dtype=torch.float64),
        return_labels=True,
    )
    first = 0
    for (number, group), image, owner in zip(groups.items(), images, labels.owner, strict=True):
        last = first + len(group)
        parts, areas = [], []
        for layer, which in zip(group, range(first, last), strict=True):
            where = _region(layer)
            parts.append(Part(where, owner[where] == which))
            areas += [labels.area[which], labels.covered[which]]
        for one in pictures[number].objects:
            mask = solid(pictures[number].masks[one.row][one.where])
            seen = mask & (owner[one.where] < 0)
            parts.append(Part(one.where, seen))
            areas += [seen.count_nonzero(), mask.count_nonzero()]
        yield Scene(number, group, image, parts, [], labels.boxes[first:last]), areas
        first = last


def _region(layer: Layer) -> tuple[slice, slice]:
    """Rows and columns of the picture that hold the layer; a blur moves no edge outwards."""
    left, top, width, height = layer.place
    ends = [(int(low), math.ceil(low + extent)) for low, extent in ((top, height), (left, width))]
    rows, columns = (slice(max(low, 0), max(high, 0)) for low, high in ends)
    return rows, columns


def _thetas(layers: Sequence[Layer], size: tuple[int, int]) -> Tensor:
    """Theta, (L, 2, 3) float64, of cut-outs cropped to their boxes."""
    rows = []
    for layer in layers:
        left, top, width, height = layer.place
        x, y = left + (width - size[1]) / 2, top + (height - size[0]) / 2
        rows.append((0.0, 0.0, -width if layer.flip else width, height, x, y))
    # The scale of a frame of one pixel is its size on the canvas.
    return affine.from_parameters(torch.tensor(rows, dtype=torch.float64), (1, 1), size)


def _cut(source: Picture, layer: Layer) -> tuple[Tensor, Tensor]:
    """Colours (C, h, w) and mask (1, h, w) of a layer's cut-out, of its size there or twice that.

    ``render`` samples bilinearly, so what is shrunk below half would lose pixels at random.
    """
    colours = source.image[:, *layer.cutout.where]
    mask = solid(source.masks[layer.cutout.row, None, *layer.cutout.where])
    shrunk = layer.cutout.size[0] / layer.place[3]
    if shrunk < 2:
        return colours, mask
    halved = 2 ** int(math.log2(shrunk))
    height, width = (max(1, round(side / halved)) for side in layer.cutout.size)
    dtype = torch.promote_types(colours.dtype, torch.float32)
    weight = mask.to(dtype)
    parts = adaptive_avg_pool2d(torch.cat((torch.where(mask, colours, 0), weight)), (height, width))
    # Of the object's colours alone: those around it would show as a fringe.
    colours, share = parts[:-1] / parts[-1:].clamp_min(torch.finfo(dtype).eps), parts[-1:]
    if source.image.dtype == torch.uint8:
        return colours.round().to(torch.uint8), (255 * share).round().to(torch.uint8)
    return colours.to(source.image.dtype), share.to(source.image.dtype)


def labelled(
    scene: Scene,
    picture: Picture,
    sources: Sequence[Picture],
    names: Sequence[str],
    kept: Sequence[int],
) -> dict[str, Any]:
    """The target of a picture in its scene.

    Args:
        scene: What is seen.
        picture: As it was.
        sources: What the layers are cut from.
        names: The entries of each object.
        kept: The rows of the picture's own objects that stay.
    """
    first = len(scene.layers)
    order = [*(first + row for row in kept), *range(first)]
    masks = picture.masks.new_zeros(len(order), *picture.size)
    for mask, which in zip(masks, order, strict=True):
        part = scene.parts[which]
        mask[part.where] = part.mask
    touched = [
        n
        for n, which in enumerate(order[: len(kept)])
        if scene.areas[which][0] < scene.areas[which][1]
    ]
    boxes = scene.boxes
    if touched:
        which = torch.tensor(touched).to(masks.device)
        boxes = torch.cat((boxes_of(masks.index_select(0, which))[0], boxes))
    areas = torch.tensor(
        [scene.areas[order[n]][0] for n in (*touched, *range(len(kept), len(order)))]
    )
    fresh = {"masks": masks, "boxes": boxes, "area": areas.to(masks.device)}
    origins = [(sources[layer.cutout.picture], layer.cutout.row) for layer in scene.layers]
    return rewritten(picture, names, kept, origins, fresh, touched)
