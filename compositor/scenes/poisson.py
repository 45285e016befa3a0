"""Poisson blending (Perez et al., 2003) by OpenCV, one of Cut, Paste and Learn's blends."""

import numpy as np
from numpy.typing import NDArray

MARGIN = 3
"""Pixels around the canvas: OpenCV solves inside the mask's box and keeps its border."""


def available() -> bool:
    """Whether OpenCV is installed."""
    try:
        import cv2 as cv2
    except ModuleNotFoundError:
        return False
    return True


def blended(
    pasted: NDArray[np.uint8], ground: NDArray[np.uint8], mask: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """An object's gradients on a canvas.

    Args:
        pasted: (H, W, 3) uint8, the canvas with the object pasted flat.
        ground: (H, W, 3) uint8, the canvas.
        mask: (H, W) bool, the object.

    Returns:
        (H, W, 3) uint8: the canvas, and inside the mask what has the object's gradients and meets
        the canvas at the mask's edge. An object less than 3 pixels wide stays flat.
    """
    import cv2

    around = ((MARGIN, MARGIN), (MARGIN, MARGIN))
    source = np.pad(pasted, (*around, (0, 0)), "edge")
    target = np.pad(ground, (*around, (0, 0)), "edge")
    shape = np.pad(mask, around).astype(np.uint8) * 255
    left, top, width, height = cv2.boundingRect(shape)
    if min(width, height) < MARGIN:  # nothing is inside, and OpenCV fails
        return pasted
    # OpenCV lays the middle of the mask's box there, rounded in this way.
    middle = (left + width // 2, top + height // 2)
    cloned = cv2.seamlessClone(source, target, shape, middle, cv2.NORMAL_CLONE)
    inside = cloned[MARGIN:-MARGIN, MARGIN:-MARGIN].astype(np.uint8)
    return np.where(mask[..., None], inside, ground)
