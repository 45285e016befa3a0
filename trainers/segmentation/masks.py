"""Writes what a trained segmentation network tells of pictures."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from compositor import files
from compositor.files import replacing
from trainers import inputs
from trainers.inputs import Listed
from trainers.segmentation.colours import indexed, legend, tinted
from trainers.segmentation.trained import TrainedSegmenter


def write(
    segmenter: TrainedSegmenter, listed: Sequence[Listed], output: Path, pictures: int
) -> None:
    """Segment pictures at their own size, and print the share of each class.

    Args:
        segmenter: T.
        listed: The pictures.
        output: Gets masks/, with the label of each pixel, classes.json, with the names by label,
            and pictures/, tinted.
        pictures: Most pictures to draw.
    """
    files.write(output / "classes.json", json.dumps(segmenter.classes) + "\n")
    bare = Counter(str(Path(one.name).with_suffix("")) for one in listed)
    count, shares = 0, np.zeros(len(segmenter.classes))
    for one, pixels in inputs.read(listed, "segmenting"):
        image = inputs.stretched(pixels, segmenter.size)
        (found,) = segmenter.predict(image, (pixels.shape[0], pixels.shape[1]))
        classes = found["classes"].cpu().numpy()
        name = str(Path(one.name).with_suffix(""))
        name = name if bare[name] == 1 else one.name  # a.jpg's mask is not to replace a.png's
        with replacing(inputs.place(output / "masks", f"{name}.png", one)) as partial:
            indexed(classes).save(partial, "PNG")
        if count < pictures:
            inputs.save_drawn(_drawn(pixels, classes, segmenter.classes), output, one)
        count += 1
        shares += np.bincount(classes.ravel(), minlength=len(shares)) / classes.size
    told = [
        f"{segmenter.classes[label]} {100 * shares[label] / count:.1f} %"
        for label in (-shares).argsort(kind="stable")
        if shares[label]
    ]
    print(f"{output}: masks of {count} pictures; mean share of a picture: {', '.join(told)}")


def _drawn(
    pixels: NDArray[np.uint8], classes: NDArray[np.uint8], names: Sequence[str]
) -> Image.Image:
    """A picture tinted by class, above the names of the classes in it."""
    height, width = classes.shape
    labels = [label for label in np.unique(classes).tolist() if label]
    strip = legend(names, labels, width)
    drawn = Image.new("RGB", (width, height + strip.height))
    drawn.paste(Image.fromarray(tinted(pixels, classes)))
    drawn.paste(strip, (0, height))
    return drawn
