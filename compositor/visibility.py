"""The visible part of an object on the canvas: its tight box and its fraction."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from compositor import _arguments, _geometry

THINNEST = 1e-3
"""A line one pixel wide that shows less wide than this, in pixels, falls between the samples."""


def boxes(alpha: Tensor, threshold: float = 0.5) -> tuple[Tensor, Tensor]:
    """Find the tight box of each composite's object, and whether it is visible at all.

    A pixel belongs to the object if ``alpha > threshold``; NaN never does. The box is piecewise
    constant in alpha, so neither output carries a gradient. A mask in its own frame works as well.

    Args:
        alpha: (N, 1, H, W), floating point, in [0, 1]: ``blend(..., return_alpha=True)[1]``; or
            bool.
        threshold: In [0, 1).

    Returns:
        boxes: (N, 4) float32, (x1, y1, x2, y2) in pixels, right and bottom exclusive; zeros where
            no pixel passes the threshold.
        visible: (N,) bool: False where no pixel passes the threshold. Drop those boxes: there is no
            object.

    Raises:
        TypeError: ``alpha`` is neither floating point nor bool.
        ValueError: ``alpha`` is not (N, 1, H, W) with H, W >= 1, or ``threshold`` is not a number
            in [0, 1).
    """
    alpha = _arguments.coverage("alpha", alpha, torch.bool)
    threshold = _arguments.threshold(threshold)
    # The largest of bytes takes a fiftieth of the time that any() of bools does.
    solid = alpha if alpha.dtype == torch.bool else alpha > threshold
    solid = solid.squeeze(1).to(torch.uint8)
    return around(solid.amax(-2), solid.amax(-1))


def around(columns: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Find boxes as :func:`boxes` does, from the columns and rows that hold a pixel.

    Args:
        columns: (N, W) uint8 of 0 and 1.
        rows: (N, H) likewise.
    """
    (x1, x2), (y1, y2) = _span(columns), _span(rows)
    visible = columns.amax(-1).bool()
    box = torch.stack((x1, y1, x2, y2), -1) * visible.unsqueeze(-1)
    return box.to(torch.float32), visible


def visible_fraction(mask: Tensor, theta: Tensor, canvas_size: Sequence[int]) -> Tensor:
    """Measure which part of the mask's area is inside the canvas.

    Every mask pixel counts its value times the part of its footprint that is inside the canvas: the
    result is 0 for an object wholly outside and 1 for one wholly inside, at any scale. Footprints
    are approximated by their bounding boxes, so the result is exact without rotation and shear;
    with them each pixel on the canvas border is off by less than its own area, and the errors of
    neighbours cancel.

    Differentiable in ``theta`` and ``mask``. If the object is wholly inside or wholly outside, the
    gradient for ``theta`` is exactly 0: it cannot bring back an object that has left.

    Args:
        mask: (N, 1, h, w), floating point in [0, 1] or bool, in the foreground's frame. If
            ``blend`` gets no mask, pass the object's extent: ones, or a digit's ink.
        theta: (N, 2, 3), output to input (canvas to foreground), normalised coordinates, float32
            or float64.
        canvas_size: (H, W) in pixels.

    Returns:
        (N,) in [0, 1], in the wider dtype of ``mask`` and ``theta``; 0 for an empty mask, NaN for
        a theta that is NaN or singular.

    Raises:
        TypeError: ``mask`` is neither floating point nor bool, or ``theta`` is neither float32 nor
            float64.
        ValueError: A shape differs from the above, or the batch sizes do.
    """
    mask = _arguments.coverage("mask", mask)
    theta = _arguments.one_each("theta", theta, (2, 3), mask)
    height, width = _arguments.size("canvas_size", canvas_size)

    dtype = torch.promote_types(mask.dtype, theta.dtype)
    coverage = mask.squeeze(1).to(dtype)
    to_canvas = _geometry.inverse(theta.to(dtype))
    inside_x = _inside(to_canvas[:, 0], coverage.shape[-2:], width)
    inside_y = _inside(to_canvas[:, 1], coverage.shape[-2:], height)
    area = coverage.sum((-2, -1))
    inside = (coverage * inside_x * inside_y).sum((-2, -1))
    return inside / torch.where(area == 0, torch.ones_like(area), area)


def shown(mask: Tensor, threshold: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Find the box of the part of each mask that :func:`compositor.blend` shows, if any.

    The edge is where alpha would be 0.5 if the mask were magnified without limit, which is where
    the bilinear sample is halfway from ``threshold`` to 1. For a mask of 0 and 1 that is
    ``threshold / 2`` pixels inside the edge of the outermost pixels of 1.

    Args:
        mask: (N, 1, h, w), floating point.
        threshold: In [0, 1).
        dtype: The boxes' dtype, float32 or float64.

    Returns:
        boxes: (N, 4), (x1, y1, x2, y2) in the mask's pixels, without a gradient; NaN if nothing
            shows.
        visible: (N,) bool, whether anything shows.
    """
    values = mask.detach().squeeze(1).to(dtype).nan_to_num(0, 1, 0)
    if 1 - threshold < THINNEST:
        values = _opened(values)
    level = (1 + threshold) / 2
    height, width = values.shape[1:]
    rows = values.transpose(1, 2)
    x1, x2 = _rise(values, level), width - _rise(values.flip(-1), level)
    y1, y2 = _rise(rows, level), height - _rise(rows.flip(-1), level)
    visible = x1.isfinite()
    box = torch.stack((x1, y1, x2, y2), -1)
    return torch.where(visible.unsqueeze(-1), box, torch.nan), visible


def _opened(values: Tensor) -> Tensor:
    """Remove all parts of (N, height, width) that hold no 2 x 2 block: a morphological opening."""
    for smaller, grow in ((torch.minimum, 1), (torch.maximum, 0)):
        values = pad(values, [grow] * 4)
        values = smaller(values[:, 1:], values[:, :-1])
        values = smaller(values[:, :, 1:], values[:, :, :-1])
    return values


def _rise(values: Tensor, level: float) -> Tensor:
    """Where any row of (N, height, width) first rises to ``level``: (N,), inf if none does.

    Values are interpolated linearly between pixel centres, and 0 beyond the frame. Between two rows
    no point rises before both.
    """
    before = pad(values, (1, 0))[..., :-1]
    centre = torch.arange(values.shape[-1], device=values.device, dtype=values.dtype) + 0.5
    position = centre - (values - level) / (values - before)
    rises = (values >= level) & (before < level)
    return torch.where(rises, position, torch.inf).flatten(1).amin(1)


def _span(line: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first 1 of (N, length) and one past the last; argmax finds the first."""
    return line.argmax(-1), line.shape[-1] - line.flip(-1).argmax(-1)


def _inside(row: Tensor, frame_size: Sequence[int], side: int) -> Tensor:
    """Return the part of each mask pixel's extent along one canvas axis that is on the canvas.

    ``row`` (N, 3) is that axis's row of the map from the foreground to the canvas, normalised.
    """
    height, width = frame_size
    # Pixels about the two centres are whole or half numbers, so an object inside is exact.
    along_x, along_y, offset = (row * (side / 2)).unsqueeze(-1).unsqueeze(-1).unbind(1)
    along_x, along_y = along_x * (2 / width), along_y * (2 / height)
    x = torch.arange(width, device=row.device, dtype=row.dtype) - (width - 1) / 2
    y = torch.arange(height, device=row.device, dtype=row.dtype) - (height - 1) / 2
    centre = along_x * x + (along_y * y.unsqueeze(-1) + offset)
    half = (along_x.abs() + along_y.abs()) / 2
    # One minus what sticks out, not overlap over extent, so that an inner pixel counts exactly 1.
    outside = (centre + half - side / 2).relu() + (half - centre - side / 2).relu()
    return (1 - outside / (2 * half)).relu()
