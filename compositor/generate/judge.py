"""The detector that decides which scenes are hard."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from compositor.generate.config import Config
from compositor.scenes.compose import Scene
from compositor.selection.detector import detect, labels_by_name, load
from compositor.selection.judge import confidences

BATCH = 8
"""Pictures in a pass."""

Judge = Callable[[list[Scene]], list[Scene]]
"""Adds the detector's confidence to every instance of these scenes."""


def judge(config: Config, classes: Sequence[str]) -> Judge | None:
    """Load the detector; None if scenes are not judged.

    Raises:
        DetectorError: It cannot be loaded, or does not know one of the classes.
    """
    if config.detector is None:
        return None
    device = config.device or ("cuda" if torch.cuda.is_available() else "cpu")
    detector = load(config.detector, config.weights, device)
    own = torch.tensor(labels_by_name(detector, classes))

    def judged(scenes: list[Scene]) -> list[Scene]:
        found: dict[int, Scene] = {}
        for size in dict.fromkeys(scene.image.shape for scene in scenes):
            alike = [n for n, scene in enumerate(scenes) if scene.image.shape == size]
            for first in range(0, len(alike), BATCH):
                batch = alike[first : first + BATCH]
                images = torch.stack([torch.from_numpy(scenes[n].image) for n in batch])
                images = images.to(device).permute(0, 3, 1, 2).float() / 255
                for n, detections in zip(batch, detect(detector, images), strict=True):
                    boxes = torch.tensor([i.box for i in scenes[n].instances]).reshape(-1, 4)
                    labels = own[[i.label for i in scenes[n].instances]]
                    sure = confidences(detections, boxes, labels).tolist()
                    pairs = zip(scenes[n].instances, sure, strict=True)
                    instances = tuple(replace(i, confidence=value) for i, value in pairs)
                    found[n] = replace(scenes[n], instances=instances)
        return [found[n] for n in range(len(scenes))]

    return judged
