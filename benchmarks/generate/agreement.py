"""Checks that a peer writes our scenes before it is timed, or its time means nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.generate.material import DataSet
from benchmarks.generate.peers import FIRST, JPEG, OWN, VISION_SYNTHESIS, prepare

# Mean of |difference| over a picture, in levels of 255, of the picture where it is largest, after
# JPEG. vision-synthesis pastes at whole pixels and feathers less; without a middling object it is 5
# more.
LEVELS = {OWN: 0.0, VISION_SYNTHESIS: 3.0}
# vision-synthesis counts an object of which less than 15 % shows as hidden, we less than 25 %.
OBJECTS = 0.97


def check(peer: str, data: DataSet) -> None:
    """Raise AssertionError if what the peer writes is not what our scenes are."""
    result = prepare(peer, data, 1)()
    if peer == JPEG:
        sizes = {Image.open(file).size for file in result}
        assert sizes == {data.scenes[0].image.shape[1::-1]}, f"{peer}: pictures of {sizes}"
        assert len(result) == len(data.scenes)
    elif peer == FIRST:
        picture = Image.open(result)
        assert picture.format == "JPEG" and picture.size == data.scenes[0].image.shape[1::-1]
    elif peer in LEVELS:
        annotations = result / "coco" / "annotations" / "instances_train.json"
        folder = result / "coco" / "images" / "train"
        if peer == VISION_SYNTHESIS:
            annotations, folder = result, result.parent / "images"
        _check_written(peer, annotations, folder, data)


def _check_written(peer: str, annotations: Path, folder: Path, data: DataSet) -> None:
    written = json.loads(annotations.read_text())
    files = sorted(folder.iterdir())
    assert len(written["images"]) == len(files) == len(data.scenes)
    encoded = prepare(JPEG, data, 1)()
    off = max(
        np.abs(np.asarray(Image.open(file)).astype(int) - np.asarray(Image.open(own))).mean()
        for file, own in zip(files, encoded, strict=True)
    )
    assert off <= LEVELS[peer], f"{peer}: off by {off:.2g} levels, wanted {LEVELS[peer]}"
    wanted = sum(len(scene.instances) for scene in data.scenes)
    found = len(written["annotations"])
    assert OBJECTS * wanted <= found <= wanted, f"{peer}: {found} objects, wanted {wanted}"
