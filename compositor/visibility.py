"""What of an object can be seen on the canvas: its tight box and its visible fraction."""

from collections.abc import Sequence

import torch
from torch import Tensor

from compositor import _geometry


def boxes(alpha: Tensor, threshold: float = 0.5) -> tuple[Tensor, Tensor]:
    """Find the tight box of each composite's object and whether it is visible at all.

    A pixel belongs to the object where ``alpha > threshold``; NaN never does. The box is piecewise
    constant in alpha, so neither output carries a gradient. A mask in its own frame serves as well.

    Args:
        alpha: (N, 1, H, W), floating point, in [0, 1]: ``blend(..., return_alpha=True)[1]``.
        threshold: In [0, 1).

    Returns:
        boxes: (N, 4) float32, (x1, y1, x2, y2) in pixels, right and bottom exclusive; zeros where
            no pixel passes the threshold.
        visible: (N,) bool: False where no pixel passes the threshold. Drop those boxes: they are
            no object.

    Raises:
        TypeError: ``alpha`` is not floating point.
        ValueError: ``alpha`` is not (N, 1, H, W) with H, W >= 1, or ``threshold`` is outside
            [0, 1).
    """
    _geometry.check_coverage("alpha", alpha)
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold: got {threshold}, wanted a number in [0, 1)")
    solid = (alpha > threshold).squeeze(1)
    x1, x2 = _span(solid.any(-2))
    y1, y2 = _span(solid.any(-1))
    visible = solid.flatten(1).any(-1)
    box = torch.stack((x1, y1, x2, y2), -1) * visible.unsqueeze(-1)
    return box.to(torch.float32), visible


def visible_fraction(mask: Tensor, theta: Tensor, canvas_size: Sequence[int]) -> Tensor:
    """Measure the mask's area inside the canvas over all of its area.

    Every mask pixel weighs its value times the part of its footprint on the canvas that lies
    inside: 0 for an object wholly outside, 1 for one wholly inside, at any scale. The footprint is
    taken as its bounding box, so the result is exact without rotation and shear; with them each
    pixel on the canvas border is off by less than its own area, and the errors of neighbours
    cancel.

    Differentiable in ``theta`` and ``mask``. Where the object is wholly inside or wholly outside,
    the gradient for ``theta`` is exactly 0: it cannot call back an object that has left.

    Args:
        mask: (N, 1, h, w), floating point, in [0, 1], in the foreground's frame. Where ``blend``
            takes no mask, give what covers: ones, or a digit's ink.
        theta: (N, 2, 3), output to input (canvas to foreground), normalised coordinates, float32
            or float64.
        canvas_size: (H, W) in pixels.

    Returns:
        (N,) in [0, 1], in the wider dtype of ``mask`` and ``theta``; 0 for an empty mask, NaN for
        a theta that is NaN or singular.

    Raises:
        TypeError: ``mask`` is not floating point, or ``theta`` is neither float32 nor float64.
        ValueError: A shape differs from the above, or the batch sizes do.
    """
    _geometry.check_coverage("mask", mask)
    _geometry.check_precise("theta", theta)
    _geometry.check_beside("theta", theta, (mask.shape[0], 2, 3), mask)
    height, width = _geometry.check_size("canvas_size", canvas_size)

    dtype = torch.promote_types(mask.dtype, theta.dtype)
    coverage = mask.squeeze(1).to(dtype)
    to_canvas = _geometry.inverse(theta.to(dtype))
    inside_x = _inside(to_canvas[:, 0], coverage.shape[-2:], width)
    inside_y = _inside(to_canvas[:, 1], coverage.shape[-2:], height)
    area = coverage.sum((-2, -1))
    inside = (coverage * inside_x * inside_y).sum((-2, -1))
    return inside / torch.where(area == 0, torch.ones_like(area), area)


def _span(line: Tensor) -> tuple[Tensor, Tensor]:
    """Return first and one past last True of (N, length); argmax gives the first of equals."""
    ones = line.to(torch.uint8)
    return ones.argmax(-1), line.shape[-1] - ones.flip(-1).argmax(-1)


def _inside(row: Tensor, frame_size: Sequence[int], side: int) -> Tensor:
    """Give the part of each mask pixel's extent along one canvas axis that lies on the canvas.

    ``row`` (N, 3) is that axis's row of the map from the foreground to the canvas, normalised.
    """
    height, width = frame_size
    # Pixels about the two centres: whole and half numbers, so an object in the frame is exact.
    along_x, along_y, offset = (row * (side / 2)).unsqueeze(-1).unsqueeze(-1).unbind(1)
    along_x, along_y = along_x * (2 / width), along_y * (2 / height)
    x = torch.arange(width, device=row.device, dtype=row.dtype) - (width - 1) / 2
    y = torch.arange(height, device=row.device, dtype=row.dtype) - (height - 1) / 2
    centre = along_x * x + (along_y * y.unsqueeze(-1) + offset)
    half = (along_x.abs() + along_y.abs()) / 2
    # One minus what sticks out, not overlap over extent: an inner pixel then weighs exactly 1.
    outside = (centre + half - side / 2).relu() + (half - centre - side / 2).relu()
    return (1 - outside / (2 * half)).relu()
