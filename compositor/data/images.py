"""Reads pictures, and checks their objects' boxes."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray
from PIL import Image

from compositor.data.records import Annotation, Box, Found, Photograph, Skip
from compositor.files import there

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif")
"""Suffixes of files that count as pictures."""
DIFFERENT = "image and annotation differ in size"
GREY = 16
"""Most by which a mask's colours may differ at a pixel to count as grey."""
ORIENTATION = 0x0112
"""The EXIF tag for how to turn the stored pixels upright."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The turn for each value of the tag; from 5 on they exchange width and height."""


def read(path: Path, name: str) -> NDArray[np.uint8]:
    """Decode a picture without annotations, turned as its EXIF orientation says.

    Takes the first frame of an animation, drops alpha, and scales 16 bits to 8.

    Args:
        path: The picture's file.
        name: Its name in reports.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        Skip: The file is missing, or cannot be decoded completely.
    """
    image, turn = _load(path, name)
    return _rgb(_turned(image, turn), name)


def read_annotated(
    path: Path,
    name: str,
    size: tuple[int, int] | None,
    objects: bool = True,
    different: str = DIFFERENT,
) -> NDArray[np.uint8]:
    """Decode a picture with annotations in its pixels, as :func:`read` does.

    The annotated size shows whether the annotations follow the EXIF orientation; if it cannot tell,
    the picture is left out.

    Args:
        path: The picture's file.
        name: Its name in reports.
        size: (H, W) given by the annotation; None if it gives none.
        objects: Whether any annotation depends on where pixels lie.
        different: The reason to give if the sizes differ.
    """
    image, turn = _load(path, name)
    stored = (image.height, image.width)
    upright = stored[::-1] if turn >= 5 else stored
    if size is not None and size not in (stored, upright):
        raise Skip(different if turn == 1 else f"{different}, EXIF orientation or not", name)
    if turn != 1 and objects and (size is None or stored == upright):
        raise Skip("EXIF orientation that the annotation may follow or not", name)
    return _rgb(image if size == stored != upright else _turned(image, turn), name)


def read_levels(path: Path, name: str, palette: bool = False) -> NDArray[Any]:
    """Decode a mask's levels as stored: (H, W) numbers.

    If its alpha varies, that is the mask: a cut-out's, or that of a picture white all over.

    Args:
        path: The mask's file.
        name: Its name in reports.
        palette: Return a palette's indices, which number objects, not its colours' brightness.

    Raises:
        Skip: The file is missing or broken, has colours instead of the indices wanted, or more than
            two levels of colours, which say nothing.
    """
    image, _ = _load(path, name)
    if image.mode in ("1", "L") or image.mode.startswith("I"):
        return np.asarray(image)
    if palette and image.mode != "P":
        raise Skip("mask of colours, not of indices", name)
    if palette:
        return np.asarray(image)
    if image.has_transparency_data and np.ptp(alpha := np.asarray(image.convert("RGBA"))[..., 3]):
        return alpha
    image = image.convert("RGB")  # first, for not every mode becomes grey
    colours, levels = np.asarray(image), np.asarray(image.convert("L"))
    # Grey may be stored as a JPEG's colours, which are never quite alike.
    if np.ptp(colours, axis=2).max() > GREY and len(np.unique(levels)) > 2:
        raise Skip("mask of colours", name)
    return levels


def read_alpha(path: Path, name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Decode a picture with an alpha channel as :func:`read` does: (H, W, 3), and alpha (H, W).

    Raises:
        Skip: The file is missing or broken, or has no alpha.
    """
    image, turn = _load(path, name)
    if not image.has_transparency_data:
        raise Skip("no alpha channel", name)
    pixels = np.asarray(_turned(image, turn).convert("RGBA"))
    return pixels[..., :3], pixels[..., 3]


def has_alpha(path: Path, name: str) -> bool:
    """Whether a picture has an alpha channel, by its header alone.

    Raises:
        Skip: The file is missing or broken.
    """
    return _load(path, name, whole=False)[0].has_transparency_data


def size(path: Path, name: str) -> tuple[int, int]:
    """(H, W) of a picture as :func:`read` decodes it, by its header alone.

    Raises:
        Skip: The file is missing or broken.
    """
    image, turn = _load(path, name, whole=False)
    return (image.width, image.height) if turn >= 5 else (image.height, image.width)


def _load(path: Path, name: str, whole: bool = True) -> tuple[Image.Image, int]:
    """A picture, completely decoded unless not ``whole``, and its EXIF orientation, from 1 (as
    stored) to 8.

    Any error in decoding becomes a Skip with a reason.
    """
    kind = f"{path.suffix} file".lstrip()
    if not there(path):
        raise Skip(f"missing {kind}", name)
    try:
        with Image.open(path) as image:
            if whole:
                image.load()
            # Pillow looks for a PNG's tags behind its pixels, too, but they come before.
            told = whole or image.format != "PNG" or "exif" in image.info
            return image, _orientation(image) if told else 1
    except PermissionError:
        raise Skip(f"{kind} without permission to read it", name) from None
    except Image.DecompressionBombError:
        raise Skip("more pixels than Pillow decodes", name) from None
    except Exception:  # given arbitrary bytes, decoders can raise anything
        raise Skip(f"broken {kind}", name) from None


def _orientation(image: Image.Image) -> int:
    if image.format == "TIFF":  # Pillow has turned it, and the size in its header
        return 1
    try:
        value = image.getexif().get(ORIENTATION)
    except Exception:  # a picture with a broken tag is still usable
        return 1
    return value if value in TURNS else 1


def _turned(image: Image.Image, turn: int) -> Image.Image:
    return image if turn == 1 else image.transpose(TURNS[turn])


def _rgb(image: Image.Image, name: str) -> NDArray[np.uint8]:
    if image.mode == "F":
        raise Skip("picture of floating-point numbers", name)
    if image.mode.startswith("I"):  # Pillow would clip it at 255
        levels = np.asarray(image).astype(np.int64)
        if levels.min() < 0 or levels.max() > 0xFFFF:
            raise Skip("picture of more than 16 bits", name)
        grey = (levels * 255 + 0x7FFF) // 0xFFFF
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    if image.mode == "P":  # through RGBA, or Pillow may warn
        image = image.convert("RGBA")
    return np.asarray(image.convert("RGB"))


def box_of(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The tight box of a mask's pixels, (x1, y1, x2, y2), right and bottom exclusive.

    Raises:
        ValueError: The mask is empty.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        raise ValueError("mask: has no pixel")
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def nearest(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """For each pixel, row and column of the mask's pixel that is nearest: an index."""
    rows, columns = scipy.ndimage.distance_transform_edt(
        ~mask, return_distances=False, return_indices=True
    )
    return rows, columns


def ious(box: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of a box (4,) with boxes (n, 4): (n,)."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    inter: NDArray[np.float32] = sides.clip(0).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    found: NDArray[np.float32] = inter / (areas + (box[2:] - box[:2]).prod() - inter)
    return found


def with_objects(
    name: str, image: NDArray[np.uint8], found: Sequence[Found], keep_empty: bool = True
) -> Iterator[Photograph | Skip]:
    """A photograph with its usable objects, their boxes cut at its edges.

    Args:
        name: The photograph's name.
        image: (H, W, 3) uint8.
        found: Its objects; one without a box in the image is skipped.
        keep_empty: Keep the photograph if no object is left.
    """
    kept, masks = [], []
    for name_of, box, label, ignore, mask in found:
        try:
            kept.append((clipped(box, image, name_of), label, ignore))
            masks.append(mask)
        except Skip as skip:
            yield skip
    if found and not kept and not keep_empty:
        yield Skip("no object with a usable box", name)
    else:
        known = tuple(masks) if any(mask is not None for mask in masks) else ()
        yield Photograph(name, image, Annotation.of(kept), known)


def clipped(box: Box | None, image: NDArray[np.uint8], name: str) -> Box:
    """Cut an object's box at the image's edges.

    Raises:
        Skip: There is no box, or it is empty, reversed or outside.
    """
    if box is None:
        raise Skip("no usable box", name)
    height, width = image.shape[:2]
    limits = (width, height, width, height)
    inside = [min(max(side, 0), limit) for side, limit in zip(box, limits, strict=True)]
    # In the precision it is stored in.
    x1, y1, x2, y2 = np.array(inside, np.float32).tolist()
    if not (x1 < x2 and y1 < y2):
        raise Skip("box without area in the image", name)
    return x1, y1, x2, y2
