"""Classes of pixels in VOC's colours."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)[:, ::-1]
# A number's lowest bits are the highest of red, green and blue, the next ones the next.
COLOURS: NDArray[np.uint8] = np.stack(
    [_BITS[:, channel::3] @ (128 >> np.arange(len(range(channel, 8, 3)))) for channel in range(3)],
    axis=1,
).astype(np.uint8)
"""The palette of ``SegmentationClass``, (256, 3)."""


def indexed(classes: NDArray[np.uint8]) -> Image.Image:
    """Classes (H, W) as a picture of indices, as ``SegmentationClass`` has them."""
    picture = Image.fromarray(classes)
    picture.putpalette(COLOURS.tobytes())
    return picture


def tinted(image: NDArray[np.uint8], classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image (H, W, 3) half covered by its classes (H, W), bordered white, but background."""
    border = np.zeros(classes.shape, bool)
    border[1:] |= classes[1:] != classes[:-1]
    border[:, 1:] |= classes[:, 1:] != classes[:, :-1]
    covered = np.where(classes[..., None] > 0, image // 2 + COLOURS[classes] // 2, image)
    return np.where(border[..., None], np.uint8(255), covered)


def legend(names: Sequence[str], labels: Sequence[int], width: int) -> Image.Image:
    """The names of some classes beside their colours, as wide as a picture."""
    size = max(11, width // 40)
    font, line = ImageFont.load_default(size), round(1.5 * size)
    places: list[tuple[float, int]] = []
    x, y = 0.0, 0
    for label in labels:
        taken = font.getlength(names[label]) + 2.5 * size
        if places and x + taken > width:
            x, y = 0.0, y + line
        places.append((x, y))
        x += taken
    strip = Image.new("RGB", (width, y + line if places else 0), "white")
    draw = ImageDraw.Draw(strip)
    for label, (x, y) in zip(labels, places, strict=True):
        left, middle = x + size / 2, y + line / 2
        square = (left, middle - size / 2, left + size, middle + size / 2)
        draw.rectangle(square, tuple(COLOURS[label].tolist()))
        draw.text((left + 1.4 * size, middle), names[label], "black", font, "lm")
    return strip
