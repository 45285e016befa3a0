"""Reading pictures and masks, and bringing them to one canvas size."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainers.detection.data.records import Annotation, Cutout, Photograph, Skip

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
"""Of files that are taken for pictures."""


def read(path: Path, name: str, mode: str | None = "RGB") -> NDArray[np.uint8]:
    """Decode a picture whole: (H, W, 3) uint8, or (H, W) for a mode of one channel.

    Orientation tags are not obeyed, since annotations are in the stored pixels.

    Args:
        path: Of the picture.
        name: For the report.
        mode: Pillow's mode to convert to; None leaves the file's own (a palette's indices, say).

    Raises:
        Skip: The file is missing, or cannot be decoded to its end.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image if mode is None else image.convert(mode))
    except FileNotFoundError:
        raise Skip(f"missing {path.suffix} file", name) from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise Skip(f"broken {path.suffix} file", name) from None


def box_of(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The tight box of a mask's pixels, (x1, y1, x2, y2), right and bottom exclusive.

    Raises:
        ValueError: The mask is empty.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        raise ValueError("mask: has no pixel")
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def ious(box: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of a box (4,) with boxes (n, 4): (n,)."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    inter = sides.clip(0).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return inter / (areas + (box[2:] - box[:2]).prod() - inter)


def inside(annotation: Annotation, image: NDArray[np.uint8], name: str) -> Annotation:
    """Cut boxes at the image's edges.

    Raises:
        Skip: A box is empty, turned round or outside: the annotation belongs to another image.
    """
    height, width = image.shape[:2]
    boxes = annotation.boxes.clip(0, np.array([width, height] * 2, np.float32))
    if not (boxes[:, 2:] > boxes[:, :2]).all():
        raise Skip("box without area in the image", name)
    return Annotation(boxes, annotation.labels, annotation.ignore)


def stretch(photograph: Photograph, size: tuple[int, int]) -> tuple[NDArray[np.uint8], Annotation]:
    """Bring a photograph to ``size`` (H, W) without keeping its shape, its boxes with it."""
    height, width = size
    image = Image.fromarray(photograph.image)
    factors = np.array([width / image.width, height / image.height] * 2, np.float32)
    annotation = photograph.annotation
    return (
        np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)),
        Annotation(annotation.boxes * factors, annotation.labels, annotation.ignore),
    )


def centre(cutout: Cutout, size: tuple[int, int], fill: float) -> NDArray[np.uint8]:
    """Centre an object in a frame and scale it, keeping its shape (the paper's section A.2).

    Around the object stays what the photograph shows there, beyond the photograph its edge. The
    mask stays binary, as the operation's threshold wants it.

    Args:
        cutout: With at least one pixel of mask.
        size: (H, W) of the frame.
        fill: What the larger of the object's sides takes of the frame's, in (0, 1].

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
    rows = np.arange(top, bottom).clip(0, len(cutout.image) - 1)
    columns = np.arange(left, right).clip(0, cutout.image.shape[1] - 1)
    inside = (rows == np.arange(top, bottom))[:, None] & (columns == np.arange(left, right))
    window = np.ix_(rows, columns)
    box = (
        middle_x - half_x - left,
        middle_y - half_y - top,
        # Rounding may carry the far edges past the crop's, which Pillow refuses.
        min(middle_x + half_x - left, right - left),
        min(middle_y + half_y - top, bottom - top),
    )
    mask = (cutout.mask[window] & inside).astype(np.uint8) * 255
    colours, covered = (
        np.asarray(
            Image.fromarray(part).resize((width, height), Image.Resampling.BILINEAR, box=box)
        )
        for part in (cutout.image[window], mask)
    )
    return np.dstack((colours, np.where(covered >= 128, 255, 0).astype(np.uint8)))
