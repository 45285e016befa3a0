"""NanoDet-g's network: on a trunk a neck that adds up and down, and a head per level."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, max_pool2d
from torchvision.ops import batched_nms

BLOCKS, WIDTHS = (1, 2, 2, 3), (32, 64, 128, 256)
"""Blocks in each of the trunk's stages, and the width of its convolutions."""
NECK = 128
"""Channels of the neck and the heads."""
STRIDES = (8, 16, 32)
BINS = 11
"""A side's distance from its cell's centre is an average of 0 to 10 strides."""
SLOPE = 0.1
MEAN, DEVIATION = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
"""Of blue, green and red levels from 0 to 255."""
OVERLAP, MOST = 0.6, 100
"""Of two detections of a class that overlap by more, the better is kept; and so many an image."""
RARE = -4.6
"""The logit of a hundredth: what a new class starts at, since most cells show none."""


class Maps(Protocol):
    """What a trunk offers: of images (N, 3, H, W) in [0, 1] its maps at strides 8, 16 and 32."""

    channels: list[int]

    def maps(self, images: Tensor) -> list[Tensor]: ...


@dataclass(frozen=True)
class Grid:
    """The cells of all levels, in a row.

    Attributes:
        centres: (n, 2), x and y in pixels.
        strides: (n,).
        counts: How many of them each level has.
    """

    centres: Tensor
    strides: Tensor
    counts: list[int]


class Network(nn.Module):
    """The network.

    Args:
        trunk: The trunk.
        layers: The convolutions of the neck, then those of the heads.
    """

    def __init__(self, trunk: nn.Module, layers: Iterable[nn.Conv2d]) -> None:
        super().__init__()
        rest = iter(layers)
        self.trunk = trunk
        self.lateral = nn.ModuleList(next(rest) for _ in STRIDES)
        self.heads = nn.ModuleList(
            nn.Sequential(next(rest), nn.LeakyReLU(SLOPE, inplace=True), next(rest))
            for _ in STRIDES
        )

    def forward(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Of images in [0, 1], each level's class logits (N, C, h, w) and bins (N, 44, h, w)."""
        trunk = cast(Maps, self.trunk)
        maps = [f(x) for f, x in zip(self.lateral, trunk.maps(images), strict=True)]
        low, middle, high = maps
        middle = middle + _resized(high, middle)
        low = low + _resized(middle, low)
        middle = middle + _resized(low, middle)
        high = high + _resized(middle, high)
        found = [f(x) for f, x in zip(self.heads, (low, middle, high), strict=True)]
        return [(out[:, : -4 * BINS], out[:, -4 * BINS :]) for out in found]


class Trunk(nn.Module):
    """NanoDet-g's own: a stem and four stages, without normalisation.

    Args:
        layers: Its convolutions come from here.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, layers: Iterator[nn.Conv2d]) -> None:
        super().__init__()
        self.stem = next(layers)
        self.stages = nn.ModuleList(Stage(layers, blocks) for blocks in BLOCKS)
        self.channels = [2 * width for width in WIDTHS[1:]]
        for name, value in (("mean", MEAN), ("deviation", DEVIATION)):
            self.register_buffer(name, torch.tensor(value)[:, None, None], persistent=False)

    def maps(self, images: Tensor) -> list[Tensor]:
        levels = (255 * images.flip(1) - self.mean) / self.deviation  # of blue, green and red
        features = max_pool2d(_active(self.stem(levels)), 3, 2, 1)
        maps = []
        for stage in self.stages:
            features = stage(features)
            maps.append(features)
        return maps[1:]


class Stage(nn.Module):
    """A convolution, then blocks of two that see each other, then one; and past all of these."""

    def __init__(self, layers: Iterator[nn.Conv2d], blocks: int) -> None:
        super().__init__()
        self.first = next(layers)
        self.blocks = nn.ModuleList(next(layers) for _ in range(2 * blocks))
        self.last = next(layers)

    def forward(self, features: Tensor) -> Tensor:
        features = past = _active(self.first(features))
        for one, two in zip(self.blocks[::2], self.blocks[1::2], strict=True):
            first = _active(one(features))
            features = torch.cat((_active(two(first)), first), 1)
        return torch.cat((_active(self.last(features)), past), 1)


def nanodet_g(layers: list[nn.Conv2d]) -> Network:
    """NanoDet-g of its convolutions in their order.

    Raises:
        ValueError: There are more or fewer of them.
    """
    wanted = 1 + sum(2 + 2 * blocks for blocks in BLOCKS) + 3 * len(STRIDES)
    if len(layers) != wanted:
        raise ValueError(f"got {len(layers)} convolutions, wanted NanoDet-g's {wanted}")
    rest = iter(layers)
    return Network(Trunk(rest), rest)


def trunk_layers() -> Iterator[nn.Conv2d]:
    """The convolutions of NanoDet-g's trunk, at random."""
    inputs = WIDTHS[0]
    shapes = [(3, inputs, 2)]
    for width, blocks in zip(WIDTHS, BLOCKS, strict=True):
        pairs = [(width, width // 2, 1), (width // 2, width // 2, 1)] * blocks
        shapes += [(inputs, width, 1 if width == WIDTHS[0] else 2), *pairs, (width, width, 1)]
        inputs = 2 * width
    for inputs, outputs, stride in shapes:
        layer = nn.Conv2d(inputs, outputs, 3, stride, 1)
        nn.init.kaiming_normal_(layer.weight, SLOPE)
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
        yield layer


def top_layers(channels: list[int], classes: int) -> Iterator[nn.Conv2d]:
    """The convolutions of the neck and the heads, at random.

    Args:
        channels: Those of the trunk's maps.
        classes: How many classes, without the background.
    """
    for inputs in channels:
        layer = nn.Conv2d(inputs, NECK, 1)
        nn.init.xavier_uniform_(layer.weight)
        yield layer
    for _ in STRIDES:
        for outputs, side in ((NECK, 3), (classes + 4 * BINS, 1)):
            layer = nn.Conv2d(NECK, outputs, side, padding=side // 2)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
            if side == 3:
                nn.init.kaiming_normal_(layer.weight, SLOPE)
            else:
                nn.init.normal_(layer.weight, std=0.01)
                nn.init.constant_(layer.bias[:classes], RARE)
            yield layer


def flat(heads: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Grid]:
    """Class logits (N, n, C) and bins (N, n, 4, 11) of all cells, float32, and the cells."""
    logits, bins = (
        torch.cat([maps.flatten(2) for maps in each], 2).transpose(1, 2).float()
        for each in zip(*heads, strict=True)
    )
    centres = []
    for stride, (one, _) in zip(STRIDES, heads, strict=True):
        sides = [torch.arange(side, device=one.device) + 0.5 for side in one.shape[-2:]]
        y, x = torch.meshgrid(sides, indexing="ij")
        centres.append(torch.stack((x, y), 2).flatten(0, 1) * stride)
    counts = [len(one) for one in centres]
    strides = torch.tensor(STRIDES, device=bins.device).repeat_interleave(
        torch.tensor(counts, device=bins.device)
    )
    return logits, bins.unflatten(2, (4, BINS)), Grid(torch.cat(centres), strides, counts)


def boxes_of(bins: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """Boxes (..., 4) in pixels of bins (..., 4, 11), of cells with centres and strides."""
    steps = torch.arange(BINS, device=bins.device).to(bins)
    distances = (bins.softmax(-1) @ steps) * strides[..., None]
    return torch.cat((centres - distances[..., :2], centres + distances[..., 2:]), -1)


def detections(
    heads: list[tuple[Tensor, Tensor]], size: tuple[int, int], threshold: float
) -> list[dict[str, Tensor]]:
    """Of each image the ``boxes`` (n, 4), ``labels`` (n,) from 0 and ``scores`` (n,), best first.

    Args:
        heads: From :class:`Network`.
        size: (H, W) of the images, which no box leaves.
        threshold: Least score.
    """
    logits, bins, grid = flat(heads)
    boxes = boxes_of(bins, grid.centres, grid.strides)
    boxes = boxes.clamp_min(0).minimum(boxes.new_tensor([size[1], size[0]] * 2))
    found = []
    for box, score in zip(boxes, logits.sigmoid(), strict=True):
        cell, label = (score > threshold).nonzero(as_tuple=True)
        box, score = box[cell], score[cell, label]
        kept = batched_nms(box, score, label, OVERLAP)[:MOST]
        found.append({"boxes": box[kept], "labels": label[kept], "scores": score[kept]})
    return found


def _active(features: Tensor) -> Tensor:
    return leaky_relu(features, SLOPE, inplace=True)


def _resized(features: Tensor, like: Tensor) -> Tensor:
    return interpolate(features, like.shape[-2:], mode="bilinear")
