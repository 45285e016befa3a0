"""`render` on a GPU beside a chain of `blend`s: several layers on each canvas of a scene."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.peers import THETA_ALONE, Call
from benchmarks.scenes import SIGMA, THRESHOLD, Scene
from compositor.ops import chain

LAYERS = 8  # on each canvas
LAYERS_FORWARD, LAYERS_BACKWARD = f"{LAYERS} layers, forward", f"{LAYERS} layers, backward"


def spread(scene: Scene) -> tuple[Any, ...]:
    """The scene's own objects, each over and over, moved along a circle: `render`'s arguments."""
    n = len(scene.theta)
    angles = torch.arange(LAYERS) * (2 * torch.pi / LAYERS)
    centres = 0.5 * torch.stack([angles.cos(), angles.sin()], 1).to(scene.theta)
    theta = scene.theta[:, None].repeat(1, LAYERS, 1, 1)
    theta[..., 2] -= torch.einsum("nlij,lj->nli", theta[..., :2], centres)
    image = torch.arange(n).repeat_interleave(LAYERS)
    sigma = torch.full((n * LAYERS,), SIGMA, dtype=torch.float64)
    stacks = [scene.foreground], [scene.mask], scene.background, theta.flatten(0, 1), image, image
    return *stacks, None, None, sigma, THRESHOLD, -1, True


def calls(
    scenes: list[Scene],
    render: Callable[..., Any] = torch.ops.compositor.render.default,
    render_backward: Callable[..., Any] = torch.ops.compositor.render_backward.default,
) -> Iterator[tuple[str, str, Call]]:
    """Yield (peer, mode, call): the kernels, and the chain of the same `blend`."""
    given = {id(scene): spread(scene) for scene in scenes}
    ops = torch.ops.compositor
    blend, blend_backward = ops.blend.default, ops.blend_backward.default
    needs = [*THETA_ALONE, False, False]
    for peer, forward, backward in (
        ("cuda", render, render_backward),
        ("chain", chain.render_by(blend), chain.render_backward_by(blend, blend_backward)),
    ):

        def composite(scene: Scene, run: Callable[..., Any] = forward) -> Tensor:
            image: Tensor = run(*given[id(scene)], False)[0]
            return image

        def gradient(scene: Scene, run: Callable[..., Any] = backward) -> Tensor:
            theta: Tensor = run(scene.upstream, *given[id(scene)], needs)[3]
            return theta

        yield peer, LAYERS_FORWARD, composite
        yield peer, LAYERS_BACKWARD, gradient
