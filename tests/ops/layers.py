"""Scenes of several layers for the tests of ``render``."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Scene:
    """What ``render`` takes, cut-outs as a list."""

    background: Tensor
    foreground: list[Tensor]
    mask: list[Tensor] | None
    theta: Tensor
    image: Tensor
    source: Tensor
    gain: Tensor | None
    bias: Tensor | None
    sigma: Tensor

    def images(self) -> list[Tensor]:
        return [self.background, *self.foreground, *(self.mask or [])]

    def to(self, dtype: torch.dtype) -> Scene:
        """Its images in another type; of bytes, levels."""

        def convert(image: Tensor) -> Tensor:
            return (image * 255).round().to(dtype) if dtype == torch.uint8 else image.to(dtype)

        return replace(
            self,
            background=convert(self.background),
            foreground=[convert(f) for f in self.foreground],
            mask=None if self.mask is None else [convert(m) for m in self.mask],
        )

    def on(self, device: torch.device) -> Scene:
        """The same in a device's memory; sigma stays where kernels are launched from."""
        return replace(
            self,
            background=self.background.to(device),
            foreground=[f.to(device) for f in self.foreground],
            mask=None if self.mask is None else [m.to(device) for m in self.mask],
            theta=self.theta.to(device),
            image=self.image.to(device),
            source=self.source.to(device),
            gain=None if self.gain is None else self.gain.to(device),
            bias=None if self.bias is None else self.bias.to(device),
        )

    def in_float64(self) -> Scene:
        """The numbers that its images stand for."""
        unit = 255 if self.background.dtype == torch.uint8 else 1
        return replace(
            self,
            background=self.background.double() / unit,
            foreground=[f.double() / unit for f in self.foreground],
            mask=None if self.mask is None else [m.double() / unit for m in self.mask],
        )

    def options(self) -> dict[str, Tensor | None]:
        return {
            "image": self.image,
            "source": self.source,
            "gain": self.gain,
            "bias": self.bias,
            "sigma": self.sigma,
        }


# Canvases, channels, cut-outs, layers, height, width.
SIZES = [
    (3, 3, 4, 9, 61, 77),
    (1, 1, 1, 1, 1, 1),
    (2, 2, 3, 12, 33, 20),  # more than one blur of several kinds on each
    (2, 4, 2, 5, 140, 9),  # higher than a block of rows, and more channels than bytes are packed in
    (4, 3, 2, 2, 20, 31),  # canvases without a layer
    (2, 3, 2, 0, 8, 9),
    (2, 3, 0, 0, 8, 9),
    (0, 3, 2, 0, 8, 9),
]


def scene(
    size: tuple[int, ...],
    seed: int = 0,
    masked: bool = True,
    toned: bool = True,
    spread: float = 1.0,
) -> Scene:
    """Layers at random in random order, some wholly outside, some hidden; images in float64.

    The same numbers on every device.
    """
    device = torch.get_default_device()
    with torch.device("cpu"):
        return _scene(size, seed, masked, toned, spread).on(device)


def _scene(size: tuple[int, ...], seed: int, masked: bool, toned: bool, spread: float) -> Scene:
    n, channels, cutouts, layers, height, width = size
    random = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=random, dtype=torch.float64)

    sizes = [(10 + 7 * k, max(1, 30 - 9 * k)) if height > 1 else (1, 1) for k in range(cutouts)]
    theta = 2.5 * torch.eye(2, 3, dtype=torch.float64) + spread * torch.randn(
        (layers, 2, 3), generator=random, dtype=torch.float64
    )
    theta[3::5, :, 2] += 20  # wholly outside
    return Scene(
        uniform(n, channels, height, width),
        [uniform(channels, *s) for s in sizes],
        [(uniform(1, *s) > 0.2).double() for s in sizes] if masked else None,
        theta,
        torch.randint(max(n, 1), (layers,), generator=random),
        torch.randint(max(cutouts, 1), (layers,), generator=random),
        0.5 + uniform(layers, channels) if toned else None,
        0.2 * uniform(layers, channels) if toned else None,
        torch.tensor([0.0, 1.0, 2.0, 0.5] * 5, dtype=torch.float64)[:layers],
    )
