"""Pictures of any size for a network that takes batches of one."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate


def stretched(images: Sequence[Tensor] | Tensor, size: tuple[int, int]) -> Tensor:
    """Images (3, h, w) as one batch (N, 3, H, W), channels last, which takes the least time.

    Args:
        images: The images, of sizes of their own.
        size: (H, W).
    """
    same = [
        image
        if image.shape[-2:] == size
        else interpolate(image[None], size, mode="bilinear", antialias=True)[0]
        for image in images
    ]
    return torch.stack(same).contiguous(memory_format=torch.channels_last)


def scale(image: Tensor, size: tuple[int, int]) -> Tensor:
    """What brings boxes in a picture of ``size`` (H, W) to an image's own pixels: factors (4,)."""
    return image.new_tensor([image.shape[-1] / size[1], image.shape[-2] / size[0]] * 2)
