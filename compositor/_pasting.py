"""Objects of pictures pasted on other pictures: one call of ``render``, and what it hides."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby, islice
from operator import attrgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

import compositor
from compositor import affine
from compositor._arguments import NO_THRESHOLD
from compositor._targets import Object, Picture, boxes_of, rewritten, solid


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


class Pasted(NamedTuple):
    """A picture with L layers.

    Attributes:
        number: Of the picture.
        layers: The last on top.
        image: (C, H, W).
        owner: (H, W), the layer that owns each pixel, from ``first`` on; -1: none.
        first: Number of the first layer in ``owner``.
        areas: Of each layer, the pixels that are seen, and those that are on the picture.
        boxes: (L, 4), around what is seen of the layers.
    """

    number: int
    layers: Sequence[Layer]
    image: Tensor
    owner: Tensor
    first: int
    areas: Sequence[tuple[int, int]]
    boxes: Tensor


class Part(NamedTuple):
    """What is seen of an object: rows and columns of the picture, and a bool mask of these."""

    where: tuple[slice, slice]
    mask: Tensor


class Scene(NamedTuple):
    """What is seen of the n objects that were on a picture before.

    Attributes:
        pasted: The picture.
        parts: Of each object.
        areas: Of each object over which a layer may lie, the pixels that are seen, and those that
            were; None of the others.
    """

    pasted: Pasted
    parts: Sequence[Part]
    areas: Sequence[tuple[int, int] | None]


def paste(
    pictures: Sequence[Picture], sources: Sequence[Picture], layers: Sequence[Layer]
) -> list[Pasted]:
    """Paste layers, those on pictures of one size in one call. Waits for the device once.

    Args:
        pictures: By number.
        sources: What the layers are cut from, by number.
        layers: At least one, picture by picture, the last on top.
    """
    sizes = dict.fromkeys(pictures[layer.picture].size for layer in layers)
    pasted, areas = [], []
    for size in sizes:
        group = [layer for layer in layers if pictures[layer.picture].size == size]
        found, labels = _rendered(pictures, sources, group)
        pasted += found
        areas.append(torch.stack((labels.area, labels.covered), 1))
    known = iter(torch.cat(areas).tolist())
    return [one._replace(areas=list(islice(known, len(one.layers)))) for one in pasted]


def _rendered(
    pictures: Sequence[Picture], sources: Sequence[Picture], layers: Sequence[Layer]
) -> tuple[list[Pasted], compositor.Labels]:
    """Render layers on pictures of one size; the areas are in the labels alone."""
    groups = {n: list(group) for n, group in groupby(layers, attrgetter("picture"))}
    canvases = torch.stack([pictures[number].image for number in groups])
    cutouts = [_cut(sources[layer.cutout.picture], layer) for layer in layers]
    device, numbers = canvases.device, list(groups)
    images, labels = compositor.render(
        canvases,
        [colours.to(device) for colours, _ in cutouts],
        [mask.to(device) for _, mask in cutouts],
        _thetas(layers, pictures[numbers[0]].size).to(device),
        image=torch.tensor([numbers.index(layer.picture) for layer in layers], device="cpu"),
        threshold=NO_THRESHOLD,
        sigma=torch.tensor([layer.sigma for layer in layers], dtype=torch.float64, device="cpu"),
        return_labels=True,
    )
    pasted, first = [], 0
    for (number, group), image, owner in zip(groups.items(), images, labels.owner, strict=True):
        boxes = labels.boxes[first : first + len(group)]
        pasted.append(Pasted(number, group, image, owner, first, [], boxes))
        first += len(group)
    return pasted, labels


def seen(pictures: Sequence[Picture], pasted: Sequence[Pasted]) -> list[Scene]:
    """What the layers leave of the pictures' own objects. Waits for the device once at most."""
    scenes, counts = [], []
    for one in pasted:
        regions = [_region(layer) for layer in one.layers]
        masks, parts, met = pictures[one.number].masks, [], []
        for own in pictures[one.number].objects:
            mask = solid(masks[own.row][own.where])
            met.append(any(_meet(own.where, region) for region in regions))
            if met[-1]:
                whole, mask = mask, mask & (one.owner[own.where] < 0)
                counts += [mask.count_nonzero(), whole.count_nonzero()]
            parts.append(Part(own.where, mask))
        scenes.append((one, parts, met))
    known = iter(torch.stack(counts).view(-1, 2).tolist() if counts else [])
    return [
        Scene(one, parts, [tuple(next(known)) if each else None for each in met])
        for one, parts, met in scenes
    ]


def _meet(one: tuple[slice, slice], other: tuple[slice, slice]) -> bool:
    (a, b), (c, d) = one, other
    return bool(a.start < c.stop and c.start < a.stop and b.start < d.stop and d.start < b.stop)


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
    parameters = torch.tensor(rows, dtype=torch.float64, device="cpu")
    return affine.from_parameters(parameters, (1, 1), size)


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
    names: Iterable[str],
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
    pasted = scene.pasted
    masks = picture.masks.new_zeros(len(kept) + len(pasted.layers), *picture.size)
    for mask, row in zip(masks, kept, strict=False):
        part = scene.parts[row]
        mask[part.where] = part.mask
    for which, layer in enumerate(pasted.layers):
        where = _region(layer)
        masks[len(kept) + which][where] = pasted.owner[where] == pasted.first + which
    own = [scene.areas[row] for row in kept]
    touched = [n for n, area in enumerate(own) if area and area[0] < area[1]]
    boxes = pasted.boxes
    if touched:
        rows = torch.tensor(touched, device=masks.device)
        boxes = torch.cat((boxes_of(masks.index_select(0, rows))[0], boxes))
    left = [area[0] for area in own if area and area[0] < area[1]]
    areas = torch.tensor(left + [area for area, _ in pasted.areas], device="cpu")
    fresh = {"masks": masks, "boxes": boxes, "area": areas}
    origins = [(sources[layer.cutout.picture], layer.cutout.row) for layer in pasted.layers]
    return rewritten(picture, names, kept, origins, fresh, touched)
