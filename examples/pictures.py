"""Reads and writes the examples' pictures: tensors (1, C, H, W), float32 in [0, 1]."""

import os
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor, to_pil_image


def from_image(image: Image.Image) -> Tensor:
    """Turn a Pillow image into a tensor."""
    levels: Tensor = pil_to_tensor(image)
    return levels.unsqueeze(0) / 255


def to_image(picture: Tensor) -> Image.Image:
    """Turn a tensor into a Pillow image, clamped to [0, 1]."""
    image: Image.Image = to_pil_image(picture[0].detach().clamp(0, 1))
    return image


def read(path: Path, mode: str) -> Tensor:
    """Read any picture that Pillow reads, the right way up, in one of Pillow's modes."""
    try:
        return from_image(ImageOps.exif_transpose(Image.open(path)).convert(mode))
    except (OSError, ValueError) as error:  # a ValueError: no file can have such a name
        reason = getattr(error, "strerror", str(error)) or "wanted a picture"
        raise ValueError(f"{path}: {reason}") from error


def check_output(path: Path) -> None:
    """Raise unless Pillow can write such a file there, before the work rather than after it."""
    if path.suffix.lower() not in Image.registered_extensions():
        raise ValueError(f"--output: got {path}, wanted a picture's name such as {path.stem}.png")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _temporary(path).touch()
        _temporary(path).unlink()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", error)
        raise ValueError(f"--output: {path}: cannot be written ({reason})") from error
    if path.is_dir():
        raise ValueError(f"--output: got {path}, a folder, wanted a picture's name")


def write(image: Image.Image, path: Path, **options: Any) -> None:
    """Write a picture under a temporary name and rename it, so that no partial file is left."""
    temporary = _temporary(path)
    image.save(temporary, **options)
    os.replace(temporary, path)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.stem}.part{path.suffix}")
