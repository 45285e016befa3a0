"""Renders a batch's composites, with their ground truth and how much of each object shows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

import compositor
from compositor.scenes.placement import (
    Visibility,
    covered,
    outlines,
    truncation,
    visible_fraction,
)
from trainers.detection.scenes import Batch, Paste, Target
from trainers.detection.tones import PLAIN


@dataclass(frozen=True)
class Composites:
    """Rendered pictures.

    Attributes:
        images: (n, 3, H, W) float32 in [0, 1], differentiable in theta and tone.
        boxes: (n, 4), the last objects' boxes in pixels, differentiable in theta; zeros where
            nothing shows.
        valid: (n,) bool, whether enough of the last object shows.
        targets: The ground truth: the background's objects, then what is seen of those pasted, the
            last one only if valid. If the background's say the ``classes`` of its pixels, these do
            too.
        owner: (n, H, W), of each pixel the object that it shows, 0 to k - 1; -1: the background.
    """

    images: Tensor
    boxes: Tensor
    valid: Tensor
    targets: list[Target]
    owner: Tensor


@dataclass(frozen=True)
class Stage:
    """Pictures that show all of their objects but the last.

    Attributes:
        batch: What to paste, with the placements of the objects that they show.
        backgrounds: (n, 3, H, W) float32, from :func:`with_artefacts`.
        images: (n, 3, H, W) float32 in [0, 1], these with the objects.
        targets: Their ground truth.
    """

    batch: Batch
    backgrounds: Tensor
    images: Tensor
    targets: list[Target]


Place = Callable[[Stage], tuple[Paste, Tensor]]
"""Says how the last object of each picture is pasted, and whether it has a place (n,)."""


@torch.no_grad()
def staged(batch: Batch, place: Place, visibility: Visibility) -> Stage:
    """Place all of a batch's objects but the last, each on the picture that shows the former ones.

    One that has no place, or of which too little shows, is left out.
    """
    backgrounds = with_artefacts(batch)
    images, targets = backgrounds, batch.targets
    for layer in range(batch.labels.shape[1] - 1):
        part = batch.first(layer + 1)
        paste, placed = place(Stage(part, backgrounds, images, targets))
        made = composite(part, backgrounds, paste, visibility)
        kept = placed & made.valid
        left_out = torch.zeros_like(batch.labels, dtype=torch.bool)
        left_out[:, layer] = ~kept
        batch = replace(batch, recipes=batch.recipes.pasted(layer, paste)).without(left_out)
        images = torch.where(kept[:, None, None, None], made.images, images)
        pairs = zip(targets, made.targets, kept.tolist(), strict=True)
        targets = [with_it if stays else former for former, with_it, stays in pairs]
    return Stage(batch, backgrounds, images, targets)


def with_artefacts(batch: Batch) -> Tensor:
    """A batch's backgrounds, (n, 3, H, W) float32 in [0, 1], with their blending artefacts."""
    images = batch.backgrounds.float() / 255
    if batch.artefacts is None:
        return images
    cut = batch.artefacts.float() / 255
    return compositor.blending_artefacts(images, cut[:, :3], cut[:, 3:], batch.recipes.artefact)


def composite(
    batch: Batch, backgrounds: Tensor, paste: Paste, visibility: Visibility
) -> Composites:
    """Paste a batch's objects, and work out how much of them shows.

    Args:
        batch: What to paste, and how all but the last are pasted.
        backgrounds: (n, 3, H, W) float32, from :func:`with_artefacts`.
        paste: How the last are pasted; differentiable.
        visibility: The limits.
    """
    theta, recipes = paste.theta, batch.recipes
    size = (backgrounds.shape[-2], backgrounds.shape[-1])
    masks = batch.masks()
    fraction = visible_fraction(masks, theta.detach(), size)
    shape, cutouts = batch.labels.shape, batch.cutouts.flatten(0, 1)
    tones = torch.cat((recipes.tone[:, :-1], paste.tone[:, None]), 1)
    gain, bias = tones.flatten(0, 1).unbind(1)
    images, labels = compositor.render(
        backgrounds,
        cutouts[:, :3].float() / 255,
        cutouts[:, 3:].float() / 255,
        torch.cat((recipes.theta[:, :-1], theta[:, None]), 1).flatten(0, 1),
        image=torch.arange(shape[0]).repeat_interleave(shape[1]),
        gain=gain,
        bias=bias,
        return_labels=True,
    )
    toned = (tones != PLAIN.to(tones)).flatten(1).any(1)
    if toned.any():
        # As bytes would be saturated; rounding alone may leave [0, 1] too, and stays as it is.
        images = torch.where(toned[:, None, None, None], images.clamp(0, 1), images)
    seen = labels.boxes.unflatten(0, shape)
    former, boxes = seen[:, :-1], seen[:, -1]
    valid = visibility.valid(boxes, fraction, truncation(masks, theta.detach()), size)
    if theta.requires_grad:
        # The box moves with its object; otherwise every move would look like T's mistake.
        moving = outlines(masks, theta, size)
        boxes = boxes + (moving - moving.detach())
    shows = (labels.area > 0).unflatten(0, shape)
    shows[:, -1] = valid
    there = [[k for k, one in enumerate(row) if one] for row in shows.tolist()]
    hidden = (1 - labels.area / labels.covered.clamp_min(1)).unflatten(0, shape)
    found = {
        "boxes": torch.cat((former, boxes[:, None]), 1),
        "labels": batch.labels,
        "ignore": hidden > visibility.covered,
    }
    targets = [
        _with_objects(target, {k: v[n, there[n]] for k, v in found.items()}, owner, visibility)
        for n, (target, owner) in enumerate(zip(batch.targets, labels.owner, strict=True))
    ]
    first = torch.arange(0, shape.numel(), shape[1], dtype=torch.int32, device=masks.device)
    owner = (labels.owner - first[:, None, None]).clamp_min(-1)
    if "classes" in targets[0]:
        under = torch.stack([target["classes"] for target in targets])
        classes = pixel_classes(under, batch.labels, owner)
        targets = [target | {"classes": own} for target, own in zip(targets, classes, strict=True)]
    return Composites(images, boxes, valid, targets, owner)


def pixel_classes(under: Tensor, labels: Tensor, owner: Tensor) -> Tensor:
    """The class of each pixel of composites, (n, H, W).

    Args:
        under: (n, H, W), the backgrounds'.
        labels: (n, k), the objects'.
        owner: (n, H, W), as in :class:`Composites`.
    """
    own = labels.gather(1, owner.clamp_min(0).flatten(1).long()).view_as(owner)
    return torch.where(owner < 0, under, own.to(under))


def moving_classes(stage: Stage, theta: Tensor, targets: Sequence[Target]) -> list[Target]:
    """Targets that say how the ``classes`` of pixels change with the last objects' placements.

    Args:
        stage: What was pasted on.
        theta: (n, 2, 3), differentiable.
        targets: The composites'.

    Returns:
        Targets with the classes ``under`` the last object, and with how much more of each pixel it
        covers after it has ``moved``: (H, W), 0, but with alpha's gradient.
    """
    masks = stage.batch.masks()
    alpha = compositor.blend(masks, masks, torch.zeros_like(masks), theta, return_alpha=True)[1]
    moved = (alpha - alpha.detach())[:, 0]
    return [
        target | {"under": former["classes"], "moved": move}
        for target, former, move in zip(targets, stage.targets, moved, strict=True)
    ]


def _with_objects(target: Target, pasted: Target, owner: Tensor, visibility: Visibility) -> Target:
    """Add pasted objects to the ground truth, and ignore those of the background they hide."""
    if not len(pasted["labels"]):
        return target
    hidden = target["ignore"]
    if len(hidden):
        gone = covered(target["boxes"], (owner >= 0)[None])
        hidden = hidden | (gone > visibility.covered)
    own = {"boxes": target["boxes"], "labels": target["labels"], "ignore": hidden}
    return target | {name: torch.cat((own[name], pasted[name])) for name in own}
