"""affNIST's law for placing a digit: six numbers in [-1, 1] to theta.

Uniform numbers give affNIST's random affine law; a synthesizer ending in tanh stays within it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from compositor import affine

SIZE = 40
"""Side of the canvas and of the foreground: a 28x28 digit with 6 pixels of margin all round."""

# Half-ranges, from memory of affNIST's page and unconfirmed: degrees, slope, scale less 1.
ANGLE, SHEAR, SCALE = 20.0, 0.2, 0.2


@dataclass(frozen=True)
class Digits:
    """Digits in frames of the canvas's size.

    Attributes:
        images: (N, 1, 40, 40) uint8.
        labels: (N,) int64.
        outline: (N, 80, 2) int8: the leftmost and the rightmost pixel with ink in each row, as
            (x, y) in half pixels from the canvas's centre. They span the ink's convex hull.
    """

    images: Tensor
    labels: Tensor
    outline: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: slice | Tensor) -> "Digits":
        return Digits(self.images[index], self.labels[index], self.outline[index])

    def to(self, device: torch.device) -> "Digits":
        return Digits(*(t.to(device) for t in (self.images, self.labels, self.outline)))

    @staticmethod
    def cat(parts: Sequence["Digits"]) -> "Digits":
        """Concatenate digits."""
        columns = zip(*((p.images, p.labels, p.outline) for p in parts), strict=True)
        return Digits(*(torch.cat(column) for column in columns))

    def foregrounds(self) -> Tensor:
        """The images as (N, 1, 40, 40) float32 in [0, 1]."""
        return self.images.float() / 255


def pad(images: Tensor, labels: Tensor) -> Digits:
    """Centre (N, 28, 28) uint8 digits in frames of the canvas's size.

    Raises:
        ValueError: An image has no ink, so nothing could be placed.
    """
    margin = (SIZE - images.shape[-1]) // 2
    images = torch.nn.functional.pad(images, (margin,) * 4)
    ink = images > 0
    rows = ink.any(2)
    if not bool(rows.any(1).all()):
        raise ValueError(f"images: {int((~rows.any(1)).sum())} have no ink, wanted ink in each")
    bits = ink.to(torch.uint8)
    left, right = bits.argmax(2), SIZE - 1 - bits.flip(2).argmax(2)
    # Rows without ink repeat the first row that has some, which leaves the hull unchanged.
    y = torch.arange(SIZE).expand_as(rows)
    first = rows.to(torch.uint8).argmax(1, keepdim=True)
    y, left, right = (torch.where(rows, v, v.gather(1, first)) for v in (y, left, right))
    points = torch.stack((torch.cat((left, right), 1), torch.cat((y, y), 1)), 2)
    return Digits(images.unsqueeze(1), labels, (2 * points - (SIZE - 1)).to(torch.int8))


def place(position: Tensor, outline: Tensor) -> Tensor:
    """Turn positions, as affNIST's law reads them, into theta (output to input, normalised).

    The first four numbers give the angle, shear and scales. The last two move the transformed ink
    between the left and right and the top and bottom edges, where it just touches them, so that no
    ink leaves the frame: a fixed range of translations would cut digits.

    Args:
        position: (N, 6) float32 in [-1, 1]; differentiable.
        outline: (N, K, 2), as in :class:`Digits`.

    Returns:
        theta (N, 2, 3) for :func:`compositor.blend`.
    """
    angle, shear, scale_x, scale_y = position[:, :4].unbind(1)
    zero = torch.zeros_like(angle)
    shape = [ANGLE * angle, SHEAR * shear, 1 + SCALE * scale_x, 1 + SCALE * scale_y]
    centred = affine.from_parameters(torch.stack([*shape, zero, zero], 1), (SIZE,) * 2, (SIZE,) * 2)

    low, high = _ends(affine.invert(centred), outline)
    # Ink too large for the frame (no MNIST digit is) stays centred: its range must not flip.
    reach = (SIZE - (high - low)).clamp_min(0) / 2
    move = reach * position[:, 4:] - (low + high) / 2
    return affine.from_parameters(
        torch.cat((torch.stack(shape, 1), move), 1), (SIZE,) * 2, (SIZE,) * 2
    )


def boxes(theta: Tensor, outline: Tensor) -> Tensor:
    """The boxes of placed ink, (N, 4) in pixels.

    Args:
        theta: (N, 2, 3), from :func:`place`; differentiable.
        outline: (N, K, 2), as in :class:`Digits`.
    """
    forward = affine.invert(theta)
    low, high = _ends(forward, outline)
    move = forward[:, :, 2] * (SIZE / 2)
    return torch.cat((low + move, high + move), 1) + SIZE / 2


def _ends(forward: Tensor, outline: Tensor) -> tuple[Tensor, Tensor]:
    """The least and largest x and y of ink placed without its move, in pixels from the centre."""
    # Foreground and canvas are squares of one size, so this map acts on pixels from the centres.
    shape = forward[:, :, :2]
    ink = (outline.to(shape.dtype) / 2) @ shape.transpose(1, 2)
    half_pixel = shape.abs().sum(2) / 2
    return ink.amin(1) - half_pixel, ink.amax(1) + half_pixel


def uniform(count: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw (count, 6) positions from affNIST's random affine law, on the CPU."""
    return torch.rand(count, 6, generator=generator) * 2 - 1
