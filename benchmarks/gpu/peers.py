"""The peers in the GPU's table, as functions of a scene; what is not timed is done beforehand."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import torch
from torch import Tensor

import compositor
from benchmarks import plain
from benchmarks.scenes import RADIUS, SIGMA, THRESHOLD, Scene, Shape

FORWARD, BACKWARD, BOTH = "forward", "backward", "forward + backward"
OPTIONS = (THRESHOLD, SIGMA, RADIUS, True)
THETA_ALONE = (False, False, False, True)
OURS = {"cuda": "default", "triton": "triton"}
Call = Callable[[Scene], Any]
Pipeline = Callable[[Scene, Tensor, float], Tensor]


def _eager(device: str) -> Pipeline:
    taps = plain.gaussian_taps().to(device)

    def run(scene: Scene, theta: Tensor, threshold: float) -> Tensor:
        images = scene.foreground, scene.mask, scene.background
        return plain.plain(*images, theta, taps, threshold)

    return run


def _kornia(scene: Scene, theta: Tensor, threshold: float) -> Tensor:
    from kornia.filters import gaussian_blur2d
    from kornia.geometry.transform import warp_affine

    matrix = scene.pixel_matrix(theta.double()).float()
    colour = warp_affine(scene.foreground, matrix, scene.canvas, padding_mode="border")
    coverage = warp_affine(scene.mask, matrix, scene.canvas)
    alpha = ((coverage - threshold) / (1 - threshold)).clamp(0, 1)
    size = 2 * RADIUS + 1
    alpha = gaussian_blur2d(alpha, (size, size), (SIGMA, SIGMA), border_type="constant")
    return torch.lerp(scene.background, colour, alpha)


def _named(backend: str) -> Pipeline:
    def run(scene: Scene, theta: Tensor, threshold: float) -> Tensor:
        images = scene.foreground, scene.mask, scene.background
        composite = compositor.blend(
            *images, theta, threshold=threshold, sigma=SIGMA, radius=RADIUS, backend=backend
        )
        assert isinstance(composite, Tensor)
        return composite

    return run


@cache
def pipelines(device: str = "cuda") -> dict[str, Pipeline]:
    """Every peer installed here, by name."""
    backends = compositor.build_info()["backends"]
    found = {name: _named(name) for name in OURS if backends[name] == "available"}
    found["eager"] = _eager(device)
    if importlib.util.find_spec("kornia") is not None:
        found["kornia"] = _kornia
    return found


@lru_cache(maxsize=2)
def compiled(name: str, shape: Shape) -> Pipeline:
    """Compile a peer once per shape: past its recompilation limit it would run eagerly."""
    torch._dynamo.reset()
    return torch.compile(pipelines()[name], dynamic=False)


def prepare(pipeline: Pipeline, mode: str) -> Call:
    """Return the call to time: the composite, or theta's gradient too."""

    def forward(scene: Scene) -> Tensor:
        with torch.no_grad():
            return pipeline(scene, scene.theta, THRESHOLD)

    def both(scene: Scene) -> Tensor:
        theta = scene.theta.detach().requires_grad_()
        composite = pipeline(scene, theta, THRESHOLD)
        return torch.autograd.grad(composite, theta, scene.upstream)[0]

    return forward if mode == FORWARD else both


def prepare_backward(backend: str) -> Call:
    """Return the call to the backward op, for theta only."""
    op = getattr(torch.ops.compositor.blend_backward, OURS[backend])

    def backward(scene: Scene) -> Any:
        images = scene.foreground, scene.mask, scene.background
        return op(scene.upstream, None, *images, scene.theta, *OPTIONS, *THETA_ALONE)

    return backward


def prepare_graphs(scenes: list[Scene], mode: str) -> Call:
    """Capture the CUDA backend once per scene; a replay launches all its kernels at once."""
    forward = torch.ops.compositor.blend.default
    backward = prepare_backward("cuda")

    def run(scene: Scene) -> Any:
        images = scene.foreground, scene.mask, scene.background
        composite = forward(*images, scene.theta, *OPTIONS, False)
        return composite if mode == FORWARD else (composite, backward(scene))

    graphs = {}
    for scene in scenes:
        run(scene)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            kept = run(scene)
        graphs[id(scene)] = (graph, kept)

    def replay(scene: Scene) -> None:
        graphs[id(scene)][0].replay()

    return replay


def prepare_copy(scenes: list[Scene]) -> Call:
    """Prepare a copy of as many bytes as the forward must move: 40 per pixel of three channels."""
    buffers = {}
    for scene in scenes:
        values = scene.mask.numel() * (3 * scene.background.shape[1] + 1)
        source = torch.ones(values // 2, device="cuda")
        buffers[id(scene)] = (source, torch.empty_like(source))

    def copy(scene: Scene) -> Tensor:
        source, target = buffers[id(scene)]
        return target.copy_(source)

    return copy


def disagreement(pipeline: Pipeline, scene: Scene) -> float:
    """Share of values over 1e-3 off the reference, at a threshold that rounding does not flip.

    Near its edge the peers' blur sees zeros beyond the canvas, so that rim is left out.
    """
    images = scene.foreground[:2], scene.mask[:2], scene.background[:2]
    two = Scene(*images, scene.theta[:2], scene.upstream[:2], scene.coverage)
    wanted = compositor.blend(
        *images, two.theta, threshold=0.5, sigma=SIGMA, radius=RADIUS, backend="reference"
    )
    off = (pipeline(two, two.theta, 0.5) - wanted).abs() > 1e-3
    inner = (..., slice(RADIUS, -RADIUS), slice(RADIUS, -RADIUS))
    return off[inner].float().mean().item()
