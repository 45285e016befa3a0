"""Motion blur of a whole picture, one of Cut, Paste and Learn's blends."""

from math import cos, radians, sin

import numpy as np
from numpy.typing import NDArray

LENGTHS = (3, 5, 7, 9)
"""Pixels of a blur's line, as in the authors' code."""


def moved(pixels: NDArray[np.uint8], length: int, angle: float) -> NDArray[np.uint8]:
    """A picture as a camera takes it that moves while the shutter is open.

    Args:
        pixels: (H, W, 3) uint8; its edge continues beyond it.
        length: Odd; each pixel becomes the mean of so many on a line, itself in their middle.
        angle: Of the line, in degrees, counter-clockwise as seen.
    """
    half = length // 2
    x, y = cos(radians(angle)), -sin(radians(angle))
    longer = max(abs(x), abs(y))
    height, width = pixels.shape[:2]
    around = np.pad(pixels, ((half, half), (half, half), (0, 0)), "edge").astype(np.uint16)
    total = np.zeros(pixels.shape, np.uint16)
    for step in range(-half, half + 1):
        top, left = half + round(step * y / longer), half + round(step * x / longer)
        total += around[top : top + height, left : left + width]
    return ((2 * total + length) // (2 * length)).astype(np.uint8)
