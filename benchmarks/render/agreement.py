"""Checks that a peer makes our scene before it is timed, or its time means nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.agreement import WELL_CONDITIONED, as_images
from benchmarks.render.peers import COPY_PASTE, prepare, prepare_labelled
from benchmarks.render.scenes import Layers
from benchmarks.scenes import RADIUS

# Bytes: the mean of |difference| over a canvas, in levels of 255, and the share of pixels with
# another owner, of the canvas where they are largest. OpenCV rounds coordinates to 1/32 pixel and
# blends in bytes: 0.06 and 0.0003 measured. vision-synthesis pastes at whole pixels and feathers
# less, so its edges differ: 1.4, most with twenty objects. Without a middling object it is 5 more.
LEVELS = {"OpenCV": 0.2, "vision-synthesis": 2.0}
OWNERS = 1e-3
# segpaste chooses its places, and leaves out an object for which it finds none; CopyPaste leaves
# out what is mostly hidden, as many of twenty are.
PASTED = {"segpaste": 0.8, COPY_PASTE: 0.5}
# Floats: all but so many values must be closer than this, at a threshold that rounding does not
# flip and away from the canvas's edge, where eager's blur sees zeros and ours alpha.
TOLERANCE, OFF = 1e-3, 1e-3


def check(peer: str, layers: Layers) -> None:
    """Raise AssertionError if what the peer makes is not what we make."""
    if peer == "compositor":
        return
    if layers.background.dtype != torch.uint8:
        off = _share_off(peer, layers)
        assert off <= OFF, f"{peer}: {off:.2g} of its values differ by more than {TOLERANCE}"
        return
    result = prepare(peer, layers, "forward")()
    if peer == "segpaste":
        _check_pasted(peer, result["images"], result["boxes"], layers)
        return
    if peer == COPY_PASTE:
        images, targets = result
        _check_pasted(peer, torch.stack(images), [one["boxes"] for one in targets], layers)
        return
    composite, labels = prepare_labelled(layers)()
    theirs = as_images([one.composite if peer == "OpenCV" else one.image for one in result])
    off = (theirs.float() - composite.float()).abs().mean((1, 2, 3)).max().item()
    assert off <= LEVELS[peer], f"{peer}: off by {off:.2g} levels, wanted {LEVELS[peer]}"
    if peer == "OpenCV":
        _check_labels(result, labels.owner, layers)


def _share_off(peer: str, layers: Layers) -> float:
    """Share of values that differ, of the canvas where most do."""
    theirs = prepare(peer, layers, "forward", WELL_CONDITIONED)()
    own = prepare("compositor", layers, "forward", WELL_CONDITIONED)()
    inner = (..., slice(RADIUS, -RADIUS), slice(RADIUS, -RADIUS))
    off = ((theirs - own).abs() > TOLERANCE)[inner].float()
    return off.mean((1, 2, 3)).max().item()


def _check_labels(pictures: list[Any], owner: Tensor, layers: Layers) -> None:
    theirs = torch.from_numpy(np.stack([picture.owner for picture in pictures]))
    own = torch.where(owner >= 0, owner % layers.objects, -1)  # numbered on each canvas
    off = (theirs != own).float().mean((1, 2)).max().item()
    assert off <= OWNERS, f"OpenCV: {off:.2g} of its pixels have another owner, wanted {OWNERS}"
    for picture in pictures:
        for number, box in enumerate(picture.boxes):
            seen = np.argwhere(picture.owner == number)
            least, most = (seen.min(0), seen.max(0) + 1) if len(seen) else (None, None)
            wanted = None if least is None else (*least[::-1], *(most - least)[::-1])
            assert box == wanted, f"OpenCV: layer {number} has box {box}, wanted {wanted}"


def _check_pasted(peer: str, images: Tensor, boxes: list[Tensor], layers: Layers) -> None:
    own = layers.background
    assert images.shape == own.shape, f"{peer}: another number or size of pictures"
    changed = (images != own).any(1).flatten(1).any(1)
    assert changed.all(), f"{peer}: a picture on which nothing is pasted"
    # All objects on a picture: its own, which only annotate it, and those that were pasted.
    pasted = sum(map(len, boxes)) / (2 * len(layers.theta))
    assert pasted >= PASTED[peer], f"{peer}: {pasted:.2g} of the objects, wanted {PASTED[peer]}"
