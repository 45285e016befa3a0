"""Renders a batch's composites, with their ground truth and how much of each object shows."""

from dataclasses import dataclass

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
from trainers.detection.scenes import Batch, Target


@dataclass(frozen=True)
class Composites:
    """Rendered pictures.

    Attributes:
        images: (n, 3, H, W) float32 in [0, 1], differentiable in theta.
        boxes: (n, 4), the pasted objects' boxes in pixels, differentiable in theta; zeros where
            nothing shows.
        valid: (n,) bool, whether enough of the object shows.
        targets: The ground truth: the background's objects, then the pasted one if valid.
    """

    images: Tensor
    boxes: Tensor
    valid: Tensor
    targets: list[Target]


def with_artefacts(batch: Batch) -> Tensor:
    """A batch's backgrounds, (n, 3, H, W) float32 in [0, 1], with their blending artefacts."""
    images = batch.backgrounds.float() / 255
    if batch.artefacts is None:
        return images
    cut = batch.artefacts.float() / 255
    return compositor.blending_artefacts(images, cut[:, :3], cut[:, 3:], batch.recipes.artefact)


def composite(
    batch: Batch, backgrounds: Tensor, theta: Tensor, visibility: Visibility
) -> Composites:
    """Paste a batch's objects, and work out how much of them shows.

    Args:
        batch: What to paste.
        backgrounds: (n, 3, H, W) float32, from :func:`with_artefacts`.
        theta: (n, 2, 3), the objects' placements; differentiable.
        visibility: The limits.
    """
    size = (backgrounds.shape[-2], backgrounds.shape[-1])
    masks = batch.masks()
    fraction = visible_fraction(masks, theta.detach(), size)
    images, alpha = compositor.blend(batch.colours(), masks, backgrounds, theta, return_alpha=True)
    boxes, _ = compositor.boxes(alpha)
    valid = visibility.valid(boxes, fraction, truncation(masks, theta.detach()), size)
    if theta.requires_grad:
        # The box moves with its object; otherwise every move would look like T's mistake.
        moving = outlines(masks, theta, size)
        boxes = boxes + (moving - moving.detach())
    truth = zip(batch.targets, alpha.detach(), boxes, batch.labels, valid.tolist(), strict=True)
    targets = [
        _with_object(target, shown, box, label, visibility) if shows else target
        for target, shown, box, label, shows in truth
    ]
    return Composites(images, boxes, valid, targets)


def _with_object(
    target: Target, alpha: Tensor, box: Tensor, label: Tensor, visibility: Visibility
) -> Target:
    """Add a pasted object to the ground truth, and ignore the objects it hides."""
    hidden = target["ignore"]
    if len(hidden):
        hidden = hidden | (covered(target["boxes"], alpha) > visibility.covered)
    return {
        "boxes": torch.cat((target["boxes"], box[None])),
        "labels": torch.cat((target["labels"], label[None])),
        "ignore": torch.cat((hidden, hidden.new_zeros(1))),
    }
