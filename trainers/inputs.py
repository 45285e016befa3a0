"""Pictures to predict on: listed, read, and where what is made of them goes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from compositor.data import frames, images
from compositor.data.read import walk
from compositor.data.records import Annotation, Photograph, Skip
from compositor.files import DataError, replacing


@dataclass(frozen=True)
class Listed:
    """A picture to predict on: its name, its file, and its id in the results."""

    name: str
    path: Path
    number: int | str


def listed(place: Path) -> list[Listed]:
    """A picture, or all in a folder and its sub-folders.

    Raises:
        DataError: The place is missing or holds no picture.
    """
    if place.is_file():
        return [Listed(place.name, place, 1)]
    paths, _ = walk.pictures(place)
    return [
        Listed(str(path.relative_to(place)), path, number) for number, path in enumerate(paths, 1)
    ]


def read(every: Sequence[Listed], doing: str) -> Iterator[tuple[Listed, NDArray[np.uint8]]]:
    """Pictures with their pixels (H, W, 3), under a bar; at last print what cannot be read."""
    unread: dict[str, str] = {}
    for one in tqdm(every, doing, unit="picture", disable=None):
        try:
            pixels = images.read(one.path, one.name)
        except Skip as skip:
            unread[one.name] = skip.reason
            continue
        yield one, pixels
    for name, reason in unread.items():
        print(f"skipped: {name} ({reason})")


def stretched(pixels: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    """A picture as a batch (1, 3, *size) in [0, 1], stretched as T's were in training."""
    image, _ = frames.stretch(Photograph("", pixels, Annotation.of()), size)
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255


def place(folder: Path, name: str, one: Listed) -> Path:
    """The path of this name in a part of the output, for what is made of a picture.

    Raises:
        DataError: The picture itself is there.
    """
    # A name in annotations may be a whole path, or lead out of the folder.
    parts = (part for part in Path(name).parts if part not in ("..", Path(name).anchor))
    path = folder.joinpath(*parts)
    if path.resolve() == one.path.resolve():
        raise DataError(f"output: got {folder.parent}, which has the pictures to predict on")
    return path


def save_drawn(picture: Image.Image, output: Path, one: Listed) -> None:
    """Write what was drawn on a picture to ``pictures/``, as a JPEG."""
    name = one.name if one.name.lower().endswith((".jpg", ".jpeg")) else f"{one.name}.jpg"
    with replacing(place(output / "pictures", name, one)) as partial:
        picture.save(partial, "JPEG", quality=92)
