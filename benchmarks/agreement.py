"""Checks that a peer's composite matches ours before it is timed, or its time means nothing."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from benchmarks.peers import prepare
from benchmarks.scenes import THRESHOLD, Scene

# The mean of |difference| over all values, on the timed inputs at the paper's threshold.
# Sampling coordinates computed in normalised float32 are off by some 1e-6, so a full mask is here
# and there an ulp below 1, and the threshold, one ulp wide, halves that pixel's alpha. This is only
# rounding: 0.002 measured at half coverage. A missing object gives 0.3 (0.06 at a tenth); the
# second check is for subtler faults.
MEAN_TOLERANCE = 0.005
# The second check uses threshold 0.5, where rounding is harmless: all but 1 in 1000 values must be
# closer than this. Peers measure 2e-6 to 1e-4, growing with the canvas; without the blur, 1 value
# in 100 is off by 0.1. The objects lie inside the canvas, so the borders (where the peers' blur
# sees zeros and ours sees alpha) affect only the Gaussian's last taps; OpenCV's blendLinear adds
# 1e-5 to the sum of its weights. bfloat16 results may differ by one ulp of values below 1, 2^-8.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 1e-3 + 2**-8}
WELL_CONDITIONED = 0.5
# OpenCV's threshold is a step, which equals the ramp only at the paper's threshold; it computes
# coordinates in pixels, so a full mask hardly ever loses an ulp. "compiled" is eager's code and
# would have to be compiled again, so only its mean is checked.
SECOND_THRESHOLD = {"OpenCV": THRESHOLD, "compiled": None}


def as_images(composite: Tensor | list[np.ndarray]) -> Tensor:
    """Bring OpenCV's (H, W, C) or (H, W) arrays to (N, C, H, W); leave a tensor alone."""
    if isinstance(composite, Tensor):
        return composite
    images = torch.from_numpy(np.stack(composite))
    return images.unsqueeze(1) if images.dim() == 3 else images.permute(0, 3, 1, 2)


def differences(peer: str, scene: Scene, threshold: float) -> Tensor:
    """Return |peer's composite - ours|, (N, C, H, W), float32."""
    theirs = as_images(prepare(peer, scene, "forward", threshold)())
    own = prepare("compositor", scene, "forward", threshold)()
    return torch.abs(theirs.float() - as_images(own).float())


def check(peer: str, scene: Scene) -> None:
    """Raise AssertionError if the peer's composite differs from ours beyond the tolerances."""
    mean = differences(peer, scene, THRESHOLD).mean().item()
    assert mean <= MEAN_TOLERANCE, f"{peer}: off by {mean:.2g} on average, wanted {MEAN_TOLERANCE}"
    threshold = SECOND_THRESHOLD.get(peer, WELL_CONDITIONED)
    if threshold is not None:
        tolerance = TOLERANCE[scene.background.dtype]
        off = (differences(peer, scene, threshold) > tolerance).float().mean().item()
        assert off <= 1e-3, f"{peer}: {off:.2g} of its values differ by more than {tolerance:.2g}"
