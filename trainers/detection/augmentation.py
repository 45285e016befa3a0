"""Varies pictures before T learns from them: mirrors them, or does as torchvision does for SSD."""

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from trainers.detection.scenes import Target
from trainers.detectors.base import PER_PIXEL

Augmentation = Literal["mirror", "ssd"]
FILL = (123 / 255, 117 / 255, 104 / 255)
"""Colour around a picture that is zoomed out: ImageNet's mean, as in torchvision's reference."""


def mirror(images: Tensor, targets: list[Target], mirrored: Tensor) -> tuple[Tensor, list[Target]]:
    """Mirror some pictures left to right, with their boxes and what is known of each pixel.

    Args:
        images: (n, 3, H, W).
        targets: For each picture, ``boxes`` (k, 4) and anything else.
        mirrored: (n,) bool, which pictures to mirror.
    """
    width = images.shape[-1]
    turned = [
        target
        | {name: target[name].flip(-1) for name in PER_PIXEL if name in target}
        | {"boxes": torch.stack((width - x2, y1, width - x1, y2), 1)}
        if flip
        else target
        for target, flip in zip(targets, mirrored.tolist(), strict=True)
        for x1, y1, x2, y2 in (target["boxes"].unbind(1),)
    ]
    return torch.where(mirrored.view(-1, 1, 1, 1), images.flip(-1), images), turned


def vary(
    images: Tensor, targets: list[Target], seeds: Tensor, how: Augmentation
) -> tuple[Sequence[Tensor], list[Target]]:
    """Vary pictures that were mirrored already: as for SSD, or no further."""
    if how == "ssd":
        return distort_and_crop(images, targets, seeds.tolist())
    return images.unbind(), targets


def distort_and_crop(
    images: Tensor, targets: Sequence[Target], seeds: Iterable[int]
) -> tuple[list[Tensor], list[Target]]:
    """Vary pictures as torchvision's references/detection does for SSD, which mirrors them too.

    Colours are distorted, the picture may be shrunk on a larger canvas, and it may be cropped so
    that some object keeps a minimum IoU; objects whose centre is cut off are dropped.

    Args:
        images: (n, 3, H, W) in [0, 1], without gradient.
        targets: For each picture, ``boxes`` (k, 4) in pixels and anything else of its objects.
        seeds: For each picture, the seed that alone determines its changes.

    Returns:
        Pictures (3, h, w), each of its own size, and their targets.
    """
    change = v2.Compose(
        [
            v2.RandomPhotometricDistort(),
            v2.RandomZoomOut(fill=list(FILL)),
            v2.RandomIoUCrop(),
            v2.ClampBoundingBoxes(),
            v2.SanitizeBoundingBoxes(
                labels_getter=lambda s: tuple(s[n] for n in s if n not in ("image", "boxes"))
            ),
        ]
    )
    varied: list[Tensor] = []
    left: list[Target] = []
    # The transforms draw from the global generator of the CPU.
    with torch.random.fork_rng(devices=[]):
        for image, target, seed in zip(images, targets, seeds, strict=True):
            torch.default_generator.manual_seed(seed)
            # On the CPU, because the search for a crop reads the boxes again and again.
            boxes = tv_tensors.BoundingBoxes(
                target["boxes"].detach().cpu(), format="XYXY", canvas_size=image.shape[-2:]
            )
            others = {name: target[name].cpu() for name in target if name != "boxes"}
            sample = change({"image": tv_tensors.Image(image), "boxes": boxes, **others})
            varied.append(sample.pop("image").as_subclass(Tensor))
            left.append({k: v.as_subclass(Tensor).to(image.device) for k, v in sample.items()})
    return varied, left
