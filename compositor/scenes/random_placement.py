"""The classical baseline: objects placed at random by the rules of Cut, Paste and Learn.

Dwibedi et al., "Cut, Paste and Learn: Surprisingly Easy Synthesis for Instance Detection", ICCV
2017, following their code (github.com/debidatta/syndata-generation, ``dataset_generator.py`` and
``defaults.py`` of the release): the object is cropped to its mask, scaled, turned, and placed so
that at most a quarter of its width and of its height leaves the canvas; with their
``--dontocclude``, a place that covers too much of an existing object is drawn again. The scale is
uniform, as in their code; that of :mod:`compositor.scenes.law` is geometric.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from compositor import affine
from compositor.scenes.placement import ATTEMPTS, OVERLAP, SMALLEST, TRUNCATION, Range


@dataclass(frozen=True)
class PlacementRules:
    """How placements are drawn; the defaults are those of Cut, Paste and Learn."""

    overlap: float = OVERLAP
    """Largest part of an existing box that the object's box may cover; 1: any. They call it an IoU,
    but their code divides by the existing box's area, as this does."""
    smallest: float = SMALLEST
    """Masks with fewer pixels than this along x or y are not placed."""
    attempts: int = ATTEMPTS
    """How often to draw a shape, and then a place, before giving up on the object."""

    def __post_init__(self) -> None:
        if not 0 <= self.overlap <= 1:
            raise ValueError(f"overlap: got {self.overlap}, wanted a number in [0, 1]")
        if self.attempts < 1:
            raise ValueError(f"attempts: got {self.attempts}, wanted 1 or more")


def random_placement(
    mask_boxes: Tensor,
    size: tuple[int, int],
    limits: Range,
    rules: PlacementRules,
    generator: torch.Generator | None = None,
    existing: Sequence[Tensor] | None = None,
    truncation: float = TRUNCATION,
) -> tuple[Tensor, Tensor]:
    """Draw a placement for each object.

    The shape is uniform (the aspect geometrically) among those that make the object's box smaller
    than the canvas; the place is uniform within the truncation limit. When the attempts are used
    up, their code starts the picture again, while this reports it and leaves that to the caller.

    Args:
        mask_boxes: (N, 4) tight boxes of the masks in their frames, as ``compositor.boxes`` gives
            them: (x1, y1, x2, y2) in pixels, right and bottom exclusive.
        size: (H, W) in pixels, of the foregrounds' frames and of the canvas.
        limits: The range of the shapes.
        rules: How to draw.
        generator: A CPU generator; None: the global one.
        existing: For each canvas, the boxes (k, 4) of existing objects; None: there are none.
        truncation: Largest part of the turned object's box, along x and along y, that may leave
            the canvas.

    Returns:
        theta: (N, 2, 3) float32, output to input, normalised, on the device of ``mask_boxes``.
        placed: (N,) bool, on the same device. Where False, no attempt met the limits or the mask is
            too small, and theta is the identity.

    Raises:
        ValueError: ``mask_boxes`` is not (N, 4), ``existing`` does not have N entries, or
            ``truncation`` is not in [0, 1].
    """
    count = len(mask_boxes)
    if mask_boxes.shape != (count, 4):
        raise ValueError(f"mask_boxes: got shape {tuple(mask_boxes.shape)}, wanted (N, 4)")
    if existing is not None and len(existing) != count:
        raise ValueError(f"existing: got {len(existing)} entries, wanted {count}, one per mask")
    if not 0 <= truncation <= 1:
        raise ValueError(f"truncation: got {truncation}, wanted a number in [0, 1]")
    boxes = mask_boxes.detach().to("cpu", torch.float64)
    canvas = torch.tensor([size[1], size[0]], dtype=torch.float64)

    shapes, outlines, fits = _shapes(boxes, size, limits, rules, generator)
    extent = outlines[:, 2:] - outlines[:, :2]
    there, areas = padded(existing or [boxes.new_zeros(0, 4)] * count)
    pending, moves = fits.clone(), torch.zeros(count, 2, dtype=torch.float64)
    for _ in range(rules.attempts):
        if not pending.any():
            break
        draw = torch.rand(count, 2, generator=generator, dtype=torch.float64)
        low = -truncation * extent
        corner = low + draw * (canvas - extent - 2 * low)
        free = pending & ~covers(torch.cat((corner, corner + extent), 1), there, areas, rules)
        moves[free] = (corner - outlines[:, :2])[free]
        pending &= ~free

    placed = fits & ~pending
    identity = torch.tensor([0.0, 0, 1, 1, 0, 0], dtype=torch.float64)
    parameters = torch.where(placed[:, None], torch.cat((shapes, moves), 1), identity)
    theta = affine.from_parameters(parameters, size, size).float()
    return theta.to(mask_boxes.device), placed.to(mask_boxes.device)


def _shapes(
    boxes: Tensor,
    size: tuple[int, int],
    limits: Range,
    rules: PlacementRules,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw angle, shear and scales (N, 4); return them, the object's box (N, 4) when the frame is
    centred on the canvas, and whether it is smaller than the canvas."""
    canvas = boxes.new_tensor([size[1], size[0]])
    shapes = boxes.new_tensor([0.0, 0, 1, 1]).repeat(len(boxes), 1)
    pending = (boxes[:, 2:] - boxes[:, :2] >= rules.smallest).all(1)
    fits = torch.zeros_like(pending)
    outlines = boxes.clone()
    low, high = limits.scale
    for _ in range(rules.attempts):
        if not pending.any():
            break
        draw = torch.rand(4, len(boxes), generator=generator, dtype=torch.float64)
        scale = low + (high - low) * draw[0]
        shape = limits.shape(scale, *(2 * draw[1:] - 1))
        shapes = torch.where(pending[:, None], shape, shapes)
        outlines = _outline(boxes, shapes, size)
        fits |= pending & (outlines[:, 2:] - outlines[:, :2] < canvas).all(1)
        pending &= ~fits
    return shapes, outlines, fits


def _outline(boxes: Tensor, shapes: Tensor, size: tuple[int, int]) -> Tensor:
    """The mask's box (N, 4) on the canvas when the frame is centred on it."""
    half = boxes.new_tensor([size[1], size[0]]) / 2
    centred = torch.cat((shapes, torch.zeros_like(shapes[:, :2])), 1)
    forward = affine.invert(affine.from_parameters(centred, size, size))
    corners = boxes[:, [0, 1, 2, 1, 0, 3, 2, 3]].reshape(-1, 4, 2) / half - 1
    corners = ((corners @ forward[:, :, :2].transpose(1, 2)) + 1) * half
    return torch.cat((corners.amin(1), corners.amax(1)), 1)


def padded(existing: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The boxes (N, K, 4) float64, padded with boxes that nothing covers, and areas (N, K)."""
    longest = max(map(len, existing), default=0)
    there = torch.zeros(len(existing), longest, 4, dtype=torch.float64)
    for row, boxes in zip(there, existing, strict=True):
        row[: len(boxes)] = boxes
    return there, (there[..., 2:] - there[..., :2]).prod(-1)


def covers(boxes: Tensor, there: Tensor, areas: Tensor, rules: PlacementRules) -> Tensor:
    """Whether each box (N, 4) covers too much of any existing one (N, K, 4)."""
    low = torch.maximum(boxes[:, None, :2], there[..., :2])
    high = torch.minimum(boxes[:, None, 2:], there[..., 2:])
    covered = (high - low).clamp_min(0).prod(-1)
    return (covered > rules.overlap * areas).any(1)
