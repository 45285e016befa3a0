"""NanoDet's loss: generalised focal loss on the cells that ATSS assigns.

Generalized Focal Loss (Li et al., 2020); ATSS: Bridging the Gap Between Anchor-based and
Anchor-free Detection (Zhang et al., 2020).
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torchvision.ops import box_iou, generalized_box_iou_loss

from trainers.detectors.base import Target, mean_by_object
from trainers.detectors.nanodet_network import BINS, Grid, boxes_of

CANDIDATES = 9
"""Cells a level that ATSS considers for each object."""
ANCHOR = 5
"""Side of the square around a cell by whose overlap ATSS judges it, in strides."""
GIOU, FOCAL = 2.0, 0.25
"""Weights of the boxes' loss and of their sides' distribution, beside 1 for the classes'."""


def loss_by_object(
    logits: Tensor, bins: Tensor, grid: Grid, targets: Sequence[Target]
) -> tuple[Tensor, list[Tensor]]:
    """The loss (), differentiable in the targets' boxes too, and each object's mean over its cells.

    Args:
        logits: (N, n, C).
        bins: (N, n, 4, 11).
        grid: The n cells.
        targets: Of each image ``boxes`` (k, 4) in pixels and ``labels`` (k,) from 1.

    Returns:
        The loss, and for each image its objects' (k,), without gradient; NaN: no cell has to find
        the object.
    """
    owners = [assigned(target["boxes"].detach(), grid) for target in targets]
    image, cell = (torch.stack(owners) >= 0).nonzero(as_tuple=True)
    of = [owner[owner >= 0] for owner in owners]
    boxes = torch.cat([t["boxes"][k] for t, k in zip(targets, of, strict=True)])
    label = torch.cat([t["labels"][k] for t, k in zip(targets, of, strict=True)]) - 1

    centres, strides = grid.centres[cell], grid.strides[cell]
    found = boxes_of(bins[image, cell], centres, strides)
    quality = torch.zeros_like(logits)
    quality[image, cell, label] = overlap(found.detach(), boxes.detach())
    scores = quality_focal(logits, quality)
    classes = scores.sum() / max(1, len(cell))
    # What T is surer of counts for more, as in its paper.
    weight = logits.detach()[image, cell].amax(1).sigmoid()
    weight = weight / weight.sum().clamp_min(1e-6)
    places = generalized_box_iou_loss(found, boxes)
    ends = torch.cat((centres - boxes[:, :2], boxes[:, 2:] - centres), 1) / strides[:, None]
    sides = distribution_focal(bins[image, cell], ends)
    whole = classes + GIOU * (weight * places).sum() + FOCAL * (weight * sides).sum()

    each = (scores[image, cell].sum(1) + GIOU * places + FOCAL * sides).detach()
    counts = [len(target["boxes"]) for target in targets]
    objects = torch.cat([k + sum(counts[:n]) for n, k in enumerate(of)])
    return whole, list(mean_by_object(each, objects, sum(counts)).split(counts))


@torch.no_grad()
def assigned(boxes: Tensor, grid: Grid) -> Tensor:
    """The object (n,) int64 that each cell has to find, -1: none (ATSS).

    Each level's cells that are nearest to an object's centre are candidates; those whose square
    overlaps it by at least the candidates' mean and standard deviation, and whose centre is in it,
    are its own. Where several objects claim a cell, it gets the one that it overlaps most.

    Args:
        boxes: (k, 4) in pixels.
        grid: The cells.
    """
    centres = grid.centres.to(boxes)
    if not len(boxes):
        return torch.full((len(centres),), -1, device=boxes.device)
    reach = ANCHOR / 2 * grid.strides[:, None].to(boxes)
    overlaps = box_iou(torch.cat((centres - reach, centres + reach), 1), boxes)
    far = torch.cdist(centres, (boxes[:, :2] + boxes[:, 2:]) / 2)
    nearest, start = [], 0
    for level in far.split(grid.counts):
        count = min(CANDIDATES, len(level))
        nearest.append(level.topk(count, 0, largest=False).indices + start)
        start += len(level)
    candidates = torch.cat(nearest)
    overlap = overlaps.gather(0, candidates)
    x, y = centres[candidates].unbind(2)
    x1, y1, x2, y2 = boxes.unbind(1)
    inside = (x > x1) & (x < x2) & (y > y1) & (y < y2)
    own = inside & (overlap >= overlap.mean(0) + overlap.std(0))
    claims = torch.full_like(overlaps, -1).scatter(0, candidates, torch.where(own, overlap, -1))
    most, owner = claims.max(1)
    return torch.where(most >= 0, owner, -1)


def quality_focal(logits: Tensor, quality: Tensor) -> Tensor:
    """Quality focal loss of each score's logit, given the overlap that the score should tell."""
    entropy = binary_cross_entropy_with_logits(logits, quality, reduction="none")
    return entropy * (quality - logits.sigmoid()).square()


def distribution_focal(bins: Tensor, distances: Tensor) -> Tensor:
    """Distribution focal loss (p,), mean of the four sides.

    Args:
        bins: (p, 4, 11), logits.
        distances: (p, 4) in strides; the gradient reaches those that the bins can tell.
    """
    wanted = distances.clamp(0, BINS - 1 - 1e-2)
    low = wanted.detach().long()
    below, above = (
        cross_entropy(bins.flatten(0, 1), end.flatten(), reduction="none").view_as(wanted)
        for end in (low, low + 1)
    )
    return (below * (low + 1 - wanted) + above * (wanted - low)).mean(1)


def overlap(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union (p,) of boxes (p, 4) and (p, 4), pair by pair."""
    low, high = torch.maximum(first, second)[:, :2], torch.minimum(first, second)[:, 2:]
    shared = (high - low).clamp_min(0).prod(1)
    areas = [(box[:, 2:] - box[:, :2]).prod(1) for box in (first, second)]
    return shared / (areas[0] + areas[1] - shared).clamp_min(1e-6)
