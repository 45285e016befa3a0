"""The peers in the table of `render`. All do the same work, apart from the packages and CopyPaste.

With bytes: composite and labels, at the paper's threshold, in one call or picture by picture. With
floats: the composite alone, or theta's gradient too, of as many layers on each canvas.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import compositor
from benchmarks.plain import gaussian_taps, plain
from benchmarks.render import opencv, packages
from benchmarks.render.scenes import BYTES, FLOATS, Layers
from benchmarks.scenes import RADIUS, SIGMA, THRESHOLD
from compositor.transforms import CopyPaste

# The composite as a function of theta and threshold.
Pipeline = Callable[[Tensor, float], Tensor]
COPY_PASTE = "CopyPaste"  # ours, and segpaste's peer: it scales, mirrors and blurs, too
PEERS = {
    BYTES: ("compositor", "OpenCV", "vision-synthesis", "segpaste", COPY_PASTE),
    FLOATS: ("compositor", "blends", "eager"),
}
NAMES = tuple(dict.fromkeys(name for names in PEERS.values() for name in names))


def ours(layers: Layers) -> Pipeline:
    """All layers in one call."""

    def run(theta: Tensor, threshold: float) -> Tensor:
        return compositor.render(
            layers.background,
            layers.foreground,
            layers.mask,
            theta,
            image=layers.image,
            source=layers.source,
            threshold=threshold,
            sigma=SIGMA,
            radius=RADIUS,
        )

    return run


def _chain(layers: Layers, paste: Callable[..., Tensor]) -> Pipeline:
    """Layer by layer, each on all canvases at once; its cut-outs are gathered beforehand."""
    foreground, mask = torch.stack(layers.foreground), torch.stack(layers.mask)
    chosen = layers.source.view(-1, layers.objects).T
    stacks = [(foreground[source], mask[source]) for source in chosen]

    def run(theta: Tensor, threshold: float) -> Tensor:
        canvas = layers.background
        maps = theta.view(-1, layers.objects, 2, 3).unbind(1)
        for (colours, cover), one in zip(stacks, maps, strict=True):
            canvas = paste(colours, cover, canvas, one, threshold)
        return canvas

    return run


def blends(layers: Layers) -> Pipeline:
    """As users of `blend` did it."""

    def paste(
        foreground: Tensor, mask: Tensor, canvas: Tensor, theta: Tensor, threshold: float
    ) -> Tensor:
        return compositor.blend(
            foreground, mask, canvas, theta, threshold=threshold, sigma=SIGMA, radius=RADIUS
        )

    return _chain(layers, paste)


def eager(layers: Layers) -> Pipeline:
    """The same chain in plain PyTorch."""

    def paste(
        foreground: Tensor, mask: Tensor, canvas: Tensor, theta: Tensor, threshold: float
    ) -> Tensor:
        return plain(foreground, mask, canvas, theta, gaussian_taps(), threshold)

    return _chain(layers, paste)


def prepare_copy_paste(layers: Layers) -> Callable[[], Any]:
    """As :func:`packages.prepare_segpaste`, by our transform with its own defaults."""
    collate = CopyPaste(objects=(layers.objects, layers.objects)).collate
    batch = packages.annotated(layers)

    def run() -> Any:
        torch.manual_seed(0)  # the same places in every round
        return collate(batch)

    return run


PIPELINES = {"compositor": ours, "blends": blends, "eager": eager}
SCENES: dict[str, Callable[[Layers], Callable[[], Any]]] = {
    "OpenCV": opencv.prepare,
    "vision-synthesis": packages.prepare_vision_synthesis,
    "segpaste": packages.prepare_segpaste,
    COPY_PASTE: prepare_copy_paste,
}


def prepare_labelled(layers: Layers) -> Callable[[], tuple[Tensor, compositor.Labels]]:
    """Prepare our composite with its labels."""
    return lambda: compositor.render(
        layers.background,
        layers.foreground,
        layers.mask,
        layers.theta,
        image=layers.image,
        source=layers.source,
        sigma=SIGMA,
        radius=RADIUS,
        return_labels=True,
    )


def prepare(
    peer: str, layers: Layers, mode: str, threshold: float = THRESHOLD
) -> Callable[[], Any]:
    """Do what is not timed and return what is."""
    if peer in SCENES:
        return SCENES[peer](layers)
    if layers.background.dtype == torch.uint8:
        return prepare_labelled(layers)
    pipeline = PIPELINES[peer](layers)
    theta = layers.theta.clone()

    def forward() -> Tensor:
        with torch.no_grad():
            return pipeline(theta, threshold)

    def forward_backward() -> Tensor:
        composite = pipeline(theta, threshold)
        return torch.autograd.grad(composite, theta, layers.upstream)[0]

    if mode == "forward":
        return forward
    theta.requires_grad_()
    return forward_backward
