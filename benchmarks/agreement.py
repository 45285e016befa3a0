"""Before a peer is timed, its composite must be ours, or its time would mean nothing."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from benchmarks.peers import prepare
from benchmarks.scenes import THRESHOLD, Scene

# On the timed inputs, at the paper's threshold: the mean of |difference| over all values.
# Sampling coordinates computed in normalised float32 are some 1e-6 off, so a full mask comes out
# an ulp below 1 here and there and the threshold, one ulp wide, halves that pixel's alpha. It is
# rounding, not other work: 0.002 measured at half coverage. An object that is missing altogether
# makes 0.3 (0.06 at a tenth); finer faults are for the second look.
MEAN_TOLERANCE = 0.005
# So a second look where rounding is harmless, threshold 0.5: all but 1 in 1000 values closer than
# this, where peers measure 2e-6 to 1e-4 (the larger the canvas) and a pipeline without the blur is
# off by 0.1 in 1 of 100.
# The objects lie inside the canvas, so that borders (zeros beyond the canvas in the peers' blur,
# our alpha there) leave only the Gaussian's last taps; OpenCV's blendLinear adds 1e-5 to the sum of
# its weights. bfloat16 results may round apart by one ulp of values below 1, 2^-8.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 1e-3 + 2**-8}
WELL_CONDITIONED = 0.5
# OpenCV's threshold is a step, which is the ramp at the paper's threshold alone; its coordinates
# are computed in pixels and hardly ever fall by an ulp. Compiled is eager's code and would have to
# be compiled once more: the mean alone.
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
    """Raise AssertionError where the peer's composite is not near ours; see the tolerances."""
    mean = differences(peer, scene, THRESHOLD).mean().item()
    assert mean <= MEAN_TOLERANCE, f"{peer}: off by {mean:.2g} on average, wanted {MEAN_TOLERANCE}"
    threshold = SECOND_THRESHOLD.get(peer, WELL_CONDITIONED)
    if threshold is not None:
        tolerance = TOLERANCE[scene.background.dtype]
        off = (differences(peer, scene, threshold) > tolerance).float().mean().item()
        assert off <= 1e-3, f"{peer}: {off:.2g} of its values differ by more than {tolerance:.2g}"
