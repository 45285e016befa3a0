"""Affine placements of a foreground on a canvas, as ``theta`` for :func:`compositor.blend`.

``theta`` (..., 2, 3) maps **output to input**: a point of the canvas to the point of the foreground
that lands there, both in normalised coordinates ([-1, 1] from edge to edge, x to the right, y down,
``align_corners=False``), as in ``torch.nn.functional.affine_grid``.

The parameters (..., 6) describe what users have in mind, the **forward** motion of the object onto
the canvas, in square pixels, so that a rotation does not distort on any canvas. They scale, shear,
turn and then move the foreground. In the order of :data:`PARAMETERS`:

- ``angle``: degrees, counter-clockwise as seen, about the foreground's centre;
- ``shear``: slope: x grows by ``shear`` times y, so lower rows move to the right;
- ``scale_x``, ``scale_y``: canvas pixels per foreground pixel, not 0; a negative one mirrors;
- ``translate_x``, ``translate_y``: canvas pixels to the right and down, from the canvas's centre.

``(0, 0, 1, 1, 0, 0)`` thus puts the foreground in the middle of the canvas at its own size. Where
foreground and canvas have the same size, that is the identity.

Everything here is differentiable and elementwise (so autocast leaves it alone), and stays in
float32 or float64.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from compositor import _arguments, _geometry
from compositor.visibility import THINNEST, shown

PARAMETERS = ("angle", "shear", "scale_x", "scale_y", "translate_x", "translate_y")


def from_parameters(
    parameters: Tensor, foreground_size: Sequence[int], canvas_size: Sequence[int]
) -> Tensor:
    """Turn parameters of the object's forward motion into theta (output to input, normalised).

    Multiples of 90 degrees are exact: their cosine and sine are 0, 1 or -1.

    Args:
        parameters: (..., 6), float32 or float64, in the order of :data:`PARAMETERS`: angle in
            degrees counter-clockwise as seen, shear as a slope, two scales in canvas pixels per
            foreground pixel, two translations in canvas pixels from the canvas's centre.
        foreground_size: (h, w) in pixels.
        canvas_size: (H, W) in pixels.

    Returns:
        theta (..., 2, 3) in the dtype of ``parameters``; inf or NaN where a scale is 0.

    Raises:
        TypeError: ``parameters`` is neither float32 nor float64.
        ValueError: ``parameters`` does not end in 6, or a size is not two positive integers.
    """
    parameters = _arguments.precise("parameters", parameters, 6)
    h, w = _arguments.size("foreground_size", foreground_size)
    height, width = _arguments.size("canvas_size", canvas_size)

    angle, shear, scale_x, scale_y, translate_x, translate_y = parameters.unbind(-1)
    cosine, sine = _cosine_sine(angle)
    # Undo the turn, then the shear, then the scale: rows (xx, xy) and (yx, yy), in pixels.
    yx, yy = sine / scale_y, cosine / scale_y
    xx, xy = (cosine - shear * sine) / scale_x, -(sine + shear * cosine) / scale_x
    return _geometry.pack(
        xx * (width / w),
        xy * (height / w),
        -(xx * translate_x + xy * translate_y) * (2 / w),
        yx * (width / h),
        yy * (height / h),
        -(yx * translate_x + yy * translate_y) * (2 / h),
    )


def to_parameters(
    theta: Tensor, foreground_size: Sequence[int], canvas_size: Sequence[int]
) -> Tensor:
    """Turn theta (output to input, normalised) into parameters of the object's forward motion.

    The inverse of :func:`from_parameters`. Each theta has two sets of parameters; the one returned
    has ``scale_x > 0``, so that a mirrored object has ``scale_y < 0``.

    Args:
        theta: (..., 2, 3), float32 or float64.
        foreground_size: (h, w) in pixels.
        canvas_size: (H, W) in pixels.

    Returns:
        (..., 6) in the order and units of :data:`PARAMETERS`, in the dtype of ``theta``, the angle
        in [-180, 180]; NaN where ``theta`` is singular.

    Raises:
        TypeError: ``theta`` is neither float32 nor float64.
        ValueError: ``theta`` does not end in (2, 3), or a size is not two positive integers.
    """
    theta = _arguments.precise("theta", theta, 2, 3)
    h, w = _arguments.size("foreground_size", foreground_size)
    height, width = _arguments.size("canvas_size", canvas_size)

    xx, xy, x, yx, yy, y = _geometry.unpack(_geometry.inverse(theta))
    xx, xy, x = xx * (width / w), xy * (width / h), x * (width / 2)
    yx, yy, y = yx * (height / w), yy * (height / h), y * (height / 2)
    # The forward map is a turn times [[scale_x, shear * scale_y], [0, scale_y]].
    scale_x = torch.hypot(xx, yx)
    angle = torch.rad2deg(torch.atan2(-yx, xx))
    cosine, sine = xx / scale_x, -yx / scale_x
    scale_y = cosine * yy + sine * xy
    return torch.stack((angle, (cosine * xy - sine * yy) / scale_y, scale_x, scale_y, x, y), -1)


def invert(theta: Tensor) -> Tensor:
    """Invert theta: from output to input into input to output (foreground to canvas).

    Args:
        theta: (..., 2, 3), normalised coordinates on both sides, float32 or float64.

    Returns:
        (..., 2, 3) in the dtype of ``theta``, normalised coordinates; inf or NaN where ``theta`` is
        singular.

    Raises:
        TypeError: ``theta`` is neither float32 nor float64.
        ValueError: ``theta`` does not end in (2, 3).
    """
    theta = _arguments.precise("theta", theta, 2, 3)
    return _geometry.inverse(theta)


def from_boxes(
    mask: Tensor,
    boxes: Tensor,
    canvas_size: Sequence[int],
    threshold: float = _arguments.PAPER_THRESHOLD,
) -> Tensor:
    """Find the theta (output to input, normalised) that fits what shows of each mask to a box.

    The part that :func:`compositor.blend` shows at the same ``threshold`` is stretched to fill the
    given box of the canvas, without turning. Its edge, where alpha is 0.5, lies ``threshold / 2``
    mask pixels inside the edge of the mask's own pixels; the blur does not move a straight edge.
    Near the paper's threshold only blocks of 2 x 2 pixels show, so parts one pixel wide do not
    count.

    Differentiable in ``boxes``; the mask's own box carries no gradient.

    Args:
        mask: (N, 1, h, w), floating point in [0, 1], or bool.
        boxes: (N, 4), float32 or float64: (x1, y1, x2, y2) in canvas pixels, right and bottom
            exclusive, fractions allowed, on the canvas or beyond it. x2 < x1 mirrors.
            torchvision's ``BoundingBoxes`` of the format XYWH or CXCYWH are converted.
        canvas_size: (H, W) in pixels.
        threshold: In [0, 1), as passed to ``blend``.

    Returns:
        theta (N, 2, 3) in the dtype of ``boxes``. A box without width or height gives inf or NaN.
        So does a mask of which nothing shows if its values cannot be read: while a graph is being
        captured, and under ``torch.func``. Its composite is then NaN, so this does not go unseen.

    Raises:
        TypeError: ``mask`` is neither floating point nor bool, or ``boxes`` is neither float32 nor
            float64.
        ValueError: Nothing of a mask shows; a shape differs from the above, or the batch sizes do;
            ``boxes`` has another format, or another canvas than ``canvas_size``.
    """
    mask = _arguments.coverage("mask", mask)
    height, width = _arguments.size("canvas_size", canvas_size)
    boxes = _arguments.corners("boxes", boxes, (height, width), mask)
    threshold = _arguments.threshold(threshold)

    source, visible = shown(mask, threshold, boxes.dtype)
    if _arguments.values_are_known(visible):
        _check_visible(visible, threshold)
    xx, x = _axis(source[:, 0::2], boxes[:, 0::2], mask.shape[3], width)
    yy, y = _axis(source[:, 1::2], boxes[:, 1::2], mask.shape[2], height)
    zero = torch.zeros_like(xx)
    return _geometry.pack(xx, zero, x, zero, yy, y)


def _check_visible(visible: Tensor, threshold: float) -> None:
    """Raise where nothing of a mask shows."""
    if bool(visible.all()):
        return
    item = visible.tolist().index(False)
    thin = 1 - threshold < THINNEST
    wanted = "2 x 2 pixels of 1" if thin else f"a pixel of {(1 + threshold) / 2:g}"
    raise ValueError(
        f"mask: got nothing that shows at threshold {threshold} in item {item},"
        f" wanted at least {wanted}"
    )


def _cosine_sine(degrees: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine, exact at multiples of 90; rounding has no gradient, so theirs is right."""
    quarter = (degrees / 90).round()
    rest = torch.deg2rad(degrees - quarter * 90)
    cosine, sine = rest.cos(), rest.sin()
    turn = quarter.remainder(4)
    turn_cosine = (turn == 0).to(degrees.dtype) - (turn == 2).to(degrees.dtype)
    turn_sine = (turn == 1).to(degrees.dtype) - (turn == 3).to(degrees.dtype)
    return cosine * turn_cosine - sine * turn_sine, sine * turn_cosine + cosine * turn_sine


def _axis(source: Tensor, target: Tensor, size: int, canvas: int) -> tuple[Tensor, Tensor]:
    """Factor and offset that take ``target`` (N, 2) pixels of the canvas to ``source`` (N, 2)."""
    ratio = (source[:, 1] - source[:, 0]) / (target[:, 1] - target[:, 0])
    # Pixels are measured from the two centres, where the normalised coordinates are 0.
    offset = source[:, 0] - size / 2 - (target[:, 0] - canvas / 2) * ratio
    return ratio * (canvas / size), offset * (2 / size)
