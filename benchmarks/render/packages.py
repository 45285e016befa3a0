"""Packages that compose scenes; without them their columns are empty."""

from __future__ import annotations

import importlib
import importlib.util
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from benchmarks.render.opencv import cutouts, interleaved
from benchmarks.render.scenes import Layers

MODULES = {"vision-synthesis": "vision_synthesis", "segpaste": "segpaste"}


def missing() -> list[str]:
    """Name the packages that are not installed."""
    return [name for name, module in MODULES.items() if importlib.util.find_spec(module) is None]


def composer(canvas: tuple[int, int]) -> Any:
    """Its composer for (H, W), without shadows and colour transfer."""
    import vision_synthesis

    return vision_synthesis.SceneComposer(
        canvas_size=canvas[::-1], enable_shadows=False, enable_color_transfer=False
    )


def given(places: list[tuple[float, float, float]]) -> Any:
    """Its strategy that places objects one by one at (x, y, scale)."""
    import vision_synthesis

    class Given(vision_synthesis.PlacementStrategy):
        def __init__(self) -> None:
            self.places: Iterator[tuple[float, float, float]] = iter(places)

        def place(self, *_: Any, **__: Any) -> tuple[float, float, float]:
            return next(self.places)

    return Given()


def prepare_vision_synthesis(layers: Layers) -> Callable[[], list[Any]]:
    """Prepare its composer at our places.

    It scales, turns, then pastes at a whole pixel, its mask feathered by 3 x 3.
    """
    compose = composer(layers.canvas).compose
    height, width = layers.canvas
    sources = cutouts(layers)
    canvases = list(map(interleaved, layers.background))
    specifications: list[list[dict[str, Any]]] = [[] for _ in canvases]
    places: list[list[tuple[float, float, float]]] = [[] for _ in canvases]
    rows = (layers.image.tolist(), layers.source.tolist(), layers.pose.tolist())
    for number, (canvas, source, pose) in enumerate(zip(*rows, strict=True)):
        angle, _, scale, _, right, down = pose
        h, w = (int(size * scale) for size in sources[source].shape[:2])
        turn = cv2.getRotationMatrix2D((0, 0), angle, 1.0)
        cos, sin = abs(turn[0, 0]), abs(turn[0, 1])
        turned = int(h * sin + w * cos), int(h * cos + w * sin)  # as it makes the frame
        x, y = width / 2 + right - turned[0] / 2, height / 2 + down - turned[1] / 2
        places[canvas].append((x, y, scale))
        specifications[canvas].append(
            {"image": sources[source], "rotation_range": (angle, angle), "z_index": float(number)}
        )

    def run() -> list[Any]:
        scenes = zip(canvases, specifications, places, strict=True)
        return [compose(one, objects, given(where)) for one, objects, where in scenes]

    return run


def _segpaste() -> Any:
    """Import it: it puts another package in pycocotools' place, for all of the process."""
    names = ("pycocotools", "pycocotools.coco", "pycocotools.cocoeval", "pycocotools.mask")
    before = {name: sys.modules.get(name) for name in names}
    module = importlib.import_module("segpaste")
    for name, own in before.items():
        if own is None:
            sys.modules.pop(name, None)
        else:
            sys.modules[name] = own
    return module


def prepare_segpaste(layers: Layers) -> Callable[[], dict[str, Any]]:
    """Prepare its collator: from the others' objects it pastes as many on each picture.

    It pastes them as they are, so they are warped to their size beforehand, where no one counts.
    """
    segpaste = _segpaste()
    # "gaussian" is what its configuration says; what runs blends by the mask alone.
    config = segpaste.CopyPasteConfig(
        paste_probability=1.0,
        min_paste_objects=layers.objects,
        max_paste_objects=layers.objects,
        blend_mode="gaussian",
    )
    collate = segpaste.CopyPasteCollator(segpaste.CopyPasteAugmentation(config))
    batch = annotated(layers)

    def run() -> dict[str, Any]:
        random.seed(0)
        torch.manual_seed(0)  # the same places in every round
        result: dict[str, Any] = collate(batch)
        return result

    return run


def annotated(layers: Layers) -> list[tuple[Tensor, dict[str, Tensor]]]:
    """Give the batch that a collator gets: pictures and their own objects."""
    return [
        (canvas, _annotations(layers, number)) for number, canvas in enumerate(layers.background)
    ]


def _annotations(layers: Layers, canvas: int) -> dict[str, Tensor]:
    """Give a picture's own objects as a data set does: masks and boxes of all that show."""
    height, width = layers.canvas
    masks, boxes = [], []
    own = (layers.image == canvas).nonzero()[:, 0].tolist()
    matrices = layers.pixel_matrices()
    for number in own:
        mask = interleaved(layers.mask[int(layers.source[number])])
        warped = np.where(cv2.warpAffine(mask, matrices[number], (width, height)) > 127, 1, 0)
        x, y, w, h = cv2.boundingRect(warped.astype(np.uint8))
        if w and h:
            masks.append(torch.from_numpy(warped.astype(np.uint8)))
            boxes.append([x, y, x + w, y + h])
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32),
        "labels": torch.ones(len(boxes), dtype=torch.int64),
        "masks": torch.stack(masks),
    }
