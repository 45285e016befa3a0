"""Where affNIST's law puts a digit: six numbers in [-1, 1] to theta.

Uniform numbers give affNIST's random affine law; a synthesizer that ends in tanh cannot leave it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from compositor import affine

SIZE = 40
"""Side of the canvas, and of the foreground: 28x28 digits with 6 background pixels a side."""

# Half-ranges as affNIST's page is remembered, unconfirmed: degrees, slope, and about a scale of 1.
ANGLE, SHEAR, SCALE = 20.0, 0.2, 0.2


@dataclass(frozen=True)
class Digits:
    """Digits on the canvas's frame.

    Attributes:
        images: (N, 1, 40, 40) uint8.
        labels: (N,) int64.
        outline: (N, 80, 2) int8: in each row the leftmost and the rightmost pixel with ink, as
            (x, y) in half pixels from the canvas's centre. Their convex hull is that of the ink.
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
        """Put digits one after the other."""
        columns = zip(*((p.images, p.labels, p.outline) for p in parts), strict=True)
        return Digits(*(torch.cat(column) for column in columns))

    def foregrounds(self) -> Tensor:
        """The images as (N, 1, 40, 40) float32 in [0, 1]."""
        return self.images.float() / 255


def pad(images: Tensor, labels: Tensor) -> Digits:
    """Put (N, 28, 28) uint8 digits in the middle of the canvas's frame.

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
    # Rows without ink repeat the first row that has some, which changes no hull.
    y = torch.arange(SIZE).expand_as(rows)
    first = rows.to(torch.uint8).argmax(1, keepdim=True)
    y, left, right = (torch.where(rows, v, v.gather(1, first)) for v in (y, left, right))
    points = torch.stack((torch.cat((left, right), 1), torch.cat((y, y), 1)), 2)
    return Digits(images.unsqueeze(1), labels, (2 * points - (SIZE - 1)).to(torch.int8))


def place(position: Tensor, outline: Tensor) -> Tensor:
    """Turn positions in affNIST's law into theta (output to input, normalised).

    Angle, shear and scales are proportional to the first four numbers; the last two place the
    transformed ink between touching the left (upper) and touching the right (lower) edge, so that
    no ink leaves the frame: a fixed range of translations would cut digits.

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

    # Foreground and canvas are equally large squares, so this acts on pixels from the centres.
    forward = affine.invert(centred)[:, :, :2]
    ink = (outline.to(position.dtype) / 2) @ forward.transpose(1, 2)
    half_pixel = forward.abs().sum(2) / 2
    low = ink.amin(1) - half_pixel
    high = ink.amax(1) + half_pixel
    # Ink too large for the frame (no MNIST digit is) stays centred rather than flip its range.
    reach = (SIZE - (high - low)).clamp_min(0) / 2
    move = reach * position[:, 4:] - (low + high) / 2
    return affine.from_parameters(
        torch.cat((torch.stack(shape, 1), move), 1), (SIZE,) * 2, (SIZE,) * 2
    )


def uniform(count: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw (count, 6) positions from affNIST's random affine law, on the CPU."""
    return torch.rand(count, 6, generator=generator) * 2 - 1
