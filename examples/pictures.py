"""Reads and writes the examples' pictures: bytes, (C, H, W) uint8."""

from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

from compositor.files import DataError, check_writable, replacing


def to_bytes(picture: Tensor) -> Tensor:
    """Round a picture in [0, 1], cut off beyond, to bytes."""
    return (picture.detach().clamp(0, 1) * 255).round().to(torch.uint8)


def to_image(picture: Tensor) -> Image.Image:
    """Turn bytes (C, H, W) into a Pillow image."""
    image: Image.Image = to_pil_image(picture)
    return image


def read(path: Path, mode: str) -> Tensor:
    """Read any picture that Pillow reads, the right way up, as bytes in one of Pillow's modes."""
    try:
        with Image.open(path) as image:
            deep = image.mode if image.mode.startswith(("I", "F")) else None
            picture: Tensor = pil_to_tensor(ImageOps.exif_transpose(image).convert(mode))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or 'wanted a picture'}") from error
    except Exception as error:  # given arbitrary bytes, decoders can raise anything
        raise ValueError(f"{path}: {error}") from error
    if deep:  # Pillow clips these levels instead of scaling them
        raise ValueError(f"{path}: got levels of Pillow's mode {deep}, wanted 8 bits")
    return picture


def listed(paths: tuple[Path, ...]) -> list[Path]:
    """Files as they are, and in a folder's place all pictures in it and below, sorted."""
    suffixes = {
        suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN
    }
    found = []
    for path in paths:
        inside = [path]
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in suffixes)
        if not inside:
            raise ValueError(f"{path}: got a folder without pictures, wanted some")
        found += inside
    return found


def check_output(path: Path) -> None:
    """Raise unless Pillow can write such a file there, before the work rather than after it."""
    if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
        raise ValueError(f"--output: got {path}, wanted a picture's name such as {path.stem}.png")
    try:
        check_writable(path.parent)
        folder = path.is_dir()
    except (DataError, OSError) as error:
        reason = getattr(error, "strerror", error)
        raise ValueError(f"--output: {path}: cannot be written ({reason})") from error
    if folder:
        raise ValueError(f"--output: got {path}, a folder, wanted a picture's name")


def write(image: Image.Image, path: Path, **options: Any) -> None:
    """Write a picture whole or not at all."""
    try:
        with replacing(path) as partial:
            image.save(partial, **options)
    except (DataError, OSError) as error:  # a full disk, or a format that has no colours
        raise ValueError(f"--output: {path}: cannot be written ({error})") from error
