"""The peers in the table: the same composite by our kernel and by what users have today.

A peer is prepared before the timing and then called without arguments. All do the same work:
bilinear warp of foreground and mask, threshold, 7 x 7 Gaussian blur of the mask, blend. Peers that
cannot use bfloat16 (its sampling coordinates would be useless) convert to float32 and back within
the timing, as their users must.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from kornia.filters import gaussian_blur2d
from kornia.geometry.transform import warp_affine
from torch import Tensor

import compositor
from benchmarks.plain import gaussian_taps, plain
from benchmarks.scenes import RADIUS, SIGMA, THRESHOLD, Scene, Shape, forward_bytes, off_heap

MODES = ("forward", "forward + backward")
# A composite as a function of the affine parameter: theta, or kornia's pixel matrix.
Pipeline = Callable[[Scene, Tensor, float], Tensor]


def ours(scene: Scene, theta: Tensor, threshold: float) -> Tensor:
    composite = compositor.blend(
        scene.foreground,
        scene.mask,
        scene.background,
        theta,
        threshold=threshold,
        sigma=SIGMA,
        radius=RADIUS,
    )
    assert isinstance(composite, Tensor)
    return composite


def eager(scene: Scene, theta: Tensor, threshold: float) -> Tensor:
    images = scene.foreground, scene.mask, scene.background
    return plain(*images, theta, gaussian_taps(), threshold)


@lru_cache(maxsize=1)
def _compile(shape: Shape, dtype: torch.dtype) -> Callable[..., Tensor]:
    # Reset for each shape: past its recompilation limit, torch.compile would run eagerly.
    torch._dynamo.reset()
    return torch.compile(plain, dynamic=False, fullgraph=True)


def compiled(scene: Scene, theta: Tensor, threshold: float) -> Tensor:
    n, channels, height, width = scene.background.shape
    function = _compile((n, channels, height, width), scene.background.dtype)
    images = scene.foreground, scene.mask, scene.background
    return function(*images, theta, gaussian_taps(), threshold)


def kornia(scene: Scene, matrix: Tensor, threshold: float) -> Tensor:
    foreground, mask, background = scene.foreground, scene.mask, scene.background
    # align_corners=True is kornia's default, and exact for matrices in pixels.
    colour = warp_affine(foreground.float(), matrix, scene.canvas, padding_mode="border")
    coverage = warp_affine(mask.float(), matrix, scene.canvas)
    alpha = ((coverage - threshold) / (1 - threshold)).clamp(0, 1)
    size = 2 * RADIUS + 1
    alpha = gaussian_blur2d(alpha, (size, size), (SIGMA, SIGMA), border_type="constant")
    return torch.lerp(background.float(), colour, alpha).to(background.dtype)


def prepare_opencv(scene: Scene, threshold: float) -> Callable[[], list[np.ndarray]]:
    """Prepare OpenCV on float32 arrays in its own layout, (H, W, C), one image at a time."""

    def arrays(images: Tensor) -> list[np.ndarray]:
        return list(off_heap(images.permute(0, 2, 3, 1).contiguous()).numpy())

    foregrounds, masks, backgrounds = map(arrays, (scene.foreground, scene.mask, scene.background))
    matrices = list(scene.pixel_matrix(scene.theta.double()).numpy())
    height, width = scene.canvas
    size = 2 * RADIUS + 1

    def run() -> list[np.ndarray]:
        composites = []
        for foreground, mask, background, matrix in zip(
            foregrounds, masks, backgrounds, matrices, strict=True
        ):
            colour = cv2.warpAffine(
                foreground, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE
            )
            alpha = cv2.warpAffine(mask, matrix, (width, height))
            # At the paper's threshold the ramp is one ulp wide: a step, in one call.
            _, alpha = cv2.threshold(alpha, threshold, 1, cv2.THRESH_BINARY)
            alpha = cv2.GaussianBlur(alpha, (size, size), SIGMA, borderType=cv2.BORDER_CONSTANT)
            composites.append(cv2.blendLinear(colour, background, alpha, 1 - alpha))
        return composites

    return run


def prepare_copy(shape: Shape, dtype: str) -> Callable[[], Tensor]:
    """Prepare a copy that reads and writes as many bytes as the op's forward must."""
    source = off_heap(torch.ones(forward_bytes(shape, dtype) // 2 // 4))
    target = off_heap(torch.zeros_like(source))
    return lambda: target.copy_(source)


PIPELINES: dict[str, Pipeline] = {
    "compositor": ours,
    "kornia": kornia,
    "compiled": compiled,
    "eager": eager,
}
PEERS = ("compositor", "OpenCV", "kornia", "compiled", "eager")


def prepare(peer: str, scene: Scene, mode: str, threshold: float = THRESHOLD) -> Callable[[], Any]:
    """Do what is not timed and return what is: a call giving the composite or theta's gradient."""
    if peer == "OpenCV":
        return prepare_opencv(scene, threshold)
    pipeline = PIPELINES[peer]
    parameter = (
        scene.pixel_matrix(scene.theta.double()).float()
        if peer == "kornia"
        else (scene.theta.clone())
    )

    def forward() -> Tensor:
        with torch.no_grad():
            return pipeline(scene, parameter, threshold)

    def forward_backward() -> Tensor:
        composite = pipeline(scene, parameter, threshold)
        return torch.autograd.grad(composite, parameter, scene.upstream)[0]

    if mode == "forward":
        return forward
    parameter.requires_grad_()
    return forward_backward
