"""Brings photographs and objects to one canvas size, and images to Pillow."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from compositor.data.images import box_of, nearest
from compositor.data.records import Annotation, Cutout, Photograph

EDGE = 16
"""Pixels around a cut-out without surroundings that take its colours: more than a blurred edge
shows."""


def stretch(photograph: Photograph, size: tuple[int, int]) -> tuple[NDArray[np.uint8], Annotation]:
    """Stretch a photograph and its boxes to ``size`` (H, W), ignoring its aspect ratio."""
    height, width = size
    image = Image.fromarray(photograph.image)
    factors = np.array([width / image.width, height / image.height] * 2, np.float32)
    annotation = photograph.annotation
    return (
        np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)),
        Annotation(annotation.boxes * factors, annotation.labels, annotation.ignore),
    )


def centre(cutout: Cutout, size: tuple[int, int], fill: float) -> NDArray[np.uint8]:
    """Centre an object in a frame and scale it, keeping its aspect ratio (section A.2).

    The object keeps its surroundings in the photograph, continued by the photograph's edge; one
    that has none is continued by its own colours. The mask stays binary, as the op's threshold
    requires.

    Args:
        cutout: The object; its mask must not be empty.
        size: (H, W) of the frame.
        fill: Share of the frame's side that the object's larger side takes, in (0, 1].

    Returns:
        (H, W, 4) uint8: the colours, and the mask as 0 or 255.
    """
    height, width = size
    x1, y1, x2, y2 = box_of(cutout.mask)
    scale = fill * min(width / (x2 - x1), height / (y2 - y1))
    half_x, half_y = width / scale / 2, height / scale / 2
    middle_x, middle_y = (x1 + x2) / 2, (y1 + y2) / 2
    left, top = int(np.floor(middle_x - half_x)), int(np.floor(middle_y - half_y))
    right, bottom = int(np.ceil(middle_x + half_x)), int(np.ceil(middle_y + half_y))
    image = cutout.image if cutout.surroundings else _continued(cutout)
    rows = np.arange(top, bottom).clip(0, len(image) - 1)
    columns = np.arange(left, right).clip(0, image.shape[1] - 1)
    inside = (rows == np.arange(top, bottom))[:, None] & (columns == np.arange(left, right))
    window = np.ix_(rows, columns)
    box = (
        middle_x - half_x - left,
        middle_y - half_y - top,
        # Rounding may push the far edges past the crop, which Pillow refuses.
        min(middle_x + half_x - left, right - left),
        min(middle_y + half_y - top, bottom - top),
    )
    mask = (cutout.mask[window] & inside).astype(np.uint8) * 255
    colours, covered = (
        np.asarray(
            Image.fromarray(part).resize((width, height), Image.Resampling.BILINEAR, box=box)
        )
        for part in (image[window], mask)
    )
    return np.dstack((colours, np.where(covered >= 128, 255, 0).astype(np.uint8)))


def _continued(cutout: Cutout) -> NDArray[np.uint8]:
    """The image, and around the object its nearest colours, which would show in a blurred edge."""
    x1, y1, x2, y2 = box_of(cutout.mask)
    around = np.s_[max(y1 - EDGE, 0) : y2 + EDGE, max(x1 - EDGE, 0) : x2 + EDGE]
    continued = cutout.image.copy()
    continued[around] = cutout.image[around][nearest(cutout.mask[around])]
    return continued


def pillow(image: NDArray[np.uint8]) -> Image.Image:
    """An image (H, W, 3) as Pillow's: fastest if each colour lies by itself in memory."""
    planes = image.transpose(2, 0, 1)
    if not planes.flags.c_contiguous:
        return Image.fromarray(image)
    size = (image.shape[1], image.shape[0])
    bands = [Image.frombuffer("L", size, plane, "raw", "L", 0, 1) for plane in planes]
    return Image.merge("RGB", bands)
