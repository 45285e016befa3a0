"""Where objects may be placed, and how much of them must show for their labels to be right."""

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor
from torch.nn.functional import interpolate

import compositor
from compositor import affine

EARLY = 1.5
"""S starts to pay this factor before a limit, so that it turns back in time."""
# The numbers of Cut, Paste and Learn, from ``defaults.py`` of its authors' code.
ANGLE = 30.0
"""Largest turn either way, in degrees."""
SCALE = (0.15, 0.6)
"""Least and largest scale, drawn uniformly there."""
TRUNCATION = 0.25
"""Largest part of an object's box that may leave the canvas along x and along y."""
OVERLAP = 0.75
"""Largest part of another object's box that an object's box may cover."""
SMALLEST = 6.0
"""Least width and height of an object, in pixels."""
ATTEMPTS = 20
"""How often to draw an object's place before giving up."""
MASK_SIDE = 64
"""Masks are averaged down to this side for the visible fraction, which is linear in the mask."""


@dataclass(frozen=True)
class Range:
    """The shapes in which random placement and S place objects, in frames as large as the canvas.

    The defaults are those of Cut, Paste and Learn, with which the paper compares itself; it gives
    no limits for S. Both use the same range, or the ranges would be compared: objects of another
    size are harder or easier however they were found.
    """

    angle: float = ANGLE
    """Largest turn either way, in degrees."""
    shear: float = 0.0
    """Largest shear either way, as a slope."""
    scale: tuple[float, float] = SCALE
    """Least and largest scale; 1 makes the foreground's frame fill the canvas. Theirs is relative
    to photographs in which an object, going by their demo's masks, takes 0.4 to 1 of the canvas's
    height: much as in our frames, where it takes 0.7."""
    aspect: float = 1.0
    """Largest ratio of the two scales either way."""

    def __post_init__(self) -> None:
        low, high = self.scale
        if not 0 < low <= high:
            raise ValueError(f"scale: got {self.scale}, wanted 0 < least <= largest")
        if self.aspect < 1:
            raise ValueError(f"aspect: got {self.aspect}, wanted 1 or more")

    def start(self) -> Tensor:
        """The position (6,) of the identity, or of the middle scale if the range excludes 1."""
        low, high = map(log, self.scale)
        scale = -(low + high) / (high - low) if low < 0 < high else 0
        return torch.tensor([0, 0, scale, 0, 0, 0])

    def free(self) -> Tensor:
        """Which of a position's numbers have any effect, (6,) bool: those with some range."""
        low, high = self.scale
        shape = (self.angle > 0, self.shear > 0, low < high, self.aspect > 1)
        return torch.tensor([*shape, True, True])

    def shape(self, scale: Tensor, angle: Tensor, shear: Tensor, aspect: Tensor) -> Tensor:
        """Angle, shear and scales (N, 4), as :func:`compositor.affine.from_parameters` takes them.

        Args:
            scale: (N,).
            angle: (N,) in [-1, 1], relative to its limit, like the others.
            shear: (N,).
            aspect: (N,).
        """
        stretch = (log(self.aspect) / 2 * aspect).exp()
        return torch.stack(
            (self.angle * angle, self.shear * shear, scale * stretch, scale / stretch), 1
        )

    def theta(self, position: Tensor, size: tuple[int, int]) -> Tensor:
        """Turn S's positions into placements.

        Args:
            position: (N, 6) in [-1, 1], differentiable: angle, shear, scale and aspect (both
                geometric), and the frame's centre, from edge to edge along x and y.
            size: (H, W) in pixels, of the foregrounds' frames and of the canvas.

        Returns:
            theta (N, 2, 3), output to input, normalised.
        """
        angle, shear, scale, aspect, x, y = position.unbind(1)
        low, high = map(log, self.scale)
        scale = ((low + high) / 2 + (high - low) / 2 * scale).exp()
        moves = torch.stack((size[1] / 2 * x, size[0] / 2 * y), 1)
        parameters = torch.cat((self.shape(scale, angle, shear, aspect), moves), 1)
        return affine.from_parameters(parameters, size, size)


@dataclass(frozen=True)
class Visibility:
    """When a composite's label is right; otherwise it is neither trained on nor counted as hard."""

    fraction: float = 0.55
    """Least part of the object's area that must be on the canvas: about what random placement
    leaves of a box cut by a quarter on two sides. At 0.3 S learns to cut most of its objects."""
    truncation: float = TRUNCATION
    """Largest part of the object's box that may leave the canvas at any edge. It limits random
    placement too, so that both choose from the same places. Without it S favours the edges, where
    test objects seldom are."""
    side: float = 0.06
    """Least width and height of the visible object, relative to the canvas's."""
    covered: float = 0.75
    """An object of the background is ignored if those pasted cover more than this part of its box,
    and a pasted one if later ones hide more than this part of it."""

    def __post_init__(self) -> None:
        for name in ("fraction", "truncation", "side"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, wanted a number in (0, 1]")

    def valid(self, boxes: Tensor, fraction: Tensor, cut: Tensor, size: tuple[int, int]) -> Tensor:
        """Which composites (N,) show enough of their object.

        Args:
            boxes: (N, 4) in pixels, of what alpha shows; zeros if it shows nothing.
            fraction: (N,), the part of the object's area on the canvas, :func:`visible_fraction`.
            cut: (N,), the part of its box beyond an edge, :func:`truncation`.
            size: (H, W) of the canvas in pixels.
        """
        least = self.side * boxes.new_tensor([size[1], size[0]])
        wide = ((boxes[:, 2:] - boxes[:, :2]) >= least).all(1)
        return wide & (fraction >= self.fraction) & (cut <= self.truncation)

    def price(self, masks: Tensor, theta: Tensor, size: tuple[int, int]) -> Tensor:
        """What S pays for each composite, (N,): 0 if enough shows, a third at a limit.

        Args:
            masks: (N, 1, h, w) in [0, 1].
            theta: (N, 2, 3), differentiable.
            size: (H, W) of the canvas in pixels.
        """
        fraction = visible_fraction(masks, theta, size)
        box = outlines(masks, theta, size)
        sides = ((box[:, 2:] - box[:, :2]) / box.new_tensor([size[1], size[0]])).amin(1)
        by_side = (1 - sides / (EARLY * self.side)).relu()
        by_fraction = (1 - fraction / (EARLY * self.fraction)).relu()
        by_cut = (truncation(masks, theta) / self.truncation - 1 / EARLY).relu()
        return by_side + by_fraction + by_cut


def visible_fraction(masks: Tensor, theta: Tensor, size: tuple[int, int]) -> Tensor:
    """:func:`compositor.visible_fraction` of averaged masks: a tenth of the work, nearly as exact.

    Args:
        masks: (N, 1, h, w) in [0, 1].
        theta: (N, 2, 3), differentiable.
        size: (H, W) of the canvas.

    Returns:
        (N,) in [0, 1].
    """
    if max(masks.shape[-2:]) > MASK_SIDE:
        masks = interpolate(masks, (MASK_SIDE, MASK_SIDE), mode="area")
    return compositor.visible_fraction(masks, theta, size)


def covered(boxes: Tensor, alpha: Tensor) -> Tensor:
    """The part of each box that an object hides.

    Args:
        boxes: (n, 4) in pixels.
        alpha: (1, H, W) of one composite.

    Returns:
        (n,) in [0, 1].
    """
    height, width = alpha.shape[-2:]
    # The sum over a box follows from four values of the cumulative sums.
    sums = torch.nn.functional.pad(alpha[0].double().cumsum(0).cumsum(1), (1, 0, 1, 0))
    low = boxes[:, :2].floor().long().clamp_min(0)
    high = boxes[:, 2:].ceil().long().clamp(max=boxes.new_tensor([width, height]).long())
    (x1, y1), (x2, y2) = low.unbind(1), high.unbind(1)
    inside = sums[y2, x2] - sums[y1, x2] - sums[y2, x1] + sums[y1, x1]
    return (inside / ((x2 - x1) * (y2 - y1)).clamp_min(1)).float()


def truncation(masks: Tensor, theta: Tensor) -> Tensor:
    """The largest part of an object's width or height beyond an edge, (N,).

    Args:
        masks: (N, 1, h, w) in [0, 1].
        theta: (N, 2, 3), differentiable.
    """
    low, high = _ends(masks, theta)
    beyond = torch.maximum(-1 - low, high - 1) / (high - low).clamp_min(1e-6)
    return beyond.amax(1).relu()


def outlines(masks: Tensor, theta: Tensor, size: tuple[int, int]) -> Tensor:
    """The masks' boxes when placed on the canvas and cut at its edges, (N, 4) in pixels.

    Args:
        masks: (N, 1, h, w) in [0, 1].
        theta: (N, 2, 3), differentiable.
        size: (H, W) of the canvas.
    """
    ends = torch.cat(_ends(masks, theta), 1).clamp(-1, 1)
    return (ends + 1) / 2 * ends.new_tensor([size[1], size[0]] * 2)


def _ends(masks: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
    """The masks' boxes when placed, uncut: least and largest (x, y), normalised, each (N, 2)."""
    frame = masks.new_tensor([masks.shape[-1], masks.shape[-2]])
    boxes = compositor.boxes(masks)[0].to(theta.dtype)
    corners = boxes[:, [0, 1, 2, 1, 0, 3, 2, 3]].reshape(-1, 4, 2) * 2 / frame - 1
    forward = affine.invert(theta)
    # Elementwise, because autocast would round a matrix product.
    moved = (corners[:, :, None] * forward[:, None, :, :2]).sum(3) + forward[:, None, :, 2]
    return moved.amin(1), moved.amax(1)
